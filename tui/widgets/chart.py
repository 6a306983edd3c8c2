"""One chart: told what to show and how, it draws itself, and only the rows that changed again."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.chart.picture import STYLES, Held, Line, Row, View, picture

GAUGES = {
    "tokens_per_second": "speed",
    "grad_norm": "gradient norm",
    "mfu": "MFU",
    "data_wait_share": "data wait",
    "core_wait_share": "core wait",
    "val_loss": "held-out loss (◆)",
    "val_bpb": "bits/byte",
    "rewards/margins": "reward margin",
    "rewards/accuracies": "accuracy",
    "rewards/chosen": "chosen, rejected",
    "rewards/rejected": "chosen, rejected",
    "kl": "KL",
}
"""The names under which metrics are explained, where they are not their own."""


class Chart(Widget, can_focus=True):
    """Title, canvas, axes. Focus moves by tab; what the keys do is the group's affair (charts.py)."""

    DEFAULT_CSS = "Chart { height: 1fr; width: 1fr; min-height: 2; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._title = ""
        self._lines: Sequence[Line] = ()
        self._view = View()
        self._held = Held()
        self._rows: list[Row] = []
        self._strips: dict[int, Strip] = {}
        self.times_drawn = 0

    @property
    def title(self) -> str:
        """What is shown."""
        return self._title

    @property
    def gauge(self) -> str:
        """What the help explains first (gauges.py). Nothing for the first chart: nobody chose to stand on it."""
        if self.id == "chart-0":
            return ""
        metric = self._lines[0].metric if self._lines else ""
        return GAUGES.get(metric, metric.replace("_", " "))

    def show(self, title: str, lines: Sequence[Line], view: View) -> None:
        """Show `lines` as `view` says."""
        self._title, self._lines, self._view = title, lines, view
        self._redraw()

    def on_resize(self, _: events.Resize) -> None:
        """Draw for the new size."""
        self._redraw()

    def on_focus(self) -> None:
        """The title says which chart the keys are for."""
        self._redraw()

    def on_blur(self) -> None:
        """No longer."""
        self._redraw()

    def notify_style_update(self) -> None:
        """Another theme has other colours."""
        super().notify_style_update()
        self._strips.clear()

    def _redraw(self) -> None:
        width, height = self.size
        if width <= 0 or height <= 0:
            return
        self.times_drawn += 1
        rows = picture(
            self._title, self._lines, self._view, width=width, height=height, held=self._held,
            focused=self.has_focus,
        )  # fmt: skip
        rows += [(" " * width, " " * width)] * (height - len(rows))
        known = self._rows if self._rows and len(self._rows[0][0]) == width else []
        changed = [y for y, row in enumerate(rows) if y >= len(known) or known[y] != row]
        self._rows = rows
        for y in changed:
            self._strips.pop(y, None)
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        """One finished row."""
        if y >= len(self._rows):
            return Strip.blank(
                self.size.width, self._ground()
            )  # NO_COLOR's filter wants a style of every segment
        if y not in self._strips:
            self._strips[y] = self._strip(*self._rows[y])
        return self._strips[y]

    def _ground(self) -> Style:
        return Style(bgcolor=self.background_colors[1].rich_color)

    def _strip(self, text: str, styles: str) -> Strip:
        # Not component classes: to style them costs 3 ms for each chart and at each change of its classes or its focus.
        style_of = self.app.stylesheet.parse_style
        ground = self._ground()
        segments = []
        at = 0
        for letter, cells in itertools.groupby(styles):
            end = at + sum(1 for _ in cells)
            style = ground + style_of(STYLES[letter]).rich_style if letter in STYLES else ground
            segments.append(Segment(text[at:end], style))
            at = end
        return Strip(segments, len(text))
