"""The first line of a run: how old what it shows is, in amber where that is too old, and how long it still takes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from textual.content import Content

from tests.tui.test_screens import running, text_of, until
from tui.app import WorkbenchApp
from tui.run_seen import RunSeen
from tui.widgets.run_header import RunHeader, headline
from workbench.files import lock_file
from workbench.runs import Run

MakeRun = Any
NOW = 1_700_000_000.0


def amber(content: Content) -> str:
    """What of it is in amber."""
    return "".join(
        content.plain[span.start : span.end] for span in content.spans if "$warning" in str(span.style)
    )


def seen(**facts: Any) -> RunSeen:
    return RunSeen(
        "run", Path("run"), **{"state": "running", "heard_at": NOW, "told_at": NOW, "seconds": 60.0} | facts
    )


def test_a_heart_that_does_not_beat_is_amber() -> None:
    assert amber(headline(seen(), now=NOW + 9)) == ""
    assert amber(headline(seen(), now=NOW + 42)) == "  ! silent, heard 42s ago"


@pytest.mark.parametrize(("silent", "stuck"), [(25.0, False), (31.0, True)])
def test_a_heart_that_beats_while_nothing_is_told_for_three_times_the_usual_is_amber(
    silent: float, stuck: bool
) -> None:
    run = seen(usual_silence=10.0, heard_at=NOW + silent)
    said = amber(headline(run, now=NOW + silent))
    assert said == (f"  ! no news for {silent:.0f}s" if stuck else "")


def test_one_that_is_paused_or_over_or_not_yet_known_may_be_silent() -> None:
    later = NOW + 3600
    for facts in ({"state": "paused"}, {"state": "stopped"}, {"usual_silence": None}):
        run = seen(**{"usual_silence": 1.0, "heard_at": later} | facts)
        assert "no news" not in headline(run, now=later).plain


def test_the_time_left_stands_with_its_interval() -> None:
    assert "  left ~2h 41m ±6m" in headline(seen(left=(9660.0, 360.0)), now=NOW).plain
    assert "  left ~50s  " in f"{headline(seen(left=(50.0, 0.4)), now=NOW).plain}  "


@pytest.mark.parametrize(
    ("width", "said"), [(120, ("left", "saved", "heard")), (64, ("left", "heard")), (50, ("heard",))]
)
async def test_a_narrow_line_keeps_how_old_it_is(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, said: tuple[str, ...]
) -> None:
    run: Run = make_run("busy", state="running", now=NOW)
    monkeypatch.setattr(time, "time", lambda: NOW)
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        app = WorkbenchApp(tmp_path, run.name)
        async with running(app, (width, 24)) as pilot:
            await until(pilot, lambda: "heard just now" in text_of(app))
            line = text_of(app).splitlines()[0]
            assert tuple(word for word in ("left", "saved", "heard") if word in line) == said


@pytest.mark.parametrize(
    ("width", "said"), [(120, "○ sft ~4m ─ ○ dpo ─ ○ eval ~30s"), (80, "○ sft ─ ○ dpo ─ ○ eval")]
)
async def test_stages_that_wait_stand_with_what_was_planned_where_there_is_room(
    make_run: MakeRun, tmp_path: Path, width: int, said: str
) -> None:
    run: Run = make_run()
    run.replace_plan(run.plan() | {"predicted": {"sft": {"seconds": 240.0}, "eval": {"seconds": 30}}})
    app = WorkbenchApp(tmp_path, run.name)
    async with running(app, (width, 24)) as pilot:
        await until(pilot, lambda: said in text_of(app))


async def test_the_screen_turns_amber_as_time_goes_by(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Run = make_run(state="running", now=NOW)
    clock = NOW
    monkeypatch.setattr(time, "time", lambda: clock)
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        app = WorkbenchApp(tmp_path, run.name)
        async with running(app, (120, 30)) as pilot:
            await until(pilot, lambda: "heard just now" in text_of(app))
            header = app.screen.query_one(RunHeader)
            assert isinstance(header.visual, Content) and amber(header.visual) == ""
            clock = NOW + 42
            status = {**run.status(), "heartbeat": clock}
            (run.path / "status.json").write_text(json.dumps(status))
            await until(pilot, lambda: "! no news for 42s" in text_of(app))
            clock = NOW + 100
            await until(pilot, lambda: "! silent, heard 58s ago" in text_of(app))
            assert "! silent" in amber(header.visual)
