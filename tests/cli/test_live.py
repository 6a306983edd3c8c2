"""The drawing itself, at the sizes that people have."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console
from rich.text import Text

from workbench.cli.live import Picture, StageView
from workbench.cli.plain import plain_line
from workbench.events import Event
from workbench.runs import Run


def drawn(run: Run, events: list[Event], *, width: int, height: int) -> list[str]:
    """The lines of the picture after `events` (those of the run first)."""
    file = io.StringIO()
    console = Console(
        file=file, width=width, height=height, force_terminal=True, no_color=True, highlight=False
    )
    picture = Picture(run, console)
    for event in [*run.events(), *events]:
        picture.take(event)
    console.print(picture.draw())
    return file.getvalue().rstrip("\n").split("\n")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (40, 12)])
def test_no_line_wraps_and_all_fit(run: Run, width: int, height: int) -> None:
    notes: list[Event] = [
        {"kind": "note", "time": 0.0, "stage": "pretrain", "text": f"{number} very long {'text ' * 60}"}
        for number in range(30)
    ]
    lines = drawn(run, notes, width=width, height=height)
    assert all(Text.from_ansi(line).cell_len <= width for line in lines)
    assert len(lines) < height
    assert sum("pretrain" in line for line in lines) >= 1


def test_a_stopped_run_shows_where_it_stopped(run: Run) -> None:
    lines = drawn(run, [], width=80, height=24)
    assert "◌ stopped" in lines[0]
    assert any("◌ pretrain" in line and "step 20/40  loss 4.000  bpb 1.900" in line for line in lines)
    assert any("tokenizer" in line and "reused" in line for line in lines)


def test_time_left_follows_the_rate_of_this_worker() -> None:
    stage, now = StageView("pretrain"), time.time()
    stage.take({"kind": "stage_started", "time": now - 100, "stage": "pretrain"})
    stage.take({"kind": "stage_progress", "time": now - 10, "done": 50, "total": 100, "unit": "steps"})
    assert stage.seconds_left() is None
    stage.take({"kind": "stage_progress", "time": now, "done": 75, "total": 100, "unit": "steps"})
    assert stage.seconds_left() == pytest.approx(10, rel=0.1)


def test_no_event_is_too_strange_for_a_line() -> None:
    strange: list[Event] = [
        {
            "kind": "metric",
            "time": 0.0,
            "stage": "eval",
            "step": 1,
            "model": "sft",
            "task": "heldout",
            "acc": 0.5,
        },
        {"kind": "stage_progress", "time": 0.0, "stage": "corpus", "done": None, "total": "many"},
        {"kind": "stage_finished", "time": 0.0, "stage": "corpus", "summary": None, "seconds": None},
        {"kind": "sample", "time": 0.0, "stage": "a\x1b[31mb", "prompt": None, "text": "\x1b"},
        {"kind": "new kind", "time": 0.0},
    ]
    lines = [plain_line(event) for event in strange]
    assert lines[0] == "eval: sft heldout  acc 0.5"
    assert lines[-1] is None
    assert all("\x1b" not in (line or "") for line in lines)
