"""What was predicted of a stage beside what was measured, from the run's plan and its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.cli.output import figure
from workbench.events import Event
from workbench.files import human_bytes, human_duration

QUANTITIES = {
    "parameters": ("parameters", figure),
    "memory": ("peak_bytes", human_bytes),
    "time": ("seconds", human_duration),
    "tokens/s": ("tokens_per_second", figure),
}


def measured_of(events: Sequence[Event], stage: str, *, seconds: float | None) -> dict[str, Any]:
    """What a stage took, as far as it has come; `seconds` is what all workers spent on it.

    Of a stage that is not finished, also what its first steps said of the time it takes in all.
    """
    finished = last_event(events, stage, "stage_finished") or {}
    summary = finished.get("summary") or {}
    cost = finished.get("cost") or {}
    measured: dict[str, Any] = {
        "parameters": summary.get("parameters"),
        "peak_bytes": cost.get("device_peak_bytes", cost.get("peak_bytes")),
        "seconds": seconds if finished else None,
        "tokens_per_second": _tokens_per_second(events, stage, cost),
    }
    told = [event for event in events if event.get("stage") == stage and "seconds_left" in event]
    started = next(
        (e for e in reversed(events) if e["kind"] == "stage_started" and e["stage"] == stage), None
    )
    if told and started is not None:
        spent = told[-1]["time"] - started["time"]
        measured["seconds_told_early"] = round(spent + float(told[-1]["seconds_left"]), 3)
    return {key: value for key, value in measured.items() if value is not None}


def prediction_lines(stage: Mapping[str, Any]) -> list[str]:
    """A table of predicted and measured, of a stage as `show --json` tells it; none where nothing was predicted."""
    predicted, measured = stage["predicted"] or {}, stage["measured"]
    rows = []
    for name, (key, shown) in QUANTITIES.items():
        both = (predicted.get(key), measured.get(key))
        if None not in both or (predicted.get(key) is not None and key != "parameters" and measured):
            rows.append((name, *("" if value is None else shown(value) for value in both), _ratio(*both)))
    if not rows or not measured or "tokens_per_second" not in predicted:
        return []
    lines = [("", "predicted", "measured", ""), *rows]
    basis = [f"  predicted: {predicted['basis']}"] if predicted.get("basis") else []
    return [
        f"  {name:<12}{left:>12}{right:>12}  {ratio}".rstrip() for name, left, right, ratio in lines
    ] + basis


def last_told(events: Sequence[Event], stage: str, key: str) -> Any:
    """The last value that an event of the stage gave for `key`."""
    return next((e[key] for e in reversed(events) if e.get("stage") == stage and key in e), None)


def last_event(events: Sequence[Event], stage: str, kind: str) -> Event | None:
    """The last event of that kind in the stage that tells of work done here."""
    return next(
        (
            e
            for e in reversed(events)
            if e["kind"] == kind and e.get("stage") == stage and not e.get("reused")
        ),
        None,
    )


def _tokens_per_second(events: Sequence[Event], stage: str, cost: Mapping[str, Any]) -> float | None:
    """Of the whole training where it is finished, else as last logged."""
    if cost.get("training_seconds"):
        return round(float(cost["tokens"]) / float(cost["training_seconds"]), 1)
    told = last_told(events, stage, "tokens_per_second")
    return float(told) if isinstance(told, int | float) else None


def _ratio(predicted: Any, measured: Any) -> str:
    if not isinstance(predicted, int | float) or not isinstance(measured, int | float) or not predicted:
        return ""
    return f"{measured / predicted - 1:+.0%}"
