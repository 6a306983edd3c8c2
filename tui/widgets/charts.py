"""Up to four charts that are looked at together: one x axis, one cursor, one smoothing for all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content

from tui.chart.canvas import charset_of_terminal
from tui.chart.dots import SMOOTHINGS
from tui.chart.picture import Line, View
from tui.chart.track import X_AXES, StageCurves
from tui.keys import bind
from tui.state import state_of
from tui.widgets.chart import Chart
from tui.widgets.still import StillText

MOST = 4
LEAST_WIDTH, LEAST_HEIGHT = 38, 7
"""What a chart needs to be worth its place beside others."""


@dataclass(frozen=True, slots=True)
class Plot:
    """What one chart shows."""

    title: str
    lines: tuple[Line, ...]


class Charts(Container):
    """Shows as many of its plots as there is room for, the first ones first; one alone when zoomed."""

    BINDING_GROUP_TITLE = "Charts"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("smooth"),
        bind("zoom"),
        bind("axis"),
        bind("metric", show=False, tooltip="Show another metric in this chart"),
        bind("next_pane", "app.focus_next", show=False, tooltip="To the next chart"),
        bind("cursor_left", "cursor(-1)", show=False, tooltip="Cursor to the left, in all charts"),
        bind("cursor_right", "cursor(1)", show=False, tooltip="Cursor to the right, in all charts"),
        bind("first", "cursor(-10000)", show=False, tooltip="Cursor to the start"),
        bind("last", "cursor(10000)", show=False, tooltip="Cursor to the end"),
        bind("stretch", "stretch(2)", show=False),
        bind("shrink", "stretch(0.5)", show=False),
        bind("pan_left", "pan(-1)", show=False),
        bind("pan_right", "pan(1)", show=False),
        bind("all_x", "follow", show=False),
        bind("full", show=False),
        bind("log_scale", show=False),
    ]
    DEFAULT_CSS = """
    Charts { height: 1fr; min-height: 3; layout: grid; grid-gutter: 0 2; margin: 0 1; }
    Charts > #no-curve { height: 1fr; }
    Charts > Chart { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._plots: Sequence[Plot] = ()
        self._chosen: dict[int, str] = {}  # by place, the title of the plot that a person chose for it
        self._view = View(charset=charset_of_terminal())
        self._alone: int | None = None
        self._layout_shown: tuple[int, int, int | None] | None = None
        self._empty = Content("")
        self._version: object = None

    def compose(self) -> ComposeResult:
        """The places."""
        yield StillText(id="no-curve")
        for index in range(MOST):
            yield Chart(id=f"chart-{index}")

    def on_mount(self) -> None:
        """Smooth as it was smoothed the last time."""
        smoothing = state_of(self.app).get("charts.smoothing", self._view.smoothing)
        if 0 <= smoothing < len(SMOOTHINGS):
            self._view = dataclasses.replace(self._view, smoothing=smoothing)

    @property
    def view(self) -> View:
        """How the charts are looked at."""
        return self._view

    def show(self, plots: Sequence[Plot], *, empty: Content | str = "", version: object = None) -> None:
        """Show `plots`, of which the first few get a place; `empty` where there is none.

        version: when it is what it was, nothing is drawn: nothing is new.
        """
        if version is not None and version == self._version:
            self._keep_focus()
            return
        if [plot.title for plot in plots[:1]] != [plot.title for plot in self._plots[:1]]:
            self._chosen.clear()  # another stage: what is telling there comes first again
        self._plots, self._empty, self._version = plots, Content.assemble(empty), version
        self._arrange()
        self._draw()
        self._keep_focus()

    def on_resize(self, _: events.Resize) -> None:
        """Other charts may fit."""
        self._arrange()
        self._draw()

    def _arrange(self) -> None:
        """Give places: two columns where they are wide enough, one row of charts for every seven rows."""
        width, height = self.size
        columns = 2 if width >= 2 * LEAST_WIDTH + 2 else 1
        rows = max(1, min(2, height // LEAST_HEIGHT))
        if columns == 1 or self._alone is not None:
            rows = columns = 1
        places = min(columns * rows, len(self._plots), MOST)
        columns, rows = min(columns, max(places, 1)), -(-max(places, 1) // columns)
        wanted = (columns, places, self._alone)
        if wanted == self._layout_shown:
            return
        self._layout_shown = wanted
        self.styles.grid_size_columns, self.styles.grid_size_rows = columns, rows
        shown = range(places) if self._alone is None else (self._alone,)
        self.query_one("#no-curve").display = not self._plots
        for index, chart in enumerate(self.query(Chart)):
            chart.display = bool(self._plots) and index in shown
            # The first is what a person came for: three charts leave it the height of two.
            chart.styles.row_span = 2 if places == 3 and index == 0 else 1
        self._keep_focus()

    def on_descendant_blur(self) -> None:
        """A chart that is hidden lets go of the focus after another one was shown: only then is it known."""
        self._keep_focus()

    def _keep_focus(self) -> None:
        """One of the charts has the keys, unless something else on the screen has: without focus they would be dead."""
        # The screen's word counts, not has_focus: that follows only when a message has been through the queue.
        focused = self.screen.focused
        lost = focused is None or (isinstance(focused, Chart) and not focused.display)
        if lost and self.app.app_focus:
            first = next((chart for chart in self.query(Chart) if chart.display), None)
            self.screen.set_focus(first, scroll_visible=False)

    def _draw(self) -> None:
        if not self._plots:
            self.query_one("#no-curve", StillText).put(self._empty)
            return
        charts = list(self.query(Chart))
        for place, plot in self._placed(self._places()).items():
            charts[place].show(plot.title, plot.lines, self._view)

    def _placed(self, places: Sequence[int]) -> dict[int, Plot]:
        """The plots of `places`: what was chosen for one, else its own; none twice while there are others."""
        by_title = {plot.title: plot for plot in self._plots}
        chosen = {place: self._chosen[place] for place in places if self._chosen.get(place) in by_title}
        taken, titles = set(chosen.values()), list(by_title)
        for place in places:
            if place not in chosen:
                own = place % len(titles)
                order = [*titles[own:], *titles[:own]]
                chosen[place] = next((title for title in order if title not in taken), order[0])
                taken.add(chosen[place])
        return {place: by_title[title] for place, title in chosen.items()}

    def _places(self) -> list[int]:
        return [place for place, chart in enumerate(self.query(Chart)) if chart.display]

    def _look(self, **changes: object) -> None:
        self._view = dataclasses.replace(self._view, **changes)  # type: ignore[arg-type]
        self._draw()

    def _focused(self) -> int:
        shown = [index for index, chart in enumerate(self.query(Chart)) if chart.display]
        focused = [index for index, chart in enumerate(self.query(Chart)) if chart.has_focus]
        return (focused or shown or [0])[0]

    def _curves(self) -> list[StageCurves]:
        return [line.curves for plot in self._plots[:1] for line in plot.lines]

    def _over(self) -> tuple[float, float]:
        return self._view.over([line for plot in self._plots for line in plot.lines])

    def action_smooth(self) -> None:
        """The next of SMOOTHINGS, from the last to the first."""
        smoothing = (self._view.smoothing + 1) % len(SMOOTHINGS)
        state_of(self.app).put("charts.smoothing", smoothing)
        self._look(smoothing=smoothing)

    def action_full(self) -> None:
        """All values, or the range that shows most of them best."""
        self._look(full=not self._view.full)

    def action_log_scale(self) -> None:
        """A logarithmic or a linear scale."""
        self._look(log=not self._view.log)

    def action_axis(self) -> None:
        """The next way to measure x that every curve knows; cursor and stretch of the old one go."""
        known = [axis for axis in X_AXES if all(axis in curves.axes() for curves in self._curves())]
        if known:
            index = known.index(self._view.axis) + 1 if self._view.axis in known else 0
            self._look(axis=known[index % len(known)], cursor=None, window=None)

    def action_metric(self) -> None:
        """The next plot in the chart that has the focus, past those that others show."""
        if not self._plots:
            return
        place, titles = self._focused(), [plot.title for plot in self._plots]
        shown = {at: plot.title for at, plot in self._placed(self._places()).items()}
        at = titles.index(shown.pop(place, titles[0]))
        order = [*titles[at + 1 :], *titles[: at + 1]]
        self._chosen[place] = next(title for title in [*order, order[0]] if title not in shown.values())
        self._draw()

    def action_zoom(self) -> None:
        """The focused chart alone, or all."""
        self._alone = self._focused() if self._alone is None else None
        self._arrange()
        self.call_after_refresh(self._draw)

    def action_cursor(self, cells: int) -> None:
        """Move the cursor by cells of the focused chart, and what is shown with it."""
        if not self._plots:
            return
        start, end = self._over()
        newest = min(max(curves.end(self._view.axis) for curves in self._curves()), end)
        width = max(self.query_one(f"#chart-{self._focused()}").size.width - 8, 10)
        at = newest if self._view.cursor is None else self._view.cursor
        at = min(max(at + cells * (end - start) / width, start), newest)
        self._look(cursor=at)

    def action_stretch(self, factor: float) -> None:
        """Show less or more of the x axis, around the cursor, or up to the newest."""
        start, end = self._over()
        newest = max((curves.end(self._view.axis) for curves in self._curves()), default=1.0) or 1.0
        whole = (
            self._view.over([])
            if not self._plots
            else dataclasses.replace(self._view, window=None).over(
                [line for plot in self._plots for line in plot.lines]
            )
        )
        span = (end - start) / factor
        if span >= whole[1] - whole[0]:
            self._look(window=None)
            return
        middle = self._view.cursor
        first = (middle - span / 2) if middle is not None else min(end, newest) - span * 0.95
        first = max(first, 0.0)
        self._look(window=(first, first + max(span, 1e-9)))

    def action_pan(self, direction: int) -> None:
        """Half a picture earlier or later."""
        if self._view.window is None:
            return
        start, end = self._view.window
        newest = max(curves.end(self._view.axis) for curves in self._curves())
        shift = direction * (end - start) / 2
        first = min(max(start + shift, 0.0), max(newest - (end - start) / 2, 0.0))
        self._look(window=(first, first + end - start), cursor=None)

    def action_follow(self) -> None:
        """All, growing with the run."""
        self._look(window=None, cursor=None)
