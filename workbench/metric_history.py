"""What a run logged, of each step the newest: a step that was taken again after a resume counts once.

A million steps are read and sorted out in columns; they become events only for those who ask for events.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, count, groupby
from pathlib import Path
from typing import Any

from workbench.event_columns import Event, Piece, Rows
from workbench.history import read_history

Series = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """Metrics of one series that follow one another; `kept` has a 1 for each of them that counts."""

    series: Series
    events: Piece
    steps: Sequence[Any]
    first: int
    kept: bytes = b""


class MetricHistory:
    """The metric events of a file, or those of one stage, each (stage, step, what it measures) once."""

    def __init__(self, path: Path, stage: str | None = None) -> None:
        found: list[_Part] = []
        newest: dict[Series, dict[Any, int]] = defaultdict(dict)
        number = 0
        for piece in read_history(path):
            for series, events in _in_series(piece, stage):
                steps = _values(events, "step")
                newest[series].update(zip(steps, count(number), strict=False))
                found.append(_Part(series, events, steps, number))
                number += len(steps)
        self._parts = [
            _Part(part.series, part.events, part.steps, part.first, _kept(part, newest[part.series]))
            for part in found
        ]

    def __len__(self) -> int:
        return sum(sum(part.kept) for part in self._parts)

    def events(self) -> Iterator[Event]:
        """The events, oldest first."""
        for part in self._parts:
            events = part.events.events() if isinstance(part.events, Rows) else part.events
            yield from compress(events, part.kept)

    def curves(self, metric: str) -> dict[str, tuple[list[float], list[float]]]:
        """Steps and values of a metric by stage, the stage that told it first first. What is no number is left out."""
        curves: dict[str, tuple[list[float], list[float]]] = {}
        for part in self._parts:
            for step, value in compress(
                zip(part.steps, _values(part.events, metric), strict=True), part.kept
            ):
                if isinstance(step, int | float) and isinstance(value, int | float):
                    steps, told = curves.setdefault(part.series[0], ([], []))
                    steps.append(float(step))
                    told.append(float(value))
        return curves


def _in_series(piece: Piece, stage: str | None) -> Iterator[tuple[Series, Piece]]:
    """The metrics of a piece, neighbours of one series together."""
    if isinstance(piece, Rows):
        first = next(piece.events())  # what makes a series is the same in all rows
        if _is_of(first, stage):
            yield _series(first), piece
        return
    for series, events in groupby((event for event in piece if _is_of(event, stage)), key=_series):
        yield series, list(events)


def _is_of(event: Event, stage: str | None) -> bool:
    return event["kind"] == "metric" and stage in (None, event.get("stage"))


def _series(event: Event) -> Series:
    """What is measured: of whom, and of which task where it has no step."""
    measures = "val_loss" if "val_loss" in event else ""
    return str(event.get("stage")), measures, str(event.get("model")), str(event.get("task"))


def _values(events: Piece, name: str) -> Sequence[Any]:
    if isinstance(events, Rows):
        return events.columns.get(name) or [events.same.get(name)] * len(events)
    return [event.get(name) for event in events]


def _kept(part: _Part, newest: dict[Any, int]) -> bytes:
    return bytes(map(operator.eq, map(newest.__getitem__, part.steps), count(part.first)))
