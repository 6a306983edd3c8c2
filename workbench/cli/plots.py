"""Curves in the terminal with plotext: decimated first, because it draws every point it is given."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence

MOST_POINTS = 400
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
        signal.label(label)
        figure.draw(signal)
    title = ", ".join(f"{label} {ys[-1]:.4g}" for label, (_, ys) in curves.items())
    drawn = _COLOURS.sub("", str(figure.build()))  # it resets colours even where there are none
    return f"{metric} by step: {title}\n{drawn}".rstrip()


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
