"""What `metrics`, `plot` and `show` print of a run does not hang on whether its events are kept in columns too."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import pytest

from workbench import event_columns
from workbench.event_columns import Rows, columns_path
from workbench.events import EventWriter
from workbench.history import read_history
from workbench.runs import Run

from .conftest import Workbench

COMMANDS = (
    ["show", "canned-run", "--json"],
    ["metrics", "canned-run"],
    ["metrics", "canned-run", "pretrain"],
    ["metrics", "canned-run", "--csv"],
    ["plot", "canned-run"],
    ["plot", "canned-run", "--stage", "dpo"],
    ["plot", "canned-run", "--metric", "val_loss"],
    ["plot", "canned-run", "--metric", "mfu"],
    ["plot", "canned-run", "--metric", "beauty"],
)


def work(run: Run, stage: str, first: int, steps: int, **figures: Any) -> None:
    """One worker's part of a training: numbers, words and nulls for numbers, other keys now and then."""
    writer = EventWriter(run.events_path)
    writer.write("run_started", pid=1)
    writer.write("stage_started", stage=stage, reused=False)
    for step in range(first, first + steps):
        loss: Any = {11: math.nan, 12: math.inf, 13: 3, 14: -0.0}.get(step % 40, 2 + 1 / step)
        late = {"data_wait_share": 1e-300} if step > 90 else {}
        mfu = 0.1 * step if step % 50 > 25 else None
        writer.write(
            "metric", stage=stage, step=step, loss=loss, tokens=2**50 + step, mfu=mfu, **figures, **late
        )
        if step % 5 == 0:
            writer.write("stage_progress", stage=stage, done=step, total=200, unit="steps")
        if step % 10 == 0:
            writer.write("metric", stage=stage, step=step, val_loss=2.5 - step / 1000, val_bpb=2**63)
    writer.close()


@pytest.fixture
def long_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Two stages; the first by three workers, of whom two were killed: steps come a second and a third time."""
    run.events_path.unlink()
    columns_path(run.events_path).unlink(missing_ok=True)
    monkeypatch.setattr(event_columns, "BLOCK_EVENTS", 16)
    monkeypatch.setattr("workbench.history.LINES_BYTES", 0)
    clock = itertools.chain((1000 + i / 4 for i in range(250)), (1020 + i / 4 for i in itertools.count()))
    monkeypatch.setattr("workbench.events.time.time", lambda: next(clock))  # set back once
    work(run, "pretrain", 1, 120, tokens_per_second=8192.5)
    work(run, "pretrain", 60, 80, tokens_per_second=8000)
    work(run, "pretrain", 100, 20)
    work(run, "dpo", 1, 50, **{"rewards/margins": 0.1, "note": 'é\n"\x1b,'})
    writer = EventWriter(run.events_path)
    for task in ("heldout", "names", "heldout"):
        writer.write("metric", stage="eval", model="dpo", task=task, accuracy=0.5)
    writer.close()
    return run


def test_columns_print_what_lines_print(workbench: Workbench, long_run: Run) -> None:
    pieces = list(read_history(long_run.events_path))
    assert sum(len(piece) for piece in pieces if isinstance(piece, Rows)) > 200
    in_columns = [workbench(*command) for command in COMMANDS]
    columns_path(long_run.events_path).unlink()
    assert [workbench(*command) for command in COMMANDS] == in_columns
    assert json.loads(in_columns[0].out)["seconds"] > 50


def test_metrics_are_the_events_as_they_were_told(workbench: Workbench, long_run: Run) -> None:
    """Fields in their order, and of each (stage, step, what it measures) the last."""
    told: dict[Any, str] = {}
    for line in long_run.events_path.read_text().splitlines():
        event = json.loads(line)
        if event["kind"] == "metric":
            key = (event["stage"], event.get("step"), "val_loss" in event, event.get("task"))
            told.pop(key, None)
            told[key] = json.dumps({name: event[name] for name in event if name not in ("kind", "seq")})
    assert workbench("metrics", "canned-run").out.splitlines() == list(told.values())


def test_every_task_of_an_evaluation_is_a_row(workbench: Workbench, long_run: Run) -> None:
    rows = [json.loads(line) for line in workbench("metrics", "canned-run").out.splitlines()]
    assert [row["task"] for row in rows if row["stage"] == "eval"] == ["names", "heldout"]
    told = workbench("plot", "canned-run", "--metric", "accuracy")
    assert (told.code, told.out) == (2, "") and "has logged no accuracy by step" in told.err
