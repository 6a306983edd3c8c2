"""What a recipe will do and cost, in full: stages, reuse, memory by part, disk, compute, energy."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen

from tui import commands
from tui.keys import bind
from tui.plan_words import PlanCost, long_plan
from tui.widgets.key_bar import KeyBar
from tui.widgets.still import StillText
from workbench.safe_text import one_line


class PlanScreen(Screen[None]):
    """A plan that was made, as a page to scroll."""

    DEFAULT_CSS = """
    PlanScreen #page { padding: 0 2; scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    PlanScreen #plan-text { width: 1fr; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "app.pop_screen"),
    ]
    AUTO_FOCUS = "#page"

    def __init__(self, home: Path, recipe: str, cost: PlanCost, run_command: str) -> None:
        super().__init__()
        self._home, self._recipe, self._cost, self._run_command = home, recipe, cost, run_command

    def compose(self) -> ComposeResult:
        """Title, page, keys."""
        yield StillText(id="title")
        with VerticalScroll(id="page"):
            yield StillText(id="plan-text")
        yield KeyBar()

    def on_mount(self) -> None:
        """Show it."""
        self.query_one("#title", StillText).put(
            Content.assemble(("plan", "bold $primary"), f"  {one_line(self._recipe, 80)}")
        )
        self.call_after_refresh(self._show)

    def on_resize(self) -> None:
        """Other facts may fit."""
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        width = self.query_one("#page").scrollable_content_region.width
        lines = long_plan(self._cost, width=width)
        self.query_one("#plan-text", StillText).put(Content("\n").join(lines), layout=True)

    def command(self) -> str:
        """The same in a shell."""
        return commands.plan_instead(self._run_command)
