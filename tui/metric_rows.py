"""Metric events of one shape as columns: a long history is read a thousand events at a time.

Taking each event by itself costs four times as much CPU time as reading its JSON does. What is out of the ordinary
(a step that goes back, a word where a number belongs) is none of this and goes the slow way, one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from workbench.event_columns import Rows
from workbench.events import Event

NO_METRIC = frozenset({"time", "kind", "seq", "stage", "step", "tokens", "seconds", "task", "model"})
MUST_BE_NUMBERS = frozenset({"loss", "grad_norm", "val_loss"})
"""Metrics that a run without trouble always has: null is written where all of some steps were not finite."""
LEAST_ROWS = 8
"""Fewer are taken one by one: a live run tells one or two a second."""
_NUMBERS = frozenset({int, float})
_NOTHING = frozenset({type(None)})


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows of a training, a column each."""

    steps: Sequence[int]
    tokens: Sequence[float]
    seconds: Sequence[float]
    metrics: Mapping[str, Sequence[float]]


def alike(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Neighbours that have the same keys in the same order, and the same stage."""
    for _, group in groupby(events, key=_shape):
        yield list(group)


def _shape(event: Event) -> tuple[object, ...]:
    return (event.get("stage"), *event)


def columns_of(events: Sequence[Event]) -> Columns | None:
    """The columns of events that are `alike`; None where they are few, no training's, or not numbers throughout."""
    if len(events) < LEAST_ROWS:
        return None
    first = events[0]
    if not ("loss" in first or "tokens_per_second" in first) or "step" not in first:
        return None
    columns = {
        name: [event[name] for event in events]
        for name in first
        if name not in NO_METRIC or name in ("step", "tokens", "seconds")
    }
    types = {name: set(map(type, values)) for name, values in columns.items()}
    for name in [name for name, found in types.items() if found == _NOTHING]:  # nobody measures it here
        if name in MUST_BE_NUMBERS or name == "step":
            return None
        del columns[name], types[name]
    if types["step"] != {int} or not all(found <= _NUMBERS for found in types.values()):
        return None
    none = [0.0] * len(events)
    steps = columns.pop("step")
    return Columns(steps, columns.pop("tokens", none), columns.pop("seconds", none), columns)


def columns_of_rows(rows: Rows) -> Columns | None:
    """The columns of all but the newest row; None where they are no training's, or not numbers throughout."""
    for name, value in rows.same.items():
        if name not in NO_METRIC and (value is not None or name in MUST_BE_NUMBERS):
            return None
    last = len(rows) - 1
    columns = {name: column[:last] for name, column in rows.columns.items()}
    if not last or "step" not in columns or columns["step"].typecode != "q":
        return None
    none = [0.0] * last
    steps, tokens, seconds = columns["step"], columns.get("tokens", none), columns.get("seconds", none)
    metrics = {name: column for name, column in columns.items() if name not in NO_METRIC}
    return Columns(steps, tokens, seconds, metrics)


def number(value: Any) -> float | None:
    """`value` if it is a number; None for anything else that a file may hold."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
