"""The loss of one stage over its steps: every step faint, the smoothed curve bold, held-out values as ◆.

Only rows that changed are sent to the terminal: over a slow line a chart costs what is new in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.curves import SMOOTHINGS, decimated, focus_range, full_range, round_up, smoothed, ticks
from tui.feed import CurveSeen
from tui.plot import Layer, draw
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
        self._rows: list[Strip] = []
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

    def notify_style_update(self) -> None:
        """The theme changed: the rows hold its colours."""
        super().notify_style_update()
        self._redraw()

    def render_line(self, y: int) -> Strip:
        """One finished row."""
        return self._rows[y] if y < len(self._rows) else Strip.blank(self.size.width)

    def _redraw(self) -> None:
        width, height = self.size
        if width <= 0 or height <= 0:
            return
        rows = [self._strip(parts, width) for parts in self._picture(width, height)]
        changed = [y for y, row in enumerate(rows) if y >= len(self._rows) or row != self._rows[y]]
        self._rows = rows
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def _strip(self, parts: Sequence[tuple[str, str]], width: int) -> Strip:
        background = self.background_colors[1].rich_color
        plain = Style(bgcolor=background)
        segments = [
            Segment(
                text,
                plain + self.get_component_rich_style(f"loss-chart--{name}", partial=True) if name else plain,
            )
            for text, name in parts
        ]
        return Strip(segments).adjust_cell_length(width, plain)

    def _picture(self, width: int, height: int) -> list[list[tuple[str, str]]]:
        points = self._curve.points
        if not points or width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
            return [[(self._title(width) if points else self._empty[:width], "title")]]
        averages = smoothed(points, SMOOTHINGS[self._smoothing])
        measured = self._curve.measured
        low, high = (full_range if self._full else focus_range)([*averages, *(loss for _, loss in measured)])
        log = self._log and low > 0
        scale = math.log10 if log else float
        y_range = (scale(low), scale(high))
        y_ticks = ticks(low, high, max(2, (height - 2) // 3))
        labels = [_label(tick, y_ticks) for tick in y_ticks]
        gutter = max((len(label) for label in labels), default=0) + 1
        canvas_width, canvas_height = width - gutter - 1, height - 2
        last = round_up(points[-1].step)
        layers = []
        if SMOOTHINGS[self._smoothing]:
            band = [
                point
                for point in decimated(points, canvas_width * 2)
                if point.low <= high and point.high >= low
            ]
            xs = [float(point.step) for point in band for _ in range(2)]
            ys = [scale(_held(value, low, high)) for point in band for value in (point.low, point.high)]
            layers.append(Layer("raw", xs, ys))
        kept = range(0, len(points), max(1, len(points) // (canvas_width * 2)))
        inside = [i for i in kept if low <= averages[i] <= high]
        layers.append(Layer("smooth", [points[i].step for i in inside], [scale(averages[i]) for i in inside]))
        seen = [(step, loss) for step, loss in measured if low <= loss <= high]
        layers.append(
            Layer("measured", [step for step, _ in seen], [scale(loss) for _, loss in seen], marker="◆")
        )
        rows = draw(layers, width=canvas_width, height=canvas_height, x_range=(0, last), y_range=y_range)
        at_row = _rows_of(y_ticks, labels, scale, y_range, canvas_height)
        picture: list[list[tuple[str, str]]] = [[(self._title(width), "title")]]
        for y, row in enumerate(rows):
            label = at_row.get(y, "")
            picture.append([(f"{label:>{gutter}}", "title"), ("┤" if label else "│", "axis"), *row])
        picture.append([(_x_labels(last, canvas_width, gutter + 1), "title")])
        return picture

    def _title(self, width: int) -> str:
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
        return f"{self._stage} loss {last.mean:.3f}  {' · '.join(filter(None, shown))}{broken}"[:width]


def _held(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _label(tick: float, all_ticks: Sequence[float]) -> str:
    """As many digits as tell neighbouring ticks apart."""
    step = all_ticks[1] - all_ticks[0] if len(all_ticks) > 1 else abs(tick) or 1.0
    return f"{tick:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def _rows_of(
    y_ticks: Sequence[float], labels: Sequence[str], scale: object, y_range: tuple[float, float], height: int
) -> dict[int, str]:
    low, high = y_range
    assert callable(scale)
    rows = {}
    for tick, label in zip(y_ticks, labels, strict=True):
        place = (scale(tick) - low) / (high - low)
        rows[min(height - 1, max(0, round((1 - place) * (height - 1))))] = label
    return rows


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
