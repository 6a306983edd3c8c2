"""The loss of one stage over its steps: every step faint, the smoothed curve bold, held-out values as ◆.

Only cells that changed are sent to the terminal: over a slow line a chart costs what is new in it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.curves import SMOOTHINGS, by_column, focus_range, full_range, round_up, smoothed, snapped, ticks
from tui.feed import CurveSeen
from tui.plot import Layer, Row, draw
from workbench.files import human_count

_LEAST_WIDTH, _LEAST_HEIGHT = 20, 5


class LossChart(Widget):
    """A chart that is told what to show by `show` and how by its three settings."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "loss-chart--title",
        "loss-chart--axis",
        "loss-chart--raw",
        "loss-chart--smooth",
        "loss-chart--measured",
    }
    DEFAULT_CSS = """
    LossChart { height: 1fr; min-height: 3; }
    LossChart > .loss-chart--title { color: $dim; }
    LossChart > .loss-chart--axis { color: $faint; }
    LossChart > .loss-chart--raw { color: $faint; }
    LossChart > .loss-chart--smooth { color: $primary; text-style: bold; }
    LossChart > .loss-chart--measured { color: $warning; text-style: bold; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._stage = ""
        self._curve = CurveSeen()
        self._empty = ""
        self._cells: list[list[tuple[str, str]]] = []
        self._smoothing = 2
        self._full = False
        self._log = False

    def show(self, stage: str, curve: CurveSeen | None, *, empty: str = "") -> None:
        """Show `curve` under the name of its stage, or the line `empty` where there is none."""
        self._stage, self._curve, self._empty = stage, curve or CurveSeen(), empty
        self._redraw()

    def next_smoothing(self) -> None:
        """The next of SMOOTHINGS, from the last to the first."""
        self._smoothing = (self._smoothing + 1) % len(SMOOTHINGS)
        self._redraw()

    def toggle_full(self) -> None:
        """All of the curve, or the range that shows its later half best."""
        self._full = not self._full
        self._redraw()

    def toggle_log(self) -> None:
        """A logarithmic or a linear scale."""
        self._log = not self._log
        self._redraw()

    def on_resize(self, _: events.Resize) -> None:
        """Draw for the new size."""
        self._redraw()

    def _redraw(self) -> None:
        width, height = self.size
        if width <= 0 or height <= 0:
            return
        rows = [_cells(parts, width) for parts in self._picture(width, height)]
        rows += [[(" ", "")] * width] * (height - len(rows))
        same_shape = len(rows) == len(self._cells) and width == len(self._cells[0])
        changed = [
            Region(first, y, last - first + 1, 1)
            for y, row in enumerate(rows)
            for first, last in [_difference(self._cells[y], row) if same_shape else (0, width - 1)]
            if last >= first
        ]
        self._cells = rows
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        """One finished row."""
        plain = Style(bgcolor=self.background_colors[1].rich_color)
        if y >= len(self._cells):
            return Strip.blank(self.size.width, plain)
        styles = {"": plain}
        segments = []
        for name, cells in itertools.groupby(self._cells[y], key=lambda cell: cell[1]):
            if name not in styles:
                styles[name] = plain + self.get_component_rich_style(f"loss-chart--{name}", partial=True)
            segments.append(Segment("".join(text for text, _ in cells), styles[name]))
        return Strip(segments, len(self._cells[y]))

    def _picture(self, width: int, height: int) -> list[Row]:
        """Title, canvas with its y axis, step numbers."""
        points = self._curve.points
        if not points or width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
            return [((self._title() if points else self._empty, "title"),)]
        averages = smoothed(points, SMOOTHINGS[self._smoothing])
        low, high = self._range(averages)
        scale = math.log10 if self._log and low > 0 else float
        y_ticks = ticks(low, high, max(2, (height - 2) * 2 // 5))
        labels = [_label(tick, y_ticks) for tick in y_ticks]
        gutter = max((len(label) for label in labels), default=0) + 1
        canvas_width, canvas_height = width - gutter - 1, height - 2
        end = round_up(points[-1].step)
        y_range = (scale(low), scale(high))
        layers = self._layers(averages, low, high, scale=scale, end=end, columns=canvas_width * 2)
        rows = draw(layers, width=canvas_width, height=canvas_height, x_range=(0, end), y_range=y_range)
        places = [(scale(tick) - y_range[0]) / (y_range[1] - y_range[0]) for tick in y_ticks]
        at_row = {
            round((1 - place) * (canvas_height - 1)): label
            for place, label in zip(places, labels, strict=True)
        }
        picture: list[Row] = [((self._title(), "title"),)]
        for y, row in enumerate(rows):
            label = at_row.get(y, "")
            picture.append(((f"{label:>{gutter}}", "title"), ("┤" if label else "│", "axis"), *row))
        return [*picture, ((_x_labels(end, canvas_width, gutter + 1), "title"),)]

    def _range(self, averages: Sequence[float]) -> tuple[float, float]:
        values = [*averages, *(loss for _, loss in self._curve.measured)]
        if not self._full:
            return snapped(*focus_range(values))
        low, high = snapped(*full_range(values))
        return (min(values), high) if self._log and low <= 0 else (low, high)

    def _layers(
        self,
        averages: Sequence[float],
        low: float,
        high: float,
        *,
        scale: Callable[[float], float],
        end: int,
        columns: int,
    ) -> list[Layer]:
        samples = by_column(self._curve.points, averages, end=end, columns=columns)
        inside = [sample for sample in samples if low <= sample.value <= high]
        layers = [Layer("smooth", [one.x for one in inside], [scale(one.value) for one in inside])]
        if SMOOTHINGS[self._smoothing]:
            band = [one for one in samples if one.low <= high and one.high >= low]
            xs = [one.x for one in band for _ in range(2)]
            ys = [scale(min(max(value, low), high)) for one in band for value in (one.low, one.high)]
            layers.insert(0, Layer("raw", xs, ys))
        seen = [(step, scale(loss)) for step, loss in self._curve.measured if low <= loss <= high]
        return [
            *layers,
            Layer("measured", [step for step, _ in seen], [loss for _, loss in seen], marker="◆"),
        ]

    def _title(self) -> str:
        last = self._curve.points[-1]
        broken = (
            f"  ✗ not a number at step {self._curve.broken_at:,}" if self._curve.broken_at is not None else ""
        )
        smoothing = SMOOTHINGS[self._smoothing]
        shown = [
            f"smooth {smoothing:g}" if smoothing else "every step",
            "log" if self._log else "",
            "all" if self._full else "focus",
            "◆ held-out" if self._curve.measured else "",
        ]
        return f"{self._stage} loss {last.mean:.3f}  {' · '.join(filter(None, shown))}{broken}"


def _cells(row: Row, width: int) -> list[tuple[str, str]]:
    """A row cell by cell (every character here is one cell wide), cut or filled to `width`."""
    cells = [(character, name) for text, name in row for character in text][:width]
    return cells + [(" ", "")] * (width - len(cells))


def _difference(was: Sequence[tuple[str, str]], row: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """The first and the last cell that differ; the first behind the last where none does."""
    differ = [x for x, (a, b) in enumerate(zip(was, row, strict=True)) if a != b]
    return (differ[0], differ[-1]) if differ else (0, -1)


def _label(tick: float, all_ticks: Sequence[float]) -> str:
    """As many digits as tell neighbouring ticks apart."""
    step = all_ticks[1] - all_ticks[0] if len(all_ticks) > 1 else abs(tick) or 1.0
    return f"{tick:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def _x_labels(last: int, width: int, indent: int) -> str:
    """Step numbers under the canvas, each beginning at its step, the last one ending at the edge."""
    line = [" "] * (indent + width)
    for tick in ticks(0, last, max(2, width // 16)):
        label = human_count(tick)
        start = indent + round(tick / last * (width - 1))
        start = min(start, indent + width - len(label))
        if all(cell == " " for cell in line[max(0, start - 1) : start + len(label)]):
            line[start : start + len(label)] = label
    return "".join(line)
