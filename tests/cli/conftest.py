"""Canned homes for the command line: run folders as workers leave them; no training, no tensors."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from workbench import cli
from workbench.events import EventWriter
from workbench.plan import Plan, make_plan
from workbench.recipe_file import load_recipe
from workbench.runs import Run, create_run

RECIPE = """\
name = "canned"
[corpus]
sources = ["text.txt"]
[tokenizer]
vocab_size = 300
[pack]
[pretrain]
tokens = "10k"
"""


@dataclasses.dataclass(frozen=True)
class Told:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


Workbench = Callable[..., Told]


@pytest.fixture
def workbench(capsys: pytest.CaptureFixture[str]) -> Workbench:
    """Runs a command in this process, through the same door as the console script."""

    def call(*arguments: object) -> Told:
        capsys.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Told(code, captured.out, captured.err)

    return call


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "text.txt").write_text("some text to learn from\n" * 50)
    path = tmp_path / "canned.toml"
    path.write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return path


@pytest.fixture
def plan(recipe: Path, home: Path) -> Plan:
    return make_plan(load_recipe(recipe), name="canned-run")


def write_run(
    plan: Plan,
    *,
    state: str = "stopped",
    exit_code: int = 75,
    made: Sequence[str] = ("corpus", "tokenizer", "pack"),
    events: bool = True,
) -> Run:
    """A run that made the stages in `made` and was then at pretrain, step 20."""
    run = create_run(plan.home, plan.name, recipe_text=plan.recipe_text, plan=plan.to_dict())
    for stage in plan.stages:
        if stage.name in made:
            plan.store.start(stage.makes).joinpath("made").write_text(stage.name)
            plan.store.publish(
                stage.makes, stage=stage.name, settings={}, inputs={}, summary={"size": 4, "by": {}}
            )
    if events:
        writer = EventWriter(run.events_path)
        writer.write("run_started", name=run.name, pid=1, stages=[stage.name for stage in plan.stages])
        for name in made:
            writer.write("stage_started", stage=name, artifact=f"x/{name}", reused=name == "tokenizer")
            writer.write(
                "stage_finished", stage=name, reused=name == "tokenizer", seconds=1.5, summary={"size": 4}
            )
        writer.write("stage_started", stage="pretrain", artifact="checkpoint/pretrain", reused=False)
        for step in range(1, 21):
            loss = 6 - step / 10
            writer.write(
                "metric", stage="pretrain", step=step, loss=loss, tokens=step * 512, tokens_per_second=9e3
            )
            writer.write("stage_progress", stage="pretrain", done=step, total=40, unit="steps")
        writer.write("metric", stage="pretrain", step=20, val_loss=4.2, val_bpb=1.9)
        writer.write(
            "sample", stage="pretrain", step=20, prompt="once \x1b]0;title\x07", text="upon [bold]a[/] time"
        )
        writer.write("run_finished", state=state, exit_code=exit_code, seconds=9.0)
        writer.close()
    status = {"state": state, "stage": "pretrain", "step": 20, "loss": 4.0, "pid": 1, "exit_code": exit_code}
    (run.path / "status.json").write_text(json.dumps(status))
    run.log_path.write_text("all is well\n")
    return run


@pytest.fixture
def run(plan: Plan) -> Run:
    """A stopped run in the home that the library finds by itself."""
    return write_run(plan)
