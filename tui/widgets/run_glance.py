"""What became of the run under the cursor, where a tall terminal has room: its stages, its loss, its last words."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from tui.chart.canvas import charset_of_terminal
from tui.chart.picture import View
from tui.diagnosis import diagnose
from tui.plots import plots_of
from tui.run_seen import RunSeen
from tui.widgets.chart import Chart
from tui.widgets.stage_rail import StageRail
from tui.widgets.still import StillText
from tui.widgets.story import Story, why_it_ended

LEAST_HEIGHT, LEAST_WIDTH = 34, 80
"""Rows and columns of a terminal from which on a glance has room below the list."""
TOLD_FIRST = ("pretrain", "sft", "dpo", "ppo")
NO_CURVE = "It has trained nothing yet."
LONG = "Its history is long: enter reads it, and what it came to is kept."


class RunGlance(Vertical):
    """A view of one run; `show` fills it, and costs no byte while nothing is new."""

    DEFAULT_CSS = """
    RunGlance { height: 1fr; margin: 1 1 0 1; padding: 0 1; display: none; border-top: solid $faint; }
    RunGlance > #glance-title { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    RunGlance > #glance-none { height: 1; margin: 1 0; display: none; }
    RunGlance > Chart { height: 1fr; max-height: 22; margin: 1 0; }
    """

    def __init__(self) -> None:
        super().__init__(id="glance")
        self._shown: object = None

    def compose(self) -> ComposeResult:
        """Name, stages, loss, words."""
        yield StillText(id="glance-title")
        yield StageRail()
        yield StillText(id="glance-none")
        chart = Chart(id="glance-chart")
        chart.can_focus = False
        yield chart
        yield Story()

    def show(self, seen: RunSeen, *, now: float) -> None:
        """Show the run, with the curve of the stage at work, else of the first one that has any."""
        self.query_one("#glance-title", StillText).put(Content.styled(seen.name, "bold"))
        rail, story, chart, none = (
            self.query_one(StageRail), self.query_one(Story), self.query_one(Chart),
            self.query_one("#glance-none", StillText),
        )  # fmt: skip
        rail.display = story.display = not seen.behind
        if seen.behind:
            chart.display, none.display = False, True
            none.put(Content.styled(LONG, "$dim"))
            return
        rail.show(seen.stages)
        stage = told_stage(seen)
        curves = seen.curves.get(stage)
        plots = plots_of(stage, curves)
        chart.display, none.display = bool(plots), not plots
        none.put(Content.styled(NO_CURVE, "$dim"))
        version = (seen.name, seen.version, seen.state, chart.size)
        if plots and version != self._shown:
            chart.show(plots[0].title, plots[0].lines, View(charset=charset_of_terminal()))
        self._shown = version
        story.show(
            [each[-1:] for each in seen.samples.get(stage, ())[-1:]],
            diagnose(seen, curves)[:1],
            seen.notes[-2:],
            now=now,
            ended=why_it_ended(seen.state, seen.notes),
        )


def told_stage(seen: RunSeen) -> str:
    """The stage at work if it has a curve, else the first of TOLD_FIRST that has one."""
    found = [
        name
        for name in (seen.stage, *TOLD_FIRST)
        if (curves := seen.curves.get(name)) is not None and (len(curves.training) or len(curves.measured))
    ]
    return found[0] if found else seen.stage
