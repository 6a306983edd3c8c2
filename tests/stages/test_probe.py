"""The probe: the real stage for some steps, on tokens that are there or made up, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench import probe
from workbench.budget import estimate
from workbench.errors import BadInput, WorkbenchError
from workbench.events import EventWriter
from workbench.plan import Plan, make_plan
from workbench.recipe_file import load_recipe
from workbench.runs import Run
from workbench.stage_run import StageRun
from workbench.stages.pace import WARM_UP_STEPS
from workbench.stages.probe import Probe, answer

RECIPE = """name = "x"
[corpus]
sources = ["text.txt"]
[tokenizer]
vocab_size = 300
[pack]
[model]
size = "1m"
hidden_size = 32
num_hidden_layers = 2
num_attention_heads = 2
[pretrain]
tokens = "1M"
batch_tokens = 64
context_length = 16
eval_documents = 2
"""


@pytest.fixture
def plan(write_recipe: Callable[[str], Path], tmp_path: Path, home: Path) -> Plan:
    (tmp_path / "text.txt").write_text("some text\n" * 100)
    return make_plan(load_recipe(write_recipe(RECIPE)))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's work in this process, which has loaded everything already."""
    monkeypatch.setattr(probe, "_ask_child", answer)


@pytest.mark.usefixtures("here")
def test_a_plan_that_has_no_tokens_yet_is_probed_on_made_up_ones(plan: Plan) -> None:
    figures = probe.probe_plan(plan, steps=10)
    assert figures["steps"] == 10 + WARM_UP_STEPS
    assert figures["step_seconds_min"] <= figures["step_seconds"] <= figures["step_seconds_max"]
    assert figures["evaluations"] == figures["samples"] == 1
    assert min(figures[f"{part}_seconds"] for part in ("evaluation", "samples", "save")) > 0
    cost = estimate(plan).stages["pretrain"]
    assert "by a probe of 10 steps" in cost.basis
    assert cost.peak_bytes == figures["peak_bytes"]
    steps = 1_000_000 // 64
    assert cost.seconds == pytest.approx(steps * figures["step_seconds"], rel=0.5)
    assert not list((plan.home / "cache").glob("workbench-probe-*"))
    assert not (plan.home / "runs").exists()


def test_what_compiling_was_measured_to_give_is_kept_for_the_run(plan: Plan, tmp_path: Path) -> None:
    request = probe._request(plan, plan.stage("pretrain"), steps=1)
    (tmp_path / "thrown away").mkdir()
    probing = Probe(tmp_path / "thrown away", steps=1, compile_times=Path(request["compile_times"]))
    run = Run(plan.home / "runs" / "x")
    run.path.mkdir(parents=True)
    running = StageRun(run, stage="pretrain", folder=tmp_path, events=EventWriter(run.events_path))
    assert probing.compile_times_path == running.compile_times_path


@pytest.mark.usefixtures("here")
def test_made_up_words_are_enough_for_any_vocabulary(
    write_recipe: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("some text\n" * 100)
    recipe = RECIPE.replace("vocab_size = 300", "vocab_size = 4096").replace("documents = 2", "documents = 1")
    plan = make_plan(load_recipe(write_recipe(recipe)), home=tmp_path / "home")
    assert probe.probe_plan(plan, steps=1)["steps"] == 1 + WARM_UP_STEPS


def test_a_child_that_was_killed_says_what_to_lower(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    real = probe.subprocess.run

    def killed(command: Any, **more: Any) -> Any:
        return real(["/bin/sh", "-c", "kill -9 $$"], **more)

    monkeypatch.setattr(probe.subprocess, "run", killed)
    with pytest.raises(WorkbenchError, match=r"memory ran out; lower .* micro_batch_tokens"):
        probe.probe_plan(plan)


def test_nothing_to_probe(write_recipe: Callable[[str], Path], tmp_path: Path, home: Path) -> None:
    (tmp_path / "text.txt").write_text("some text\n" * 100)
    recipe = write_recipe('name = "x"\n[corpus]\nsources = ["text.txt"]\n')
    with pytest.raises(BadInput, match="no pretraining"):
        probe.probe_plan(make_plan(load_recipe(recipe)))
