"""Curves in the terminal with plotext: decimated first, because it draws every point it is given."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Mapping, Sequence

MOST_POINTS = 400
MOST_TICKS = 7
_COLOURS = re.compile("\x1b\\[[0-9;]*m")


def draw_curves(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], metric: str) -> str:
    """The curves, by label, as text that fits the terminal. Colours are left out: it reads the same everywhere."""
    import plotext

    width, height = shutil.get_terminal_size((100, 30))
    figure = plotext.figure
    figure.clear()
    figure.plot_size(max(40, min(width, 160)), max(12, min(height - 3, 40)))
    figure.theme("colorless")
    for label, (xs, ys) in curves.items():
        shown_xs, shown_ys = decimate(xs, ys, MOST_POINTS)
        signal = figure.signal(shown_xs, shown_ys, marker="braille")
        signal.line(True)
        if len(curves) > 1:  # of one alone the title tells
            signal.label(label)
        figure.draw(signal)
    figure.ruler("x").ticks(step_ticks([x for xs, _ in curves.values() for x in xs], most=MOST_TICKS))
    title = ", ".join(f"{label} {ys[-1]:.4g}" for label, (_, ys) in curves.items())
    drawn = _COLOURS.sub("", str(figure.build()))  # it resets colours even where there are none
    return f"{metric} by step: {title}\n{drawn}".rstrip()


def step_ticks(xs: Sequence[float], *, most: int) -> list[int]:
    """At most `most` + 1 whole numbers from the first to the last x, round ones: a step is never a fraction."""
    first, last = math.floor(min(xs)), math.ceil(max(xs))
    least = max(1, (last - first) / most)
    unit = 10 ** math.floor(math.log10(least))
    apart = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= least)
    return [first, *range((first // apart + 1) * apart, last + 1, apart)]


def decimate(xs: Sequence[float], ys: Sequence[float], most: int) -> tuple[list[float], list[float]]:
    """At most `most` points that keep every peak: of each bucket the lowest and the highest, in order."""
    if len(xs) <= most:
        return list(xs), list(ys)
    buckets = most // 2
    kept: list[int] = []
    for bucket in range(buckets):
        start, end = bucket * len(xs) // buckets, (bucket + 1) * len(xs) // buckets
        indices = range(start, end)
        kept += sorted({min(indices, key=ys.__getitem__), max(indices, key=ys.__getitem__)})
    return [xs[index] for index in kept], [ys[index] for index in kept]
