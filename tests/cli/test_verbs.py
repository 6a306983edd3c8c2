"""Every verb at its seam: what is on stdout, what is on stderr, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from workbench import cli
from workbench.artifacts import MANIFEST
from workbench.cli.plots import step_ticks
from workbench.cli.watch import FIELDS
from workbench.errors import BadInput
from workbench.events import EventWriter
from workbench.plan import Plan
from workbench.runs import Request, Run
from workbench.stage_run import RunStatus, StageRun

from .conftest import Workbench, write_run

VERBS = sorted(
    command.name or command.callback.__name__ for command in cli.app.registered_commands if command.callback
)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(workbench: Workbench, verb: str) -> None:
    told = workbench(verb, "--help")
    assert told.code == 0
    assert f"Example: workbench {verb}" in told.out or f"Example:\n  workbench {verb}" in told.out
    assert told.err == ""


def test_no_short_help_is_cut(workbench: Workbench) -> None:
    commands = workbench("--help").out.partition("Commands:")[2]
    assert "run " in commands and "..." not in commands


@pytest.mark.parametrize(
    "arguments",
    [
        ["runs"],
        ["recipes"],
        ["check", "canned.toml"],
        ["plan", "canned.toml"],
        ["show", "canned-run"],
        ["status", "canned-run"],
        ["verify", "canned-run"],
        ["tasks"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_json_is_one_document_and_nothing_else(workbench: Workbench, run: Run, arguments: list[str]) -> None:
    told = workbench(*arguments, "--json")
    assert told.code == 0
    assert told.out.count("\n") == 1
    json.loads(told.out)


def test_json_lines_stream(workbench: Workbench, run: Run) -> None:
    rows = [json.loads(line) for line in workbench("metrics", "canned-run").out.splitlines()]
    assert [row["step"] for row in rows] == [*range(1, 21), 20]
    followed = workbench("follow", "canned-run", "--json")
    assert json.loads(followed.out.splitlines()[-1])["kind"] == "run_finished"
    assert followed.code == 75


def test_show_says_what_the_contract_promises(workbench: Workbench, run: Run, home: Path) -> None:
    facts = json.loads(workbench("show", "canned", "--json").out)
    assert {"name", "state", "recipe", "home", "started_at", "seconds", "stages"} <= facts.keys()
    assert (facts["name"], facts["state"], facts["recipe"]) == ("canned-run", "stopped", "canned")
    assert facts["home"] == str(home)
    for stage in facts["stages"]:
        assert {"name", "state", "reused", "seconds", "artifact", "summary"} <= stage.keys()
    states = [(stage["name"], stage["state"], stage["reused"]) for stage in facts["stages"]]
    assert states == [
        ("corpus", "finished", False),
        ("tokenizer", "finished", True),
        ("pack", "finished", False),
        ("pretrain", "stopped", False),
    ]
    assert facts["stages"][0]["summary"] == {"size": 4, "by": {}}


def test_show_for_people(workbench: Workbench, run: Run) -> None:
    out = workbench("show", "canned").out
    assert "pretrain" in out and "by    none" in out


def test_status_fields_are_bare(workbench: Workbench, run: Run) -> None:
    assert workbench("status", "canned-run", "--field", "state").out == "stopped\n"
    assert workbench("status", "canned-run", "--field", "step").out == "20\n"
    told = workbench("status", "canned-run", "--field", "colour")
    assert (told.code, told.out) == (2, "")
    assert "colour" in told.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["show", "nobody"], 3, "nobody"),
        (["run", "no-such-recipe"], 3, "no-such-recipe"),
        (["run", "--foo"], 2, "--foo"),
        (["show"], 2, "RUN"),
        (["nonsense"], 2, "nonsense"),
        (["generate", "x"], 2, "--prompt"),
        (["plan", "canned.toml", "--set", "pretrain.tokens"], 2, "pretrain.tokens"),
        (["pause", "canned-run"], 2, "stopped"),
        (["digest", "canned-run"], 3, "pretrain"),
        (["eval", "canned-run", "--tasks", "haldout"], 2, "heldout"),
        (["eval", "canned-run", "--tasks", "heldout", "--batch-size", "many"], 2, "many"),
        (["chat", "nobody"], 3, "nobody"),
        (["generate", "canned-run", "--prompt", "x"], 3, "no checkpoint"),
        (["export", "canned-run", "--output", "out", "--to", "onnx"], 2, "onnx"),
        (["plot", "canned-run", "--metric", "beauty"], 2, "beauty"),
        (["plot", "canned-run", "--stage", "sft"], 2, "sft"),
        (["inspect", "nowhere.jsonl"], 2, "nowhere.jsonl"),
        (["inspect", "nobody"], 3, "nobody"),
        (["open"], 2, "terminal"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_is_one_line_on_stderr(
    workbench: Workbench, run: Run, arguments: list[str], code: int, says: str
) -> None:
    told = workbench(*arguments)
    assert (told.code, told.out) == (code, "")
    assert told.err.count("\n") == 1
    assert says in told.err


def test_all_problems_of_a_recipe_at_once_with_their_lines(workbench: Workbench, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('name = "x"\n[corpus]\nsorces = ["a"]\n[tokenizer]\nvocab_size = "many"\n')
    told = workbench("check", bad)
    assert (told.code, told.out) == (2, "")
    lines = told.err.splitlines()
    assert any(line.startswith(f"{bad}:3:") and "sources" in line for line in lines)
    assert any(line.startswith(f"{bad}:5:") for line in lines)


def test_a_bug_of_ours_is_told_as_one(
    workbench: Workbench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.runs.list_runs", lambda home: {}["\x1b]0;oops"])
    told = workbench("runs")
    assert told.code == 70
    assert told.err.count("\n") == 1 and "\x1b" not in told.err
    report = Path(told.err.split()[-1])
    assert "Traceback" in report.read_text()
    report.unlink()


def test_an_interrupt_has_its_code(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(home: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workbench.runs.list_runs", interrupt)
    assert workbench("runs").code == 130


def test_new_writes_a_recipe_once(
    workbench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = workbench("new", "mine")
    assert (told.code, told.out) == (0, "mine.toml\n")
    text = (tmp_path / "mine.toml").read_text()
    assert 'name = "mine"' in text and "#" in text
    assert workbench("check", "mine.toml").code == 0
    assert workbench("new", "mine").code == 2
    assert workbench("new", "../mine").code == 2


def test_plan_fits_80_columns_and_names_origins(workbench: Workbench, recipe: Path, home: Path) -> None:
    out = workbench("plan", recipe, "--set", "pretrain.learning_rate=0.003").out
    assert max(map(len, out.splitlines())) <= max(80, len(str(home)) + 30)
    assert "learning_rate = 0.003 (--set)" in out
    assert "vocab_size = 300" in out


def test_plan_shows_which_near_duplicates_are_found(workbench: Workbench, recipe: Path) -> None:
    assert "copies" not in workbench("plan", recipe).out
    table = ("--set", "corpus.near_duplicates.bands=10", "--set", "corpus.near_duplicates.rows=10")
    out = " ".join(workbench("plan", recipe, *table).out.split())
    assert "10 bands of 10 rows find" in out
    assert "1.0% at 0.5, 5.9% at 0.6" not in out and "6% at 0.6" in out and "99% at 0.9" in out
    facts = json.loads(workbench("plan", recipe, *table, "--json").out)["near_duplicates"]
    assert facts["permutations"] == 100
    assert facts["found"]["0.75"] == pytest.approx(1 - (1 - 0.75**10) ** 10)


def test_verify_tells_what_is_wrong(workbench: Workbench, plan: Plan, run: Run) -> None:
    assert workbench("verify", "canned-run").code == 0
    made = plan.store.folder(plan.stages[0].makes) / "made"
    made.write_text("other!")
    told = workbench("verify", "canned-run")
    assert (told.code, told.out) == (1, "")
    assert str(made) in told.err
    assert MANIFEST not in told.err


def test_steering_a_run_that_is_over(workbench: Workbench, plan: Plan) -> None:
    write_run(plan, state="stopped")
    assert workbench("stop", "canned-run").code == 0
    assert workbench("save", "canned-run").code == 2


def test_stop_now_says_what_the_worker_says_of_it(workbench: Workbench, plan: Plan) -> None:
    run = write_run(plan, state="running")
    said = "stopped at step 20 without saving: 8 steps since the checkpoint of step 12 will be taken again\x1b[2J"

    def work() -> None:
        taken: list[Request] = []
        while not taken:
            taken += run.take_requests()
            over.wait(0.02)
        assert taken == ["stop now"]
        events = EventWriter(run.events_path)
        events.write("note", text=said, answers=taken[0].name)
        events.close()
        (run.path / "status.json").write_text('{"state": "stopped"}')

    over = threading.Event()
    worker = threading.Thread(target=work, daemon=True)
    with run.take_lock():
        worker.start()
        told = workbench("stop", "canned-run", "--now")
    worker.join()
    assert (told.code, told.out) == (0, "canned-run is stopped\n")
    assert told.err == said.replace("\x1b[2J", "[2J") + "\n"


def test_follow_and_log_pass_no_control_character(workbench: Workbench, run: Run) -> None:
    run.log_path.write_text("a\x1b[2Jb\n")
    for verb in ("follow", "log"):
        assert "\x1b" not in workbench(verb, "canned-run").out
    assert "[bold]a[/]" in workbench("follow", "canned-run").out


def test_plot_draws_without_colour(workbench: Workbench, run: Run) -> None:
    told = workbench("plot", "canned-run")
    assert told.code == 0
    assert "\x1b" not in told.out and "[0m" not in told.out
    assert "canned-run/pretrain 4" in told.out


def test_csv_has_a_column_for_every_figure(workbench: Workbench, run: Run) -> None:
    header, first, *_ = workbench("metrics", "canned-run", "pretrain", "--csv").out.splitlines()
    assert {"step", "loss", "val_bpb"} <= set(header.split(","))
    assert len(first.split(",")) == len(header.split(","))


def in_a_shell(command: str, *, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", "-c", command.replace("workbench", f"{sys.executable} -m workbench", 1)],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "WORKBENCH_HOME": str(home),
            "PYTHONPATH": str(Path(cli.__file__).parents[2]),
        },
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_alone_without_a_terminal_it_prints_help(home: Path) -> None:
    done = in_a_shell("workbench", home=home)
    assert done.returncode == 2
    assert "workbench run quickstart" in done.stdout


def test_a_closed_pipe_is_a_quiet_end(run: Run, home: Path) -> None:
    with run.events_path.open("a") as file:  # more than fits into a pipe
        for step in range(100, 5000):
            event = {"time": 0, "kind": "metric", "stage": "pretrain", "step": step, "loss": 1.0}
            file.write(json.dumps(event) + "\n")
    done = in_a_shell("workbench metrics canned-run | head -1; echo ${PIPESTATUS[0]}", home=home)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0"


def test_a_run_that_could_not_work_is_not_made(workbench: Workbench, recipe: Path, home: Path) -> None:
    for arguments in (["--only", "pack"], ["--until", "corpus", "--only", "pack"], ["--name", "../x"]):
        told = workbench("run", recipe, *arguments)
        assert (told.code, told.out) == (2, "")
        assert told.err.count("\n") == 1
    assert not (home / "runs").exists()


@pytest.mark.parametrize(
    "verb", [["runs"], ["show", "x"], *([each, "canned.toml"] for each in ("check", "plan", "run"))]
)
def test_a_home_that_can_be_none_is_refused(
    workbench: Workbench, recipe: Path, monkeypatch: pytest.MonkeyPatch, verb: list[str]
) -> None:
    for home, says in (("text.txt", "is a file"), ("text.txt/x", "is a file"), ("", "--home is empty")):
        told = workbench(*verb, "--home", home)
        assert (told.code, told.out) == (2, "")
        assert says in told.err and told.err.count("\n") == 1
    monkeypatch.setenv("WORKBENCH_HOME", "text.txt")
    assert workbench(*verb).code == 2


def test_check_looks_into_the_home_that_it_is_given(workbench: Workbench, recipe: Path, home: Path) -> None:
    told = workbench("check", recipe, "--home", "/proc/none")
    assert (told.code, told.out) == (2, "")
    assert "the home /proc/none cannot be written" in told.err
    assert workbench("check", recipe, "--home", recipe.parent / "other").code == 0
    assert not home.exists()


def test_a_finished_run_is_not_told_to_be_resumed(workbench: Workbench, plan: Plan) -> None:
    run = write_run(plan, state="finished", exit_code=0)
    for verb in ("pause", "save"):
        told = workbench(verb, "canned-run")
        assert (told.code, told.err) == (2, f"canned-run is finished; nothing to {verb}\n")
    with pytest.raises(BadInput, match=r"only a live run takes requests$"):
        run.request("save")


def test_metrics_of_a_stage_that_has_none(workbench: Workbench, run: Run) -> None:
    told = workbench("metrics", "canned-run", "nosuchstage")
    assert (told.code, told.out) == (3, "")
    assert "corpus, tokenizer, pack, pretrain" in told.err
    for arguments in (["corpus"], ["corpus", "--csv"]):
        told = workbench("metrics", "canned-run", *arguments)
        assert (told.code, told.out) == (0, "")
        assert told.err == "canned-run has logged no metrics in corpus\n"


def test_an_empty_log_is_said_to_be_one(workbench: Workbench, run: Run) -> None:
    for empty in (lambda: run.log_path.write_text(""), run.log_path.unlink):
        empty()
        told = workbench("log", "canned-run")
        assert (told.code, told.out) == (0, "")
        assert "the log is empty" in told.err


def test_a_field_without_a_value_is_not_there_yet(workbench: Workbench, run: Run) -> None:
    told = workbench("status", "canned-run", "--field", "val_loss")
    assert (told.code, told.out, told.err) == (0, "", "val_loss: none\n")
    (run.path / "status.json").write_text('{"state": "pending"}')
    told = workbench("status", "canned-run", "--field", "loss")
    assert (told.code, told.out, told.err) == (0, "", "loss: not yet\n")


def test_every_field_of_a_status_is_known(run: Run) -> None:
    """Whatever the worker's code puts into a status can be asked for before it is there."""
    shown = set(run.status()) | {"name", "state"}
    assert shown <= set(FIELDS)
    status, folder = RunStatus(), run.path
    handle = StageRun(run, stage="x", folder=folder, events=EventWriter(run.events_path), status=status)
    figures = ("loss", "val_loss", "val_bpb", "learning_rate", "tokens", "tokens_per_second", "grad_norm")
    handle.emit("metric", step=1, **dict.fromkeys(figures, 1.0))
    handle.progress(1, 2, "steps")
    assert set(status.snapshot()) <= set(FIELDS)


def test_steps_are_whole_numbers(workbench: Workbench, run: Run) -> None:
    lines = workbench("plot", "canned-run").out.splitlines()
    assert lines[-1].split() == ["1", "5", "10", "15", "20"]
    assert sum("┌" in line for line in lines) == 1  # the frame, and no box for one curve
    assert step_ticks([1, 2], most=7) == [1, 2]
    assert step_ticks([10, 4000], most=7) == [10, 1000, 2000, 3000, 4000]
    assert step_ticks([5], most=7) == [5]


def test_no_number_of_processes(workbench: Workbench, recipe: Path, home: Path) -> None:
    told = workbench("run", recipe, "--nproc", "0")
    assert (told.code, told.err.count("\n")) == (2, 1)
    assert "--nproc 0 is no number of processes" in told.err
    assert not (home / "runs").exists()


def test_tasks_explains_one_of_them(workbench: Workbench) -> None:
    told = workbench("tasks", "word_f1")
    assert told.code == 0 and "harmonic mean" in told.out and "SQuAD" in told.out
    wrong = workbench("tasks", "wordf1")
    assert (wrong.code, wrong.out) == (3, "") and "did you mean word_f1?" in wrong.err
