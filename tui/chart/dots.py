"""What of a series is seen: one Part for each dot of the x axis, and the moving average through them."""

from __future__ import annotations

import itertools
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from tui.chart.series import FAN, Part, Series, coarseness

SMOOTHINGS = (0.0, 0.6, 0.9, 0.98)
"""The weight of the past per row, from none to that of the last fifty."""


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch of the x axis that is shown, in `dots` columns of dots."""

    start: float
    end: float
    dots: int

    def dot(self, x: float) -> int:
        """The dot of `x`; outside [0, dots) where it is not shown."""
        return int((x - self.start) / (self.end - self.start) * self.dots // 1)

    def x(self, dot: float) -> float:
        """The middle of a dot."""
        return self.start + (dot + 0.5) * (self.end - self.start) / self.dots


@dataclass(frozen=True, slots=True)
class Rows:
    """Where each dot's rows begin: `bounds[i]` to `bounds[i + 1]`, whole entries of `level` but for the last."""

    bounds: tuple[int, ...]
    level: int


def rows_of(window: Window, column: array[float] | array[int], factor: float = 1.0) -> Rows:
    """Which rows of a column that never goes back lie in each dot.

    What lies left of the newest row stays as it is when rows are added: only news is drawn again.
    """
    rows = len(column)
    width = (window.end - window.start) / window.dots
    edges = [
        bisect_left(column, (window.start + dot * width) / factor, 0, rows) for dot in range(window.dots + 1)
    ]
    edges[-1] = bisect_right(column, window.end / factor, 0, rows)  # the newest may lie on the edge itself
    seen = max(edges[-1] - edges[0], 1)
    filled = sum(1 for a, b in itertools.pairwise(edges) if b > a) or 1
    # The power of two below keeps the level from changing with every row that is added.
    level = coarseness(2 ** int(seen / filled).bit_length() / 2)
    size: int = FAN**level
    return Rows(tuple(edge if edge == rows else edge // size * size for edge in edges), level)


def parts_of(series: Series, rows: Rows, *, known: Sequence[Part | None] = ()) -> list[Part | None]:
    """One part a dot. `known`: those of a look before at the same rows, of which all but the last few still hold."""
    bounds = rows.bounds
    parts = list(known)
    for dot in range(len(parts), len(bounds) - 1):
        first, end = bounds[dot], bounds[dot + 1]
        parts.append(series.part(first, end, level=rows.level) if end > first else None)
    return parts


def smoothed(parts: Sequence[Part | None], smoothing: float) -> list[float | None]:
    """The exponential moving average of the means, one value per dot, without a pull to zero at the start.

    smoothing: the weight of the past per row: a dot of n rows counts as n equal rows (Adam's bias correction).
    """
    if not smoothing:
        return [None if part is None else part.mean for part in parts]
    total = weight = 0.0
    averages: list[float | None] = []
    for part in parts:
        if part is None:
            averages.append(None)
            continue
        keep = smoothing**part.count
        total = keep * total + (1 - keep) * part.mean
        weight = keep * weight + (1 - keep)
        averages.append(total / weight)
    return averages
