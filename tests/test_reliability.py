"""What a run promises when the machine misbehaves: kills at every step, full disks, folders taken away.

The long versions, with real training and real kills, are driven by hand (recipes/LOG.md has the figures).
"""

from __future__ import annotations

import errno
import os
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench import artifacts, files, heartbeat, runs, stage_run, worker
from workbench.audit import problems_of_run
from workbench.errors import BadInput, DiskFull, NoSpace
from workbench.events import EventWriter
from workbench.heartbeat import Heartbeat
from workbench.launcher import relaunch
from workbench.plan import Plan, make_plan
from workbench.recipe_file import load_recipe
from workbench.runs import Run, create_run, list_runs
from workbench.stage_run import RunStatus, StageInputs, StageRun

Stage = Callable[[Any, StageInputs, StageRun], dict[str, Any]]
RECIPE = 'name = "x"\n[corpus]\nsources = ["text.txt"]\n[tokenizer]\n'


def leave(settings: Any, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
    """A stage that leaves a file."""
    run.start_over()
    (run.folder / "made").write_text(run.stage)
    return {"size": 4}


@pytest.fixture
def plan(tmp_path: Path, home: Path) -> Plan:
    (tmp_path / "text.txt").write_text("text")
    (tmp_path / "x.toml").write_text(RECIPE)
    return make_plan(load_recipe(tmp_path / "x.toml"))


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> dict[str, Stage]:
    known: dict[str, Stage] = {"corpus": leave, "tokenizer": leave}

    def find(name: str) -> types.SimpleNamespace:
        return types.SimpleNamespace(run=known[name.rpartition(".")[2]])

    monkeypatch.setattr(worker, "importlib", types.SimpleNamespace(import_module=find))
    return known


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is tried again at once."""
    monkeypatch.setattr(stage_run, "ROOM_POLL_SECONDS", 0.0)
    monkeypatch.setattr(stage_run, "FIRST_RETRY_SECONDS", 1e-6)


@pytest.fixture(autouse=True)
def _quick_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.05)


def new_run(plan: Plan) -> Run:
    return create_run(plan.home, plan.name, recipe_text=plan.recipe_text, plan=plan.to_dict())


def texts(run: Run, kind: str) -> list[str]:
    return [event["text"] for event in run.events() if event["kind"] == kind]


# -- kill -9 ---------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is no more: nothing it would have done after this happens."""


class Mortal:
    """Lets the main thread die at the `at`-th call that changes names or makes them durable."""

    CALLS = ("rename", "fsync", "unlink", "mkdir", "rmdir")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, at: int) -> None:
        self.calls = 0
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self._dying(getattr(os, name), at))

    def _dying(self, call: Callable[..., Any], at: int) -> Callable[..., Any]:
        def instead(*arguments: Any, **options: Any) -> Any:
            if threading.current_thread() is threading.main_thread():
                self.calls += 1
                if self.calls >= at:
                    raise Killed
            return call(*arguments, **options)

        return instead


def test_killed_at_every_change_of_a_name_nothing_is_half_visible(
    plan: Plan, stages: dict[str, Stage], tmp_path: Path
) -> None:
    at = 0
    survived = False
    while not survived:
        at += 1
        here = plan.__class__(**{**vars(plan), "home": tmp_path / f"home-{at}"})
        with pytest.MonkeyPatch.context() as patch:
            Mortal(patch, at=at)
            try:
                worker.work(here)
                survived = True
            except Killed:
                pass
        for stage in here.stages:
            folder = here.store.folder(stage.makes)
            assert not folder.exists() or not artifacts.problems_of(folder), at
        for run in list_runs(here.home):
            assert list(problems_of_run(run)) == [], at
            assert not run.is_alive(), at
        again = worker.work(here)
        assert again.state() == "finished", at
        assert list(problems_of_run(again)) == [], at
        left = [
            path for path in (here.home / "store").rglob("*") if path.name.startswith((".tmp-", ".trash-"))
        ]
        assert left == [], at
    assert at > 40


# -- the disk --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "x"), DiskFull),
        (OSError(errno.EDQUOT, "x"), DiskFull),
        (Exception("No space left on device (os error 28)"), DiskFull),
        (OSError(errno.EROFS, "x"), NoSpace),
        (OSError(errno.EIO, "x"), NoSpace),
        (OSError(errno.ENOENT, "x"), type(None)),
        (ValueError("x"), type(None)),
    ],
)
def test_waiting_helps_a_full_disk_and_no_other(error: Exception, kind: type) -> None:
    assert type(files.disk_error(error, Path("/x"))) is kind


@pytest.mark.usefixtures("impatient")
def test_a_full_disk_pauses_the_run_and_it_goes_on_by_itself(plan: Plan, stages: dict[str, Stage]) -> None:
    tries = []

    def fill(settings: Any, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
        tries.append(Run(plan.home / "runs" / plan.name).status()["state"])
        if len(tries) < 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return leave(settings, inputs, run)

    stages["corpus"] = fill
    run = worker.work(plan)
    assert run.state() == "finished"
    assert len(tries) == 3
    (warning,) = texts(run, "warning")
    assert "No space left" in warning
    assert "goes on by itself" in warning
    assert texts(run, "note") == ["there is room again: going on"]
    assert run.status()["waits_for"] is None


@pytest.mark.usefixtures("impatient")
def test_a_full_disk_is_waited_for_where_a_fact_is_told(
    plan: Plan, stages: dict[str, Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, refusals = EventWriter.write, [1, 2]

    def full(self: EventWriter, kind: str, **fields: Any) -> Any:
        if kind == "metric" and refusals:
            refusals.pop()
            raise DiskFull("the disk is full")
        return write(self, kind, **fields)

    def measure(settings: Any, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
        run.emit("metric", step=1, loss=1.0)
        return leave(settings, inputs, run)

    monkeypatch.setattr(EventWriter, "write", full)
    stages["corpus"] = measure
    run = worker.work(plan)
    assert run.state() == "finished"
    assert [event["step"] for event in run.events() if event["kind"] == "metric"] == [1]
    assert len(texts(run, "warning")) == 1


def test_a_run_that_waits_for_room_can_be_stopped(plan: Plan, stages: dict[str, Stage]) -> None:
    def fill(*_: object) -> dict[str, Any]:
        Run(plan.home / "runs" / plan.name).request("stop")
        raise DiskFull("the disk is full")

    stages["corpus"] = fill
    run = worker.work(plan)
    assert (run.state(), run.status()["exit_code"]) == ("stopped", 75)
    stages["corpus"] = leave
    assert worker.work(plan).state() == "finished"


@pytest.mark.usefixtures("impatient")
def test_room_is_not_there_before_the_reserve_is(
    plan: Plan, stages: dict[str, Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [0, 0, 0, 1 << 30]
    tries = []

    def fill(settings: Any, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
        tries.append(len(free))
        if len(tries) == 1:
            monkeypatch.setattr(runs, "free_bytes", lambda _: free.pop(0) if len(free) > 1 else free[0])
            raise DiskFull("the disk is full")
        return leave(settings, inputs, run)

    stages["corpus"] = fill
    run = worker.work(plan)
    assert tries == [4, 1]
    assert (run.path / ".reserve").stat().st_size == runs.RESERVE_BYTES


def test_a_read_only_disk_fails_in_one_line(plan: Plan, stages: dict[str, Stage]) -> None:
    def refuse(*_: object) -> dict[str, Any]:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    stages["tokenizer"] = refuse
    run = worker.work(plan)
    assert (run.state(), run.status()["exit_code"]) == ("failed", 74)
    assert "Read-only file system" in run.status()["error"]
    assert "\n" not in run.status()["error"]


def test_a_disk_that_breaks_between_stages_fails_in_one_line(
    plan: Plan, stages: dict[str, Stage], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    run = new_run(plan)
    monkeypatch.setattr(artifacts.Store, "sweep", broken)
    assert worker.work_on(run) == 74
    assert run.status()["error"].startswith(f"{run.path}: cannot write: Input/output error; see to the disk")
    assert capfd.readouterr().err == run.status()["error"] + "\n"


def test_a_worker_that_can_write_nothing_ends_with_a_code_that_says_so(
    plan: Plan, stages: dict[str, Stage], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = new_run(plan)

    def broken(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def break_disk(*_: object) -> dict[str, Any]:
        monkeypatch.setattr(os, "write", broken)  # events
        monkeypatch.setattr(os, "fsync", broken)
        monkeypatch.setattr(os, "rename", broken)
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(run.path))

    stages["corpus"] = break_disk
    monkeypatch.setattr(worker.StopSignal, "install", lambda self: None)
    assert worker.work_here(run, until=None, only=None, force=()) == 74
    (line,) = capfd.readouterr().err.splitlines()
    assert "cannot write: Input/output error; see to the disk" in line
    assert run.status()["state"] == "running"


def test_a_lock_that_the_disk_refuses_is_one_line(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = new_run(plan)

    def broken(_: Run) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Run, "take_lock", broken)
    monkeypatch.setattr(worker.StopSignal, "install", lambda self: None)
    assert worker.work_here(run, until=None, only=None, force=()) == 74
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"{run.path}: cannot write: Read-only file system")


def test_a_run_that_cannot_be_made_leaves_nothing(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(
            os, "fsync", lambda fd: full() if Path(f"/proc/self/fd/{fd}").readlink().suffix else None
        )
        with pytest.raises(DiskFull, match="No space left"):
            new_run(plan)
    assert os.listdir(plan.home / "runs") == []


def test_two_that_make_the_same_run_at_once_make_one(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def late(source: Path, target: Path) -> None:
        if Path(target).parent.name == "runs":
            monkeypatch.undo()
            monkeypatch.setenv("WORKBENCH_HOME", str(plan.home))
            assert new_run(plan).path == target
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    assert new_run(plan).state() == "pending"
    assert os.listdir(plan.home / "runs") == [plan.name]


def test_a_run_is_durable_before_anybody_works_on_it(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename
    name = lambda fd: Path(f"/proc/self/fd/{fd}").readlink().name  # noqa: E731
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(name(fd)), fsync(fd)))
    monkeypatch.setattr(os, "rename", lambda a, b: (calls.append(f"-> {Path(b).name}"), rename(a, b)))
    new_run(plan)
    assert calls[-2:] == [f"-> {plan.name}", "runs"]
    assert "home" in calls  # the folder runs/ is new too


# -- folders taken away, artifacts made by others --------------------------------------------------------


def test_a_worker_whose_run_folder_is_taken_away_stops(plan: Plan, stages: dict[str, Stage]) -> None:
    noticed = threading.Event()

    class Stop(worker.StopSignal):
        def lost(self, path: Path) -> None:
            super().lost(path)
            noticed.set()

    def lose(settings: Any, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
        run_folder = plan.home / "runs" / plan.name
        run_folder.rename(run_folder.with_name("elsewhere"))
        assert noticed.wait(10)
        run.check_stop()
        raise AssertionError("the loss was not heard")

    stages["corpus"] = lose
    run = new_run(plan)
    assert worker.work_on(run, stop=Stop()) == 75
    assert not plan.store.exists(plan.stages[0].makes)


def test_a_lock_that_somebody_replaced_is_lost(plan: Plan) -> None:
    run = new_run(plan)
    lost: list[Path] = []
    seen = threading.Event()
    with run.take_lock() as lock:
        run.lock_path.unlink()
        run.lock_path.touch()
        status = RunStatus(state="running")

        def note(path: Path) -> None:
            lost.append(path)
            seen.set()

        with Heartbeat(run, status, when_lost=note) as beating, beating.watching(lock):
            assert seen.wait(10)
    assert set(lost) == {run.lock_path}


def test_a_lock_is_not_given_back_while_it_is_looked_at(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file number would be another file's by then, and the worker would take that for a loss."""
    looking, given_back = threading.Event(), threading.Event()
    lost: list[Path] = []

    def look(_: object) -> bool:
        looking.set()
        return given_back.wait(0.2)

    monkeypatch.setattr(heartbeat, "_is_lost", look)
    run = new_run(plan)
    with run.take_lock() as lock, Heartbeat(run, RunStatus(), when_lost=lost.append) as beating:
        with beating.watching(lock):
            assert looking.wait(10)
        given_back.set()
    assert lost == []


def test_force_waits_for_whoever_makes_the_same_artifact(plan: Plan, stages: dict[str, Stage]) -> None:
    worker.work(plan)
    name = plan.stages[0].makes
    half = plan.store.start(name) / "half"
    half.write_text("of another run")
    run = Run(plan.home / "runs" / plan.name)
    stop = worker.StopSignal()
    stop.received = True
    with plan.store.lock(name) or pytest.fail("locked"):
        assert worker.work_on(run, force=["corpus"], stop=stop) == 75
    assert half.exists()
    assert plan.store.exists(name)
    assert worker.work_on(run, force=["corpus"]) == 0
    assert not half.exists()


def test_a_folder_without_manifest_is_in_nobodys_way(plan: Plan, stages: dict[str, Stage]) -> None:
    worker.work(plan)
    (plan.store.folder(plan.stages[1].makes) / artifacts.MANIFEST).unlink()
    run = worker.work(plan)
    assert run.state() == "finished"
    assert list(problems_of_run(run)) == []


def test_a_checkpoint_without_manifest_is_reported(plan: Plan, stages: dict[str, Stage]) -> None:
    run = new_run(plan)
    (plan.store.start(plan.stages[0].makes) / "step-00000001").mkdir()
    (problem,) = problems_of_run(run)
    assert "step-00000001" in problem


def test_trash_of_the_dead_is_swept(plan: Plan, stages: dict[str, Stage]) -> None:
    trash = plan.store.path / "documents" / ".trash-corpus-1"
    trash.mkdir(parents=True)
    worker.work(plan)
    assert not trash.exists()


# -- what was frozen -------------------------------------------------------------------------------------


def test_a_source_that_changed_since_planning_is_refused(
    plan: Plan, stages: dict[str, Stage], tmp_path: Path
) -> None:
    run = new_run(plan)
    (tmp_path / "text.txt").write_text("other text")
    worker.work_on(run)
    assert run.status()["exit_code"] == 2
    assert "text.txt changed after this run was planned" in run.status()["error"]
    assert make_plan(load_recipe(tmp_path / "x.toml")).name != plan.name


def test_a_source_that_changes_while_it_is_read_is_refused(
    plan: Plan, stages: dict[str, Stage], tmp_path: Path
) -> None:
    def change(settings: Any, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
        (tmp_path / "text.txt").write_text("more text")
        return leave(settings, inputs, run)

    stages["corpus"] = change
    run = worker.work(plan)
    assert run.status()["exit_code"] == 2
    assert not plan.store.exists(plan.stages[0].makes)


def test_a_plan_of_a_newer_version_is_refused_and_left_alone(plan: Plan) -> None:
    run = create_run(plan.home, plan.name, recipe_text="", plan={**plan.to_dict(), "version": 99})
    before = {path.name for path in run.path.iterdir()}
    with pytest.raises(BadInput, match=r"plan\.json: plan version 99 .*upgrade"):
        relaunch(run)
    assert {path.name for path in run.path.iterdir()} == before
