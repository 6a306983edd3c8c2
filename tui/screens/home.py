"""Home: every run of this home, the newest first. With none it says what to do first."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from rich.cells import set_cell_size
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui import words
from tui.feed import RunRow, read_rows
from tui.messages import ActionFailed, RunsRead
from tui.screens.chat import ChatScreen
from tui.screens.run import RunScreen
from tui.screens.start import StartScreen
from tui.widgets.key_bar import KeyBar
from tui.widgets.still import StillText
from workbench.runs import LIVE
from workbench.safe_text import one_line

POLL_SECONDS = 1.0

EMPTY = (
    "There are no runs here yet.\n\n"
    "Press [bold $primary]n[/] to choose a recipe. [bold]quickstart[/] builds a small language model on this "
    "machine, from the documentation of your own Python to a chat, in five to eight minutes, without a network."
    "\n\nA run works in a process of its own: close this window whenever you like and come back later."
)


class HomeScreen(Screen[None]):
    """The list of runs."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "open", "open", key_display="enter", tooltip="Open the run under the cursor"),
        Binding("n", "start", "new run", tooltip="Choose a recipe and start it"),
        Binding(
            "t,7", "chat", "talk", key_display="t", tooltip="Chat with the model of the run under the cursor"
        ),
    ]
    AUTO_FOCUS = "OptionList"

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._home = home
        self._rows: tuple[RunRow, ...] = ()
        self._names: list[str] = []  # of the lines that are up
        self._lines: list[Content] = []
        self._looking = False

    def compose(self) -> ComposeResult:
        """Title, list or first words, footer."""
        yield Static(
            Content.assemble(("workbench", "bold $primary"), "  ", (one_line(str(self._home), 200), "$dim")),
            id="title",
        )
        yield Static(EMPTY, id="empty")
        yield StillText(id="columns")
        yield OptionList(id="runs")
        yield KeyBar()

    def on_mount(self) -> None:
        """Look at once, then every second."""
        self._look()
        self.set_interval(POLL_SECONDS, self._look)

    def on_resize(self) -> None:
        """The columns share the width."""
        self._show_rows()

    def on_screen_resume(self) -> None:
        """Fresh when seen again."""
        self._look()

    def _look(self) -> None:
        if self.is_active and not self._looking:
            self._looking = True
            self._read()

    @work(thread=True, group="feed", exit_on_error=False)
    def _read(self) -> None:
        try:
            self.post_message(RunsRead(read_rows(self._home)))
        except OSError as error:
            self.post_message(ActionFailed(f"cannot read {self._home}: {error.strerror}"))
        finally:
            self._looking = False

    @on(RunsRead)
    def _take(self, message: RunsRead) -> None:
        had, self._rows = bool(self._rows), message.rows
        self._show_rows()
        if had != bool(message.rows):
            self.refresh_bindings()
            self.query_one(OptionList).focus()

    def _show_rows(self) -> None:
        runs = self.query_one(OptionList)
        self.query_one("#empty").display = not self._rows
        runs.display = self.query_one("#columns").display = bool(self._rows)
        now, width = time.time(), self.size.width - 4
        self.query_one("#columns", StillText).put(Content.styled(columns_line(width), "$dim"))
        lines = [row_line(row, width=width, now=now) for row in self._rows]
        names = [row.name for row in self._rows]
        if names != self._names:
            under_cursor = self._selected()
            runs.clear_options()
            runs.add_options([Option(line) for line in lines])
            self._names = names
            runs.highlighted = names.index(under_cursor) if under_cursor in names else 0 if names else None
        else:
            for index, (was, line) in enumerate(zip(self._lines, lines, strict=True)):
                if not was.is_same(line):
                    runs.replace_option_prompt_at_index(index, line)
        self._lines = lines

    def _selected(self) -> str | None:
        index = self.query_one(OptionList).highlighted
        return self._names[index] if index is not None and index < len(self._names) else None

    @on(OptionList.OptionSelected)
    def action_open(self) -> None:
        """Open the run under the cursor."""
        if name := self._selected():
            self.app.push_screen(RunScreen(self._home, name))

    def action_start(self) -> None:
        """Choose a recipe."""
        self.app.push_screen(StartScreen(self._home))

    def action_chat(self) -> None:
        """Talk to the model of the run under the cursor."""
        if name := self._selected():
            self.app.push_screen(ChatScreen(self._home, name))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a run there is nothing to open or to talk to: shown, but dim."""
        return None if action in ("open", "chat") and not self._rows else True

    def live_runs(self) -> list[str]:
        """The runs that go on when this window closes."""
        return [row.name for row in self._rows if row.state in LIVE]


_COLUMNS = (("state", 10), ("stage", 14), ("step", 7), ("loss", 6), ("age", 7))
_NAME_LEAST = 16


def _shown_columns(width: int) -> tuple[int, list[tuple[str, int]]]:
    """The width of the name and the columns there is room for; the state stays longest."""
    columns = list(_COLUMNS)
    for name in ("age", "step", "stage", "loss"):
        if width - sum(size + 2 for _, size in columns) >= _NAME_LEAST:
            break
        columns = [column for column in columns if column[0] != name]
    return max(4, width - sum(size + 2 for _, size in columns)), columns


def columns_line(width: int) -> str:
    """The names of the columns, over the figures of `row_line`."""
    room, columns = _shown_columns(width)
    cells = [
        f"{name:>{size}}" if name in ("step", "loss", "age") else f"{name:<{size}}" for name, size in columns
    ]
    return "  ".join([f"{'run':<{room}}", *cells])


def row_line(row: RunRow, *, width: int, now: float) -> Content:
    """One run in `width` cells."""
    sign = words.run_sign(row.state)
    live = row.state in LIVE
    share = f" {min(row.progress, 1) * 100:.0f} %" if row.progress is not None and live else ""
    cells = {
        "state": (f"{sign!s:<10}", sign.color),
        "stage": (set_cell_size(f"{row.stage}{share}", 14), "$foreground" if live else "$dim"),
        "step": (f"{words.figure(row.step):>7}"[:7], "$foreground"),
        "loss": (f"{words.figure(row.loss):>6}"[:6], "$foreground"),
        "age": (f"{words.span(now - row.heard_at if row.heard_at is not None else None):>7}"[:7], "$dim"),
    }
    room, columns = _shown_columns(width)
    parts: list[tuple[str, str] | str] = [
        (set_cell_size(one_line(row.name, 200), room), "bold" if live else "")
    ]
    for name, _ in columns:
        parts += ["  ", cells[name]]
    return Content.assemble(*parts)
