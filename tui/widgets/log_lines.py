"""Lines of text to scroll through: follows the newest, breaks or cuts long lines, stands on what was looked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import chop_cells, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.keys import bind


class LogLines(ScrollView, can_focus=True):
    """Only what is visible is drawn."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--match", "log--here"}
    DEFAULT_CSS = """
    LogLines { background: $background; scrollbar-size: 1 1; }
    LogLines > .log--match { background: $panel; color: $warning; }
    LogLines > .log--here { background: $panel; color: $warning; text-style: bold reverse; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("follow"),
        bind("wrap"),
        bind("earlier", "match(-1)", show=False, tooltip="The match before"),
        bind("later", "match(1)", show=False, tooltip="The match after"),
        bind("first", "top", show=False),
        bind("last", "bottom", show=False, tooltip="To the end, and follow it"),
    ]

    follows: reactive[bool] = reactive(True, repaint=False)
    wraps: reactive[bool] = reactive(True, repaint=False)

    def __init__(self) -> None:
        super().__init__(id="log")
        self._lines: Sequence[str] = ()
        self._rows: list[str] = []
        self._wanted = ""
        self._matches: list[int] = []
        self._here = -1

    def show(self, lines: Sequence[str]) -> None:
        """These lines now; when they are followed, the last one is in sight."""
        self._lines = lines
        self._lay_out()

    def look_for(self, wanted: str) -> int:
        """Mark every row with `wanted` in it and go to the last; gives how many there are."""
        self._wanted, self._here = wanted.lower(), -1
        self.follows = self.follows and not wanted
        self._lay_out()
        if self._matches:
            self.action_match(-1)
        return len(self._matches)

    @property
    def found(self) -> tuple[int, int]:
        """Which match is stood on, from 1, and how many there are."""
        return (self._matches.index(self._here) + 1 if self._here in self._matches else 0), len(self._matches)

    def on_resize(self) -> None:
        """Break the lines anew."""
        self._lay_out()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Moving up by hand stops following."""
        super().watch_scroll_y(old_value, new_value)
        if new_value >= self.max_scroll_y:
            self.follows = True
        elif new_value < old_value:
            self.follows = False

    def _lay_out(self) -> None:
        width, followed = max(1, self.scrollable_content_region.width), self.follows
        rows: list[str] = []
        for line in self._lines:
            line = line.expandtabs(4)
            rows += (chop_cells(line, width) or [""]) if self.wraps else [line]
        self._rows = rows
        self._matches = [i for i, row in enumerate(rows) if self._wanted and self._wanted in row.lower()]
        self.virtual_size = Size(width, len(rows))
        self.follows = followed
        if followed:
            self.call_after_refresh(self._to_the_newest)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One row; a whole row is marked, which is cheap and easy to see."""
        width, number = self.size.width, y + int(self.scroll_offset.y)
        base = self.rich_style
        if number >= len(self._rows):
            return Strip.blank(width, base)
        style: Style = base
        if number == self._here:
            style = self.get_component_rich_style("log--here")
        elif self._wanted and self._wanted in self._rows[number].lower():
            style = self.get_component_rich_style("log--match")
        return Strip([Segment(set_cell_size(self._rows[number], width), style)], width)

    def action_match(self, direction: int) -> None:
        """To the match before or after; around the ends."""
        if not self._matches:
            return
        here = self._here if self._here >= 0 else len(self._rows)
        if direction < 0:
            self._here = max((row for row in self._matches if row < here), default=self._matches[-1])
        else:
            self._here = min((row for row in self._matches if row > here), default=self._matches[0])
        self.scroll_to(y=max(0, self._here - self.size.height // 2), animate=False, immediate=True)
        self.refresh()

    def _to_the_newest(self) -> None:
        if self.follows:  # a key may have come in between
            self.scroll_end(animate=False, immediate=True)

    def action_follow(self) -> None:
        """Follow the newest, or stand still."""
        self.follows = not self.follows
        self._to_the_newest()

    def action_wrap(self) -> None:
        """Break long lines, or cut them."""
        self.wraps = not self.wraps
        self._lay_out()

    def action_top(self) -> None:
        """To the first row."""
        self.follows = False
        self.scroll_home(animate=False)

    def action_bottom(self) -> None:
        """To the last row, and follow it."""
        self.follows = True
        self._to_the_newest()
