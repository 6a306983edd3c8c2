"""Predicted beside measured: from a plan's figures and a run's events."""

from __future__ import annotations

from typing import Any

from workbench.cli.predictions import last_told, measured_of, prediction_lines
from workbench.events import Event

PREDICTED = {
    "parameters": 1000, "seconds": 100.0, "peak_bytes": 500_000_000, "tokens_per_second": 40.0, "basis": "estimated",
}  # fmt: skip
STARTED: list[Event] = [
    {"kind": "stage_started", "stage": "pretrain", "time": 10.0},
    {"kind": "note", "stage": "pretrain", "time": 10.5, "text": "…", "environment": {"dtype": "bfloat16"}},
    {"kind": "metric", "stage": "pretrain", "time": 20.0, "tokens_per_second": 44.0},
    {
        "kind": "note",
        "stage": "pretrain",
        "time": 30.0,
        "text": "…",
        "step_seconds": 1.0,
        "seconds_left": 70.0,
    },
]
COST = {"peak_bytes": 550_000_000, "tokens": 2000, "training_seconds": 40.0}
FINISHED: Event = {
    "kind": "stage_finished", "stage": "pretrain", "time": 120.0, "summary": {"parameters": 1000}, "cost": COST,
}  # fmt: skip


def facts(events: list[Event], seconds: float | None) -> dict[str, Any]:
    return {"predicted": PREDICTED, "measured": measured_of(events, "pretrain", seconds=seconds)}


def test_a_finished_stage() -> None:
    stage = facts([*STARTED, FINISHED], 110.0)
    assert stage["measured"] == {
        "parameters": 1000,
        "peak_bytes": 550_000_000,
        "seconds": 110.0,
        "tokens_per_second": 50.0,
        "seconds_told_early": 90.0,
    }
    lines = prediction_lines(stage)
    assert [line.split() for line in lines[:5]] == [
        ["predicted", "measured"],
        ["parameters", "1,000", "1,000", "+0%"],
        ["memory", "500", "MB", "550", "MB", "+10%"],
        ["time", "1m", "40s", "1m", "50s", "+10%"],
        ["tokens/s", "40", "50", "+25%"],
    ]


def test_a_stage_at_work_shows_what_it_has_so_far() -> None:
    stage = facts(STARTED, None)
    assert stage["measured"] == {"tokens_per_second": 44.0, "seconds_told_early": 90.0}
    assert any("tokens/s" in line and "44" in line for line in prediction_lines(stage))
    assert last_told(STARTED, "pretrain", "environment") == {"dtype": "bfloat16"}


def test_a_gpus_memory_is_what_counts() -> None:
    event = {**FINISHED, "cost": {**COST, "device_peak_bytes": 7}}
    assert measured_of([*STARTED, event], "pretrain", seconds=1.0)["peak_bytes"] == 7


def test_nothing_predicted_or_nothing_measured_is_no_table() -> None:
    assert prediction_lines({"predicted": None, "measured": {"seconds": 1.0}}) == []
    assert prediction_lines({"predicted": PREDICTED, "measured": {}}) == []
    assert measured_of([{**FINISHED, "reused": True}], "pretrain", seconds=0.0) == {}
