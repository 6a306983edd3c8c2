"""Two panes that most rooms are made of: lines to choose from, and what is known of the chosen one.

Where the terminal is narrow the panes lie one above the other. What is said in both is the screen's business.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tui.keys import bind
from tui.widgets.still import StillText


@dataclass(frozen=True, slots=True)
class Row:
    """A line to choose; without a `key` it is a heading, which the cursor passes over."""

    line: Content
    key: Hashable | None = None


class Rows(OptionList):
    """The left pane; enter opens, where there is something to open."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("open", "select", show=True)]

    def __init__(self, *, opens: bool, word: str) -> None:
        super().__init__(id="rows", markup=False)
        self.gauge = ""
        """What the help stands on first; the screen sets it."""
        self._opens = opens
        self._bindings.key_to_bindings["enter"] = [bind("open", "select", show=True, description=word)]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Enter is no key where nothing opens, or nothing is there."""
        return action != "select" or (self._opens and self.option_count > 0)


class Browser(Horizontal):
    """The two panes. `show` fills the left one, `tell` the right one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("cursor_left", "told(-1)", show=False, tooltip="What is told of the line, a page up"),
        bind("cursor_right", "told(1)", show=False, tooltip="What is told of the line, a page down"),
    ]
    DEFAULT_CSS = """
    Browser { height: 1fr; }
    Browser > #rows {
        width: 9fr; max-width: 72; height: 1fr; background: $background; border: none; padding: 0 1;
        scrollbar-size-vertical: 1;
    }
    Browser > #rows > .option-list--option-disabled { color: $foreground; }
    Browser > #detail { width: 11fr; padding: 0 1 0 2; scrollbar-size-vertical: 1; }
    Browser #told { width: 1fr; height: auto; }
    .-slim Browser, .-tiny Browser { layout: vertical; }
    .-slim Browser > #rows, .-tiny Browser > #rows { width: 1fr; max-width: 100%; height: 2fr; }
    .-slim Browser > #detail, .-tiny Browser > #detail { width: 1fr; height: 3fr; padding: 0 1; }
    .-flat Browser > #detail { display: none; }
    Browser.-stacked { layout: vertical; }
    Browser.-stacked > #rows { width: 1fr; max-width: 100%; height: auto; max-height: 60%; }
    Browser.-stacked > #detail { width: 1fr; height: 1fr; padding: 1 2 0 2; }
    """

    @dataclass
    class Chosen(Message):
        """The cursor came to a row."""

        key: Hashable

    @dataclass
    class Opened(Message):
        """Enter was pressed on a row."""

        key: Hashable

    def __init__(self, *, stacked: bool = False, opens: bool = True, word: str = "open") -> None:
        """stacked: one above the other however wide the terminal is, for lines that are tables.

        opens: whether enter on a row leads further; word: what that is called on the last line.
        """
        self._opens, self._word = opens, word
        super().__init__(classes="-stacked" if stacked else "")
        self._rows: list[Row] = []

    def compose(self) -> ComposeResult:
        """Both panes, empty."""
        yield Rows(opens=self._opens, word=self._word)
        with VerticalScroll(id="detail", can_focus=False):
            yield StillText(id="told")

    @property
    def key(self) -> Hashable | None:
        """What the cursor stands on."""
        index = self.query_one(OptionList).highlighted
        return self._rows[index].key if index is not None and index < len(self._rows) else None

    @property
    def room(self) -> int:
        """Cells that a line of the left pane has."""
        return max(10, self.query_one(OptionList).size.width - 4)

    def show(self, rows: Sequence[Row], *, at: Hashable | None = None) -> None:
        """Fill the left pane; the cursor goes to `at`, else stays where it was, else to the first row."""
        options, under_cursor = self.query_one(OptionList), at if at is not None else self.key
        if [row.key for row in rows] == [row.key for row in self._rows]:
            for index, (was, row) in enumerate(zip(self._rows, rows, strict=True)):
                if not was.line.is_same(row.line):
                    options.replace_option_prompt_at_index(index, row.line)
            self._rows = list(rows)
            if at is not None:
                self._go_to(at)
            return
        self._rows = list(rows)
        with options.prevent(OptionList.OptionHighlighted):
            options.clear_options()
            options.add_options([Option(row.line, disabled=row.key is None) for row in rows])
        self.screen.refresh_bindings()
        keys = [row.key for row in rows]
        first = next((key for key in keys if key is not None), None)
        self._go_to(under_cursor if under_cursor in keys and under_cursor is not None else first)

    def tell(self, content: Content, *, top: bool = True) -> None:
        """Fill the right pane."""
        self.query_one("#told", StillText).put(content, layout=True)
        if top:
            self.query_one(VerticalScroll).scroll_home(animate=False)

    def action_told(self, pages: int) -> None:
        """Move the right pane by pages."""
        pane = self.query_one(VerticalScroll)
        pane.scroll_relative(y=pages * max(1, pane.size.height - 2), animate=False)

    def _go_to(self, key: Hashable | None) -> None:
        index = next((place for place, row in enumerate(self._rows) if row.key == key), None)
        if key is not None and index is not None:
            options = self.query_one(OptionList)
            if options.highlighted == index:
                self.post_message(self.Chosen(key))
            options.highlighted = index

    @on(OptionList.OptionHighlighted)
    def _came(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if event.option_index < len(self._rows) and (key := self._rows[event.option_index].key) is not None:
            self.post_message(self.Chosen(key))

    @on(OptionList.OptionSelected)
    def _opened(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_index < len(self._rows) and (key := self._rows[event.option_index].key) is not None:
            self.post_message(self.Opened(key))


def heading(text: str) -> Row:
    """A row that is none: the name of those below."""
    return Row(Content.styled(text, "$dim bold"))


def failed(reason: str) -> Content:
    """What a pane says when something cannot be shown."""
    return Content.assemble(("✗ ", "$error"), reason)
