"""The ways to stop a run: what each comes to, its command, and that the run is asked for what was chosen."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Button

from tests.tui.test_steering import asked, running, shown, text_of, until
from tui.app import WorkbenchApp
from tui.chart.track import StageCurves
from tui.run_seen import Answer, RunSeen
from tui.screens.stop import StopScreen
from tui.steering import Asked, progress_of, what_stopping_loses
from workbench.files import lock_file
from workbench.runs import Run

MakeRun = Any


async def test_stopping_now_says_what_is_taken_again_and_shows_its_command(
    make_run: MakeRun, tmp_path: Path
) -> None:
    run: Run = make_run(state="running", steps=337, now=time.time())
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        app = WorkbenchApp(tmp_path, run.name)
        async with running(app) as pilot:
            await shown(pilot)
            await pilot.press("S")
            await until(pilot, lambda: isinstance(app.screen, StopScreen) and app.focused is not None)
            said = " ".join(text_of(app).split())
            assert (
                ", 37 steps back. Checkpoint, then stop: nothing is lost. Stop now: R takes 37 steps again, "
                in said
            )
            assert "--now" not in text_of(app)
            await pilot.press("left")  # round to the last
            await until(pilot, lambda: f"$ workbench stop {run.name} --now" in text_of(app))
            await pilot.press("enter")
            await until(pilot, lambda: "stop now asked for" in text_of(app))
            assert [request for _, request in asked(run)] == ["stop now"]


async def test_every_way_is_in_sight_in_a_small_terminal(make_run: MakeRun, tmp_path: Path) -> None:
    app = WorkbenchApp(tmp_path)
    async with running(app, (60, 15)) as pilot:
        app.push_screen(StopScreen(trained(90, 20, 40), tmp_path))
        await until(pilot, lambda: isinstance(app.screen, StopScreen) and app.focused is not None)
        [line] = [line for line in text_of(app).splitlines() if "Cancel" in line]
        assert line.split() == ["Cancel", "Checkpoint,", "then", "stop", "Stop", "now"]


async def test_a_stage_without_checkpoints_is_stopped_in_one_way(make_run: MakeRun, tmp_path: Path) -> None:
    seen = RunSeen("run", tmp_path / "runs" / "run", state="running", stage="corpus")
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        app.push_screen(StopScreen(seen, tmp_path))
        await until(pilot, lambda: isinstance(app.screen, StopScreen) and app.focused is not None)
        assert [str(button.label) for button in app.screen.query(Button)] == ["Cancel", "Stop"]
        assert "corpus keeps nothing half-done" in text_of(app)


def trained(step: int, *checkpoints: int, stage: str = "pretrain") -> RunSeen:
    """A run at that step of its stage, each of which took two seconds."""
    curves = StageCurves()
    for taken in range(1, step + 1):
        curves.training.add(taken, 0.0, 2.0 * taken, {"loss": 2.0})
    for saved in checkpoints:
        curves.mark("checkpoint", saved)
    return RunSeen(
        "run",
        Path("run"),
        state="running",
        stage=stage,
        figures={stage: {"step": step}},
        curves={stage: curves},
        checkpoint_at=1000.0,  # of whatever stage
        checkpoint_step=checkpoints[-1] if checkpoints else 400,
    )


@pytest.mark.parametrize(
    ("seen", "kept", "lost"),
    [
        (
            trained(90, 20, 40),
            "Last checkpoint 1m 40s ago, 50 steps back.",
            "R takes 50 steps again, 1m 40s.",
        ),
        (trained(41, 40), "Last checkpoint 1m 40s ago, 1 step back.", "R takes 1 step again, 2s."),
        (trained(40, 40), "Last checkpoint 1m 40s ago, of this step.", "nothing is lost either."),
        (trained(90, stage="sft"), "sft has no checkpoint yet.", "R begins it again."),
    ],
)
def test_what_stopping_comes_to_is_told_of_the_stage_at_work(seen: RunSeen, kept: str, lost: str) -> None:
    lines = what_stopping_loses(seen, now=1100.0).splitlines()
    assert lines == [kept, "Checkpoint, then stop: nothing is lost.", f"Stop now: {lost}"]


def test_the_line_of_a_stop_ends_with_the_words_of_the_worker(tmp_path: Path) -> None:
    request = Asked("stop now", "17-ab", 0.0)
    seen = RunSeen("run", tmp_path, state="stopped")
    assert progress_of(request, seen) == ("done", "the run is stopped")
    said = "stopped at step 5 without saving: 2 steps since the checkpoint of step 3 will be taken again"
    seen = RunSeen("run", tmp_path, state="stopped", answers={"17-ab": Answer(0.0, "done", said)})
    assert progress_of(request, seen) == ("done", said)
