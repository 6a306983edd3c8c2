"""plotext behind one function: lines in, rows of coloured text out.

plotext has one figure per process: clear, draw and build happen in one synchronous call, in the app's thread.
It costs by the point, so the input is decimated first (curves.py). Axes and labels are the widget's own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import plotext

_SGR = re.compile(r"\x1b\[([\d;]*)m")


@dataclass(frozen=True, slots=True)
class Layer:
    """Some points to draw, joined by a line, or each with a `marker` of its own."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    marker: str = "braille"


Row = tuple[tuple[str, str], ...]
"""One line of the picture: (text, name of the layer that drew it or "")."""


def draw(
    layers: Sequence[Layer],
    *,
    width: int,
    height: int,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
) -> list[Row]:
    """`height` rows of `width` cells; later layers lie over earlier ones."""
    figure = plotext.figure
    plotext.terminal.limit(False, False)  # the size is ours to say
    figure.clear()
    figure.plot_size(width, height)
    figure.theme("colorless")
    figure.axes(False)
    for axis, limits in (("x", x_range), ("y", y_range)):
        ruler = figure.ruler(axis, 0)
        ruler.lim(*limits)
        ruler.ticks([], [])
    for number, layer in enumerate(layers):
        if not layer.xs:
            continue
        joined = layer.marker == "braille"
        signal = figure.signal(
            list(layer.xs), list(layer.ys), marker=plotext.marker(layer.marker, number + 1)
        )
        signal.lines(joined)
        figure.draw(signal)
    names = {str(number + 1): layer.name for number, layer in enumerate(layers)}
    return [_row(line, names) for line in str(figure.build()).splitlines()[:height]]


def _row(line: str, names: dict[str, str]) -> Row:
    row: list[tuple[str, str]] = []
    name = ""
    for index, piece in enumerate(_SGR.split(line)):
        if index % 2:  # what the escape sequence says: "0", or "38;5;N" for layer N
            name = names.get(piece.rpartition(";")[2], "") if piece.startswith("38;5;") else ""
        elif piece and row and row[-1][1] == name:
            row[-1] = (row[-1][0] + piece, name)
        elif piece:
            row.append((piece, name))
    return tuple(row)
