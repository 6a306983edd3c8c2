"""What the worker of a run printed: the end of its log, followed and searched."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input

from tui import commands
from tui.feed import read_log_tail
from tui.keys import bind
from tui.messages import ActionFailed, LogRead
from tui.widgets.key_bar import KeyBar
from tui.widgets.log_lines import LogLines
from tui.widgets.still import StillText
from workbench.errors import WorkbenchError, in_one_line
from workbench.runs import open_run
from workbench.safe_text import one_line

POLL_SECONDS = 1.0
_LONGEST_LINE = 4000
EMPTY = "The log is empty: it is written when something is wrong."


class LogScreen(Screen[None]):
    """The last lines, newest at the bottom."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("find", description="find", priority=True, tooltip="Mark the lines that contain what is typed"),
        bind("back", tooltip="Back to the run; first out of what was looked for"),
    ]
    AUTO_FOCUS = "LogLines"

    def __init__(self, home: Path, name: str) -> None:
        super().__init__()
        self._home, self._run_name = home, name
        self._shown: str | None = None

    def compose(self) -> ComposeResult:
        """Title and text."""
        yield StillText(id="title")
        yield LogLines()
        yield Input(placeholder="what to look for", id="filter", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        """Look at once, then every second."""
        self.query_one(Input).cursor_blink = False
        self.query_one(Input).display = False
        for name in ("follows", "wraps"):
            self.watch(self.query_one(LogLines), name, self._title)
        self._read()
        self.set_interval(POLL_SECONDS, self._read)

    def command(self) -> str:
        """The same in a shell."""
        return commands.workbench(self._home, "log", self._run_name)

    @work(thread=True, exclusive=True, group="feed", exit_on_error=False)
    def _read(self) -> None:
        try:
            self.post_message(LogRead(read_log_tail(open_run(self._home, self._run_name))))
        except (WorkbenchError, OSError) as error:
            self.post_message(ActionFailed(in_one_line(error)))

    @on(LogRead)
    def _show(self, message: LogRead) -> None:
        if message.text != self._shown:
            self._shown = message.text
            lines = message.text.rstrip("\n").split("\n") if message.text else [EMPTY]
            self.query_one(LogLines).show([line[:_LONGEST_LINE] for line in lines])
        self._title()

    def _title(self) -> None:
        lines = self.query_one(LogLines)
        place, count = lines.found
        wanted = self.query_one(Input).value
        said = f"  match {place} of {count}" if count else "  no match" if wanted else ""
        follows = "  follows" if lines.follows else "  stands still, f follows"
        cut = "" if lines.wraps else "  lines are cut, w breaks them"
        self.query_one("#title", StillText).put(
            Content.assemble(
                (one_line(self._run_name, 120), "bold"),
                ("  log", "$dim"),
                (follows + cut, "$dim"),
                (said, "$warning"),
            )
        )

    @on(Input.Changed, "#filter")
    def _look_for(self, event: Input.Changed) -> None:
        self.query_one(LogLines).look_for(event.value.strip())
        self._title()

    @on(Input.Submitted, "#filter")
    def _to_the_lines(self) -> None:
        self.query_one(LogLines).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A slash in what is looked for is a letter."""
        return not (action == "find" and isinstance(self.focused, Input))

    def action_find(self) -> None:
        """Write what to look for."""
        self.query_one(Input).display = True
        self.set_focus(self.query_one(Input))

    def action_back(self) -> None:
        """Out of the search, then out of the log."""
        wanted = self.query_one(Input)
        if not wanted.display:
            self.app.pop_screen()
            return
        wanted.clear()
        wanted.display = False
        self.query_one(LogLines).focus()
