from __future__ import annotations

import os
import re
import signal
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench import worker
from workbench.errors import BadInput, NoSpace
from workbench.plan import Plan, make_plan
from workbench.recipe_file import load_recipe
from workbench.runs import STOPS, Run
from workbench.stage_run import StageInputs, StageRun

Stage = Callable[[Any, StageInputs, StageRun], dict[str, Any]]
RECIPE = 'name = "x"\n[corpus]\nsources = ["text.txt"]\n[tokenizer]\n'


@pytest.fixture
def plan(tmp_path: Path, home: Path) -> Plan:
    (tmp_path / "text.txt").write_text("text")
    path = tmp_path / "x.toml"
    path.write_text(RECIPE)
    return make_plan(load_recipe(path))


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> dict[str, Stage]:
    """Stages that leave a file each; a test replaces what it wants to see."""

    def leave(settings: Any, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
        run.start_over()
        (run.folder / "made").write_text(run.stage)
        return {"size": 4}

    known: dict[str, Stage] = {"corpus": leave, "tokenizer": leave}

    def find(name: str) -> types.SimpleNamespace:
        assert name.startswith("workbench.stages.")
        return types.SimpleNamespace(run=known[name.rpartition(".")[2]])

    monkeypatch.setattr(worker, "importlib", types.SimpleNamespace(import_module=find))
    return known


def kinds(run: Run) -> list[str]:
    return [event["kind"] for event in run.events()]


def test_a_run_walks_its_plan(plan: Plan, stages: dict[str, Stage]) -> None:
    run = worker.work(plan)
    assert run.state() == "finished"
    assert plan.is_complete()
    assert kinds(run) == ["run_started", *["stage_started", "stage_finished"] * 2, "run_finished"]
    assert not run.is_alive()


@pytest.mark.parametrize("asked", [False, True])
def test_cublas_is_told_of_one_order_of_adding_before_the_first_stage_if_any_asks_for_it(
    tmp_path: Path, home: Path, stages: dict[str, Stage], monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "gone again after this test")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    leave, told = stages["corpus"], []

    def look(settings: Any, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
        told.append(os.environ.get("CUBLAS_WORKSPACE_CONFIG"))
        return leave(settings, inputs, run)

    stages |= {"corpus": look, "pack": leave, "pretrain": leave}
    (tmp_path / "text.txt").write_text("text")
    (tmp_path / "x.toml").write_text(RECIPE + '[pack]\n[model]\nsize = "1m"\n[pretrain]\ntokens = "1M"\n')
    worker.work(make_plan(load_recipe(tmp_path / "x.toml", {"pretrain.deterministic": asked})))
    assert told == [":4096:8" if asked else None]


def test_a_finished_stage_is_reused_by_another_run(
    plan: Plan, stages: dict[str, Stage], tmp_path: Path
) -> None:
    worker.work(plan)
    other = make_plan(load_recipe(tmp_path / "x.toml", {"tokenizer.vocab_size": 400}))
    run = worker.work(other)
    started = [(e["stage"], e["reused"]) for e in run.events() if e["kind"] == "stage_started"]
    assert started == [("corpus", True), ("tokenizer", False)]


def test_the_status_keeps_the_held_out_figure_when_the_next_stage_begins(
    plan: Plan, stages: dict[str, Stage]
) -> None:
    leave = stages["corpus"]

    def measure(settings: Any, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
        run.emit("metric", step=1, loss=2.0, val_loss=2.1, val_bpb=1.5)
        return leave(settings, inputs, run)

    stages["corpus"] = measure
    status = worker.work(plan).status()
    assert (status["loss"], status["heldout_bits_per_byte"]) == (None, 1.5)


def test_until_and_force(plan: Plan, stages: dict[str, Stage]) -> None:
    run = worker.create_run(plan.home, plan.name, recipe_text="", plan=plan.to_dict())
    worker.work_on(run, until="corpus")
    assert run.state() == "stopped"
    assert run.status()["exit_code"] == 0
    calls: list[str] = []
    leave = stages["corpus"]
    stages["corpus"] = lambda *a: (calls.append("again"), leave(*a))[1]
    worker.work_on(run, force=["corpus"])
    assert calls == ["again"]
    assert run.state() == "finished"


def test_bad_input_fails_with_its_line_and_publishes_nothing(plan: Plan, stages: dict[str, Stage]) -> None:
    def refuse(*_: object) -> dict[str, Any]:
        raise BadInput("is empty", file="text.txt")

    stages["tokenizer"] = refuse
    run = worker.work(plan)
    assert (run.state(), run.status()["error"], run.status()["exit_code"]) == (
        "failed",
        "text.txt: is empty",
        2,
    )
    assert plan.store.exists(plan.stages[0].makes)
    assert not plan.store.exists(plan.stages[1].makes)


def test_a_bug_is_named_as_ours(
    plan: Plan, stages: dict[str, Stage], capfd: pytest.CaptureFixture[str]
) -> None:
    stages["corpus"] = lambda *_: {}["missing"]
    run = worker.work(plan)
    assert run.status()["exit_code"] == 70
    assert "bug in Workbench" in run.status()["error"]
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
@pytest.mark.parametrize(
    ("stage", "way"), [("corpus", r"\[corpus\] workers = 1"), ("tokenizer", r"\[tokenizer\] sample_bytes")]
)
def test_out_of_memory_is_told_with_what_the_stage_can_do(
    plan: Plan, stages: dict[str, Stage], stage: str, way: str, error: Exception
) -> None:
    def fill(*_: object) -> dict[str, Any]:
        raise error

    stages[stage] = fill
    run = worker.work(plan)
    told = run.status()
    assert (told["state"], told["exit_code"]) == ("failed", 1)
    assert re.match(rf"out of memory \(.*\); .*{way}", told["error"])


def test_a_full_disk_is_told_and_survived(plan: Plan, stages: dict[str, Stage]) -> None:
    def fill(*_: object) -> dict[str, Any]:
        raise NoSpace("cannot write: No space left on device", file="/store")

    leave, stages["tokenizer"] = stages["tokenizer"], fill
    run = worker.work(plan)
    assert run.state() == "failed"
    assert "No space" in run.status()["error"]
    stages["tokenizer"] = leave
    assert worker.work(plan).state() == "finished"


@pytest.mark.parametrize("stop", STOPS)
def test_a_stop_request_stops_and_the_next_worker_goes_on(
    plan: Plan, stages: dict[str, Stage], stop: str
) -> None:
    leave = stages["tokenizer"]

    def ask_then_look(settings: Any, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
        Run(plan.home / "runs" / plan.name).request(stop)
        run.check_stop()
        raise AssertionError("the stop was not heard")

    stages["tokenizer"] = ask_then_look
    run = worker.work(plan)
    assert (run.state(), run.status()["exit_code"]) == ("stopped", 75)
    stages["tokenizer"] = leave
    assert worker.work(plan).state() == "finished"


def test_a_stop_is_asked_for_once_and_may_still_become_one_that_saves_nothing(
    plan: Plan, stages: dict[str, Stage]
) -> None:
    run, heard = Run(plan.home / "runs" / plan.name), []

    def ask(settings: Any, inputs: StageInputs, handle: StageRun) -> dict[str, Any]:
        for request in ("stop", "save", "stop now", "stop"):
            run.request(request)
            heard.append(handle.request())
        return {}

    stages["corpus"] = ask
    worker.work(plan)
    assert heard == ["stop", "stop", "stop now", "stop now"]


def test_sigterm_is_a_stop_request(plan: Plan, stages: dict[str, Stage]) -> None:
    stop = worker.StopSignal()
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)}

    def terminate(settings: Any, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGTERM)
        run.check_stop()
        raise AssertionError("the signal was not heard")

    stages["corpus"] = terminate
    run = worker.create_run(plan.home, plan.name, recipe_text="", plan=plan.to_dict())
    try:
        stop.install()
        assert worker.work_on(run, stop=stop) == 75
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert run.state() == "stopped"


def test_pause_waits_for_resume(plan: Plan, stages: dict[str, Stage]) -> None:
    run = Run(plan.home / "runs" / plan.name)
    seen: list[str] = []

    def pausing(settings: Any, inputs: StageInputs, handle: StageRun) -> dict[str, Any]:
        run.request("pause")

        def wake() -> None:
            while run.status().get("state") != "paused":
                over.wait(0.05)
            seen.append(run.state())
            run.request("resume")

        over = threading.Event()
        waker = threading.Thread(target=wake)
        waker.start()
        handle.check_stop()
        waker.join()
        return {}

    stages["corpus"] = pausing
    assert worker.work(plan).state() == "finished"
    assert seen == ["paused"]


def test_every_request_is_answered_by_its_name(plan: Plan, stages: dict[str, Stage]) -> None:
    run = Run(plan.home / "runs" / plan.name)
    asked: dict[str, str] = {}

    def steered(settings: Any, inputs: StageInputs, handle: StageRun) -> dict[str, Any]:
        for request in ("tune decay=now", "save"):
            asked[request] = run.request(request)
            handle.check_stop()
        return {}

    stages["corpus"] = steered
    worker.work(plan)
    taken = [event["request"] for event in run.events() if "request" in event]
    answered = {event["answers"]: bool(event.get("refused")) for event in run.events() if "answers" in event}
    assert taken == list(asked.values())
    assert answered == {asked["tune decay=now"]: True, asked["save"]: False}


def test_a_damaged_input_is_refused_before_use(plan: Plan, stages: dict[str, Stage]) -> None:
    run = worker.create_run(plan.home, plan.name, recipe_text="", plan=plan.to_dict())
    worker.work_on(run, until="corpus")
    (plan.store.folder(plan.stages[0].makes) / "made").write_text("other")
    worker.work_on(run)
    assert run.status()["exit_code"] == 2
    assert "--force" in run.status()["error"]


def test_what_a_dead_worker_was_asked_is_not_for_the_next(plan: Plan, stages: dict[str, Stage]) -> None:
    run = worker.create_run(plan.home, plan.name, recipe_text="", plan=plan.to_dict())
    (run.path / "status.json").write_text('{"state": "running"}')
    (run.path / "control" / "1.json").write_text('{"request": "stop"}')
    worker.work_on(run)
    assert run.state() == "finished"


def test_what_is_asked_before_the_first_worker_is_ready_is_heard(
    plan: Plan, stages: dict[str, Stage]
) -> None:
    run = worker.create_run(plan.home, plan.name, recipe_text="", plan=plan.to_dict())
    run.request("stop")
    worker.work_on(run)
    assert run.state() == "stopped"
