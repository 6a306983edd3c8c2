"""The dialog that changes a value of a live training, with a real plan behind it: what it offers, asks for, refuses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.small_home import planned
from tests.tui.test_steering import asked, running, text_of, until
from tui.app import WorkbenchApp
from tui.screens.run import RunScreen
from tui.screens.tune import TuneScreen
from tui.steering import KNOBS, knobs
from workbench.files import lock_file
from workbench.plan import Plan
from workbench.runs import Run
from workbench.tuning import COSMETIC, STEERING

__all__ = ["planned"]


@pytest.fixture
def live(planned: Plan, tmp_path: Path) -> Iterator[Run]:
    """A run of a real plan that is in its pretraining, at step 3."""
    run = Run(tmp_path / "runs" / planned.name)
    now = time.time()
    events = [
        {"kind": "run_started", "name": run.name},
        {"kind": "stage_started", "stage": "pretrain", "reused": False},
        *(
            {"kind": "metric", "stage": "pretrain", "step": step, "loss": 6.0, "tokens": 256 * step, "seconds": step}
            for step in (1, 2, 3)
        ),
    ]  # fmt: skip
    run.events_path.write_text("".join(json.dumps({"time": now, **event}) + "\n" for event in events))
    status = {"state": "running", "stage": "pretrain", "heartbeat": now, "started_at": now, "pid": 1}
    (run.path / "status.json").write_text(json.dumps(status))
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        yield run


async def open_dialog(pilot: Pilot[None], run: Run) -> None:
    app = pilot.app
    await until(pilot, lambda: isinstance(app.screen, RunScreen) and "▸pretrain loss" in text_of(app))  # type: ignore[arg-type]
    await pilot.press("T")
    await until(pilot, lambda: isinstance(app.screen, TuneScreen) and "sample_prompts" in text_of(app))  # type: ignore[arg-type]


async def submit(pilot: Pilot[None], text: str) -> None:
    pilot.app.screen.query_one(Input).value = text
    await pilot.press("enter")


def test_every_key_that_may_be_tuned_is_explained_in_a_line_of_the_usual_terminal() -> None:
    assert set(KNOBS) == {*STEERING, *COSMETIC} - {"decay"}
    assert max(map(len, KNOBS.values())) <= 40


def test_it_offers_what_the_stage_has(live: Run, tmp_path: Path) -> None:
    offered = {key: value for key, value, _ in knobs(tmp_path, live.name)}
    assert list(offered) == list(KNOBS)
    assert offered["eval_every_steps"] == "200" and offered["sample_prompts"] == "held-out"


def test_it_tells_what_holds_now(live: Run, tmp_path: Path) -> None:
    tuned = {"eval_every_steps": 50, "sample_prompts": ["one"]}
    (live.path / "status.json").write_text(json.dumps(live.status() | {"tuned": tuned}))
    now = {key: value for key, value, _ in knobs(tmp_path, live.name)}
    assert (now["eval_every_steps"], now["sample_prompts"], now["sample_every_steps"]) == (
        "50",
        "1 text",
        "200",
    )


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (200, 50)])
async def test_prompts_are_asked_for_as_they_are_written(
    live: Run, tmp_path: Path, size: tuple[int, int]
) -> None:
    app = WorkbenchApp(tmp_path, live.name)
    async with running(app, size) as pilot:
        await open_dialog(pilot, live)
        if size > (60, 15):
            assert "makes the result this run's" in text_of(app)
        await submit(pilot, 'sample_prompts = ["The  sea", "[b]x"]')
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and bool(asked(live)))
        [(name, request)] = asked(live)
        assert request == 'tune sample_prompts=["The  sea", "[b]x"]'
        with live.events_path.open("a") as file:
            for event in (
                {"text": "tune … requested", "request": name},
                {"text": "from step 4 on sample_prompts = 2 prompts", "answers": name},
            ):
                file.write(
                    json.dumps({"time": time.time(), "kind": "note", "stage": "pretrain", **event}) + "\n"
                )
        await until(pilot, lambda: "✓ from step 4 on" in text_of(app))


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("eval_every_steps=0", "greater than 0"),
        ('sample_prompts=["a\x1b]52;c;eA==\x07', "not a list of texts"),
        ("sample_prompts=" + "x" * 4097, "characters"),
    ],
)
async def test_what_cannot_be_is_said_in_the_dialog(
    live: Run, tmp_path: Path, written: str, why: str
) -> None:
    app = WorkbenchApp(tmp_path, live.name)
    async with running(app) as pilot:
        await open_dialog(pilot, live)
        app.screen.query_one(Input).max_length = None  # what a paste can do
        await submit(pilot, written)
        await until(pilot, lambda: why in text_of(app))
        assert isinstance(app.screen, TuneScreen) and asked(live) == []
        assert not [c for c in text_of(app) if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160)]
