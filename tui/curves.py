"""One metric over steps, in bounded memory, and what a chart needs of it: smoothing, ranges, ticks.

Pure functions and one small class; standard library only. Knows no event, no plot library and no widget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

BUCKETS = 2048
"""Twice the dots of the widest terminal; a run of any length is kept in at most this many."""

LEAST_SPAN = 0.05
"""The y axis spans at least this share of its values: a loss that wavers by 1 % is not to look like a fall."""

SMOOTHINGS = (0.0, 0.6, 0.9, 0.98)


@dataclass(frozen=True, slots=True)
class Point:
    """Some neighbouring steps: where they end, their extremes, their mean, and how many they are."""

    step: int
    low: float
    high: float
    mean: float
    count: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What is drawn at one place of the x axis."""

    x: float
    low: float
    high: float
    value: float


class Curve:
    """Values by step. When full, neighbours are merged: the picture stays, the detail halves."""

    def __init__(self, capacity: int = BUCKETS) -> None:
        assert capacity >= 4 and capacity % 2 == 0
        self._capacity = capacity
        self._points: list[Point] = []
        self._per_point = 1
        self.broken_at: int | None = None
        """The last step whose value was not a finite number."""

    def add(self, step: int, value: float) -> None:
        """Append one value. A step seen before (a resume repeats some) replaces what came after it."""
        while self._points and self._points[-1].step >= step:
            self._points.pop()
        if not math.isfinite(value):
            self.broken_at = step
            return
        last = self._points[-1] if self._points else None
        if last is not None and last.count < self._per_point:
            count = last.count + 1
            mean = last.mean + (value - last.mean) / count
            self._points[-1] = Point(step, min(last.low, value), max(last.high, value), mean, count)
        else:
            self._points.append(Point(step, value, value, value, 1))
        if len(self._points) >= self._capacity:
            self._points = [_merged(a, b) for a, b in zip(self._points[::2], self._points[1::2], strict=True)]
            self._per_point *= 2

    def points(self) -> tuple[Point, ...]:
        """All there is, in the order of steps."""
        return tuple(self._points)


def _merged(a: Point, b: Point) -> Point:
    count = a.count + b.count
    mean = (a.mean * a.count + b.mean * b.count) / count
    return Point(b.step, min(a.low, b.low), max(a.high, b.high), mean, count)


def smoothed(points: Sequence[Point], smoothing: float) -> list[float]:
    """The exponential moving average of the means, one value per point, without a pull to zero at the start.

    `smoothing` is the weight of the past per step, 0 for none: a point of n steps counts as n equal steps.
    """
    total = weight = 0.0
    averages = []
    for point in points:
        keep = smoothing**point.count
        total = keep * total + (1 - keep) * point.mean
        weight = keep * weight + (1 - keep)
        averages.append(total / weight)
    return averages


def by_column(points: Sequence[Point], values: Sequence[float], *, end: int, columns: int) -> list[Sample]:
    """One sample for each of `columns` equal parts of [0, end] that has points: extremes, and the last value.

    What stands left of the newest step never changes while `end` stays: only news costs bytes on the line.
    """
    samples: dict[int, Sample] = {}
    for point, value in zip(points, values, strict=True):
        column = min(point.step * columns // end, columns - 1)
        before = samples.get(column)
        low, high = (before.low, before.high) if before else (point.low, point.high)
        x = (column + 0.5) * end / columns
        samples[column] = Sample(x, min(low, point.low), max(high, point.high), value)
    return list(samples.values())


def full_range(values: Sequence[float]) -> tuple[float, float]:
    """From the smallest to the largest value, at least LEAST_SPAN."""
    return _spread(min(values), max(values))


def _spread(low: float, high: float) -> tuple[float, float]:
    least = LEAST_SPAN * max(abs(low), abs(high)) or 1.0
    room = max(least - (high - low), 0.0) / 2
    return low - room, high + room


def focus_range(values: Sequence[float]) -> tuple[float, float]:
    """A range that gives the later half of a curve most of the height.

    A loss falls from 9 to 3 in its first hundred steps and from 3.0 to 2.6 in the rest: on a linear axis of
    all of it, what a person wants to see lies in the lowest tenth.
    """
    low, high = full_range(values)
    late_low, late_high = full_range(values[len(values) // 2 :])
    room = (late_high - late_low) / 0.75
    return _spread(max(low, late_low - 0.05 * room), min(high, late_low + 0.95 * room))


def snapped(low: float, high: float) -> tuple[float, float]:
    """The range widened to round limits: an axis that moves in jumps, not with every step."""
    unit = _round_number((high - low) / 8)
    return math.floor(low / unit + 1e-9) * unit, math.ceil(high / unit - 1e-9) * unit


def _round_number(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return power * min((1.0, 2.0, 5.0, 10.0), key=lambda factor: abs(factor * power - value))


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers within [low, high], at most `most`: steps of 1, 2 or 5 times a power of ten."""
    if not (high > low and most > 0):
        return []
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    for factor in (1, 2, 5, 10, 20):
        step = factor * power
        first = math.ceil(low / step - 1e-9)
        last = math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            return [i * step for i in range(first, last + 1)]
    return []


def round_up(step: int) -> int:
    """The next of 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150 …: an axis that rarely changes."""
    power = 1
    while True:
        for factor in (10, 15, 20, 25, 30, 40, 50, 60, 80):
            if step <= factor * power:
                return factor * power
        power *= 10
