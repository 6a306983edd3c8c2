"""The items of one task that a model got wrong: what was asked, what was expected, what came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.screen import Screen

from tui import commands
from tui.keys import bind
from tui.visible import visible
from tui.widgets.browser import Browser, Row, failed
from tui.widgets.key_bar import KeyBar
from tui.widgets.still import StillText
from workbench.errors import WorkbenchError, in_one_line
from workbench.failure_report import Failure, read_failures
from workbench.safe_text import one_line

EMPTY = "This scorecard keeps no items of this task: it was made before they were kept, or nothing came out wrong."


@dataclass
class FailuresRead(Message):
    """The items were read."""

    failures: Sequence[Failure]


@dataclass
class FailuresMissing(Message):
    """They cannot be read."""

    reason: str


class FailuresScreen(Screen[None]):
    """Items on the left, one in full on the right."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "app.pop_screen"),
    ]
    AUTO_FOCUS = "#rows"

    def __init__(self, home: Path, run: str, folder: Path, task: str) -> None:
        super().__init__()
        self._home, self._run_name, self._folder, self._task_name = home, run, folder, task
        self._failures: list[Failure] = []

    def compose(self) -> ComposeResult:
        """Title, panes, keys."""
        yield StillText(id="title")
        yield Browser(opens=False)
        yield KeyBar()

    def on_mount(self) -> None:
        """Read them."""
        self._title("reading…")
        self._read()

    def command(self) -> str:
        """The same in a shell."""
        return commands.workbench(self._home, "inspect", f"{self._run_name}/eval", "--json")

    @work(thread=True, group="read", exit_on_error=False)
    def _read(self) -> None:
        try:
            self.post_message(FailuresRead(read_failures(self._folder, self._task_name)))
        except (WorkbenchError, OSError) as error:
            self.post_message(FailuresMissing(in_one_line(error)))

    @on(FailuresMissing)
    def _cannot(self, message: FailuresMissing) -> None:
        self._title("")
        self.query_one(Browser).tell(failed(one_line(message.reason, 400)))

    @on(FailuresRead)
    def _take(self, message: FailuresRead) -> None:
        self._failures = list(message.failures)
        count = len(self._failures)
        self._title(f"{count:,} item{'s' if count != 1 else ''} that came out wrong")
        browser = self.query_one(Browser)
        if not self._failures:
            browser.tell(Content.styled(EMPTY, "$dim"))
        browser.show(
            [
                Row(
                    Content.assemble(
                        (f"{one_line(each.model, 10):<10} ", "$primary"),
                        ("! " if each.seen else "", "$warning"),
                        one_line(each.asked, 100),
                    ),
                    index,
                )
                for index, each in enumerate(self._failures)
            ]
        )

    def _title(self, said: str) -> None:
        self.query_one("#title", StillText).put(
            Content.assemble(
                ("eval", "bold $primary"), f"  {one_line(self._task_name, 60)}  ", (said, "$dim")
            )
        )

    @on(Browser.Chosen)
    def _look_at(self, message: Browser.Chosen) -> None:
        assert isinstance(message.key, int)
        each = self._failures[message.key]
        seen = Content.styled("! this item stands in training text", "$warning") if each.seen else Content("")
        self.query_one(Browser).tell(
            Content("\n").join(
                [
                    Content.assemble((one_line(each.model, 40), "bold"), (f"  {one_line(each.id, 80)}", "$dim")),
                    seen,
                    Content.styled("asked", "$dim"), visible(each.asked, ends=False), Content(""),
                    Content.styled("expected", "$success"), visible(each.expected, ends=False), Content(""),
                    Content.styled("came", "$error"), visible(each.came, ends=False),
                ]
            )
        )  # fmt: skip
