"""Ranges, round limits, ticks and their labels. Knows no series and no cell."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from workbench.files import human_count, human_duration

LEAST_SPAN = 0.05
"""The y axis spans at least this share of its values: a loss that wavers by 1 % is not to look like a fall."""

CALM_SPAN = 0.3
"""The same for speed, norms and shares, which waver more and mean less by it."""

FEW = 30
"""Of fewer values all are shown: there is no later half yet."""

OUTLIERS = 0.02
"""The share of values at either end that a robust range may leave outside."""


def full_range(values: Sequence[float]) -> tuple[float, float]:
    """From the smallest to the largest value, at least LEAST_SPAN."""
    return _spread(min(values), max(values))


def _spread(low: float, high: float, least: float = LEAST_SPAN) -> tuple[float, float]:
    span = least * max(abs(low), abs(high)) or 1.0
    room = max(span - (high - low), 0.0) / 2
    return low - room, high + room


def robust_range(values: Sequence[float]) -> tuple[float, float]:
    """A range that gives the later half of a curve most of the height, whatever single values do.

    A loss falls from 9 to 3 in its first hundred steps and from 3.0 to 2.6 in the rest, and a gradient norm jumps
    to twenty once: on a linear axis of all of it, what a person wants to see lies in the lowest tenth.
    """
    low, high = full_range(values)
    if len(values) < FEW:
        return low, high
    late = values[len(values) // 2 :]
    late_low, late_high = min(late), _trimmed(late)[1]
    late_low, late_high = _spread(late_low, max(late_high, values[-1]))
    room = (late_high - late_low) / 0.7
    return _spread(max(low, late_low - 0.05 * room), min(high, late_low + 0.95 * room))


def trimmed_range(values: Sequence[float]) -> tuple[float, float]:
    """From the smallest to the largest value but for the few at either end, and a little room."""
    low, high = _trimmed(values)
    low, high = _spread(min(low, values[-1]), max(high, values[-1]), least=CALM_SPAN)
    room = 0.05 * (high - low)
    return (max(low - room, 0.0) if low >= 0 else low - room), high + room


def _trimmed(values: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(values)
    cut = int(len(ordered) * OUTLIERS)
    return _spread(ordered[cut], ordered[-1 - cut])


def snapped(low: float, high: float) -> tuple[float, float]:
    """The range widened to round limits: an axis that moves in jumps, not with every step."""
    unit = _round_number((high - low) / 8)
    return math.floor(low / unit + 1e-9) * unit, math.ceil(high / unit - 1e-9) * unit


def still_fits(held: tuple[float, float] | None, wanted: tuple[float, float], *, slack: float = 1.6) -> bool:
    """Whether an axis that stands may stay: it holds what is wanted and is not much wider."""
    if held is None:
        return False
    (low, high), (want_low, want_high) = held, wanted
    return low <= want_low and want_high <= high and high - low <= slack * (want_high - want_low)


def _round_number(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return power * min((1.0, 2.0, 5.0, 10.0), key=lambda factor: abs(factor * power - value))


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers within [low, high], at most `most`: steps of 1, 2 or 5 times a power of ten.

    One more where there would be a single one otherwise: it would not say how far anything is apart.
    """
    if not (high > low and most > 0):
        return []
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    before: list[float] = []
    for factor in (1, 2, 5, 10, 20):
        step = factor * power
        first = math.ceil(low / step - 1e-9)
        last = math.floor(high / step + 1e-9)
        found = [i * step for i in range(first, last + 1)]
        if len(found) <= most:
            return before if len(found) < 2 <= len(before) <= most + 1 else found
        before = found
    return []


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers for a logarithmic axis: 1, 2 and 5 times powers of ten, or linear ones in less than a decade."""
    found = [
        factor * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for factor in (1, 2, 5)
        if low <= factor * 10.0**power <= high
    ]
    if len(found) < 3:
        return ticks(low, high, most)
    return found[:: max(1, math.ceil(len(found) / max(most, 1)))]


def round_up(value: float) -> float:
    """The next of 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150 …: an axis that rarely changes."""
    power = 10.0 ** max(0, math.floor(math.log10(max(value, 10))) - 1)
    while True:
        for factor in (10, 15, 20, 25, 30, 40, 50, 60, 80):
            if value <= factor * power * (1 + 1e-9):
                return factor * power
        power *= 10


def labels_of(values: Sequence[float]) -> list[str]:
    """As many digits as tell neighbouring ticks apart; short forms where numbers are large or tiny."""
    if not values:
        return []
    largest = max(abs(value) for value in values)
    step = min((b - a for a, b in itertools.pairwise(values)), default=0.0) or largest or 1.0
    if largest >= 10_000:
        return [human_count(value) for value in values]
    if largest < 0.01:
        return [f"{value:.2g}".replace("e-0", "e-") if value else "0" for value in values]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{value:.{digits}f}" for value in values]


def short(value: float) -> str:
    """A value in a title or tile: four figures at the most."""
    if value != value:
        return "nan"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 10_000:
        return human_count(value)
    if size >= 100:
        return f"{value:.0f}"
    if size >= 0.01:
        return f"{value:.{3 if size < 10 else 1}f}"
    return f"{value:.2g}".replace("e-0", "e-")


def x_label(value: float, axis: str) -> str:
    """A place on the x axis: 20k, 10B, 1h 12m, 3e18."""
    if axis == "time":
        return human_duration(value) if value >= 60 else f"{value:.0f}s"
    if axis == "flops":
        return f"{value:.1e}".replace("e+", "e") if value else "0"
    return human_count(value)
