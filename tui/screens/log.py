"""What the worker of a run printed: the end of its log, followed."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Log, Static

from tui.feed import read_log_tail
from tui.messages import ActionFailed, LogRead
from tui.widgets.key_bar import KeyBar
from workbench.errors import WorkbenchError
from workbench.runs import open_run
from workbench.safe_text import one_line

POLL_SECONDS = 1.0
_LONGEST_LINE = 2000


class LogScreen(Screen[None]):
    """The last lines, newest at the bottom."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.pop_screen", "back", key_display="esc", tooltip="Back to the run")
    ]

    def __init__(self, home: Path, name: str) -> None:
        super().__init__()
        self._home, self._run_name = home, name
        self._shown: str | None = None

    def compose(self) -> ComposeResult:
        """Title and text."""
        yield Static(Content.assemble((one_line(self._run_name, 120), "bold"), ("  log", "$dim")), id="title")
        yield Log(highlight=False, id="log")
        yield KeyBar()

    def on_mount(self) -> None:
        """Look at once, then every second."""
        self._read()
        self.set_interval(POLL_SECONDS, self._read)

    @work(thread=True, exclusive=True, group="feed", exit_on_error=False)
    def _read(self) -> None:
        try:
            self.post_message(LogRead(read_log_tail(open_run(self._home, self._run_name))))
        except (WorkbenchError, OSError) as error:
            self.post_message(ActionFailed(str(error)))

    @on(LogRead)
    def _show(self, message: LogRead) -> None:
        if message.text == self._shown:
            return
        log = self.query_one(Log)
        if self._shown is not None and message.text.startswith(self._shown):
            log.write(message.text[len(self._shown) :])
        else:
            log.clear()
            lines = (
                message.text.split("\n")
                if message.text
                else ["The log is empty: the worker only writes here when something is wrong."]
            )
            log.write(
                "\n".join(
                    one_line(line, _LONGEST_LINE) if len(line) > _LONGEST_LINE else line for line in lines
                )
            )
        self._shown = message.text
