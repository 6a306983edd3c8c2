"""The documents of a corpus, a page at a time: their texts, why each was kept or left out, what cannot be seen.

Only as much of the files is read as a page needs (workbench.stored_documents); a search reads on in a thread and can be
given up. Why a document was kept is measured by a child process (workbench.text_client).
"""

from __future__ import annotations

import contextlib
import random
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input
from textual.worker import get_current_worker

from tui import commands
from tui.keys import bind
from tui.visible import visible
from tui.widgets.bars import short
from tui.widgets.browser import Browser, Row, failed
from tui.widgets.key_bar import KeyBar
from tui.widgets.still import StillText
from tui.widgets.typing_line import TypingLine
from workbench.corpus_report import decided, limit_of
from workbench.errors import WorkbenchError, in_one_line
from workbench.safe_text import one_line
from workbench.stored_documents import Part, Place, Stored, StoredDocuments, needle
from workbench.text_client import LONGEST_TEXT, TextClient

PAGE = 40
PARTS: dict[str, str] = {"train": "training", "heldout": "held out", "rejected": "left out"}


@dataclass
class PageRead(Message):
    """A page was read."""

    start: Place
    documents: Sequence[Stored]


@dataclass
class NotFoundAgain(Message):
    """A search came to the end, or the documents cannot be read."""

    reason: str


@dataclass
class WhyTold(Message):
    """What the filters find of a document."""

    place: Place
    content: Content


class DocumentsScreen(Screen[None]):
    """One part of a corpus: `train`, `heldout`, or those rejected for a `reason`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("later", "turn(1)", tooltip="The next page, or the next match"),
        bind("earlier", "turn(-1)", tooltip="The page before"),
        bind("find", description="find", priority=True, tooltip="Find a text in the documents that follow"),
        bind("random", tooltip="A document from anywhere"),
        bind("why"),
        bind(
            "hidden",
            "invisibles",
            description="invisibles",
            tooltip="Show what cannot be seen, or hide it again",
        ),
        bind("back"),
    ]
    AUTO_FOCUS = "#rows"

    def __init__(
        self,
        home: Path,
        run: str,
        folder: Path,
        *,
        part: Part = "train",
        reason: str = "",
        source: str = "",
        seed: int | None = None,
    ) -> None:
        """source: only documents from there. seed: of the random looks."""
        super().__init__()
        self._home, self._run_name, self._folder, self._part, self._reason = home, run, folder, part, reason
        self._source = source
        self._readers: list[StoredDocuments] = []
        """Those that no thread has: one that read the page before goes on from there."""
        self._documents: list[Stored] = []
        self._starts: list[Place] = []
        self._wanted = ""
        self._state = "reading…"
        self._shows_invisibles = True
        self._random = random.Random(seed)
        self._why: dict[Place, Content] = {}
        self._client = TextClient.over(home)
        self._limit: Any = None

    def compose(self) -> ComposeResult:
        """Title, panes, search, keys."""
        yield StillText(id="title")
        yield Browser(opens=False)
        yield TypingLine()
        yield KeyBar()

    def on_mount(self) -> None:
        """The first page."""
        self._title()
        self._page(Place())

    def on_unmount(self) -> None:
        """End the child."""
        self._client.close()

    def command(self) -> str:
        """The same in a shell, as near as it comes."""
        if self._part == "rejected":
            reference = f"{self._run_name}/corpus"
            return commands.workbench(
                self._home, "inspect", reference, "--reason", self._reason, "--samples", "40"
            )
        file = sorted(self._folder.glob("train-*" if self._part == "train" else "heldout*"))[:1]
        only = f" | grep -F {shlex.quote(needle('source', self._source).decode())}" if self._source else ""
        return f"zstdcat {shlex.join(map(str, file))}{only} | less" if file else "workbench runs"

    @work(thread=True, exclusive=True, group="page", exit_on_error=False)
    def _page(self, start: Place) -> None:
        try:
            self._limit = limit_of(self._folder, self._reason) if self._reason else None
            with self._reader() as documents:
                self.post_message(PageRead(start, documents.page(start, PAGE)))
        except (WorkbenchError, OSError) as error:
            self.post_message(NotFoundAgain(in_one_line(error)))

    @contextlib.contextmanager
    def _reader(self) -> Iterator[StoredDocuments]:
        """One that no other thread has: a search that was given up may still be ending."""
        try:
            reader = self._readers.pop()
        except IndexError:
            reader = StoredDocuments(self._folder, self._part, reason=self._reason, source=self._source)
        yield reader
        self._readers.append(reader)  # not where it failed

    @on(PageRead)
    def _take(self, message: PageRead) -> None:
        if not message.documents and self._documents:
            self._say("these are the last")
            return
        self._documents = list(message.documents)
        self._starts.append(message.start)
        self._say("" if self._documents else "no documents here")
        self._show_rows()

    @on(NotFoundAgain)
    def _cannot(self, message: NotFoundAgain) -> None:
        self._say(one_line(message.reason, 120) if self._documents else "")
        if not self._documents:
            self.query_one(Browser).tell(failed(one_line(message.reason, 400)))

    def _show_rows(self) -> None:
        browser = self.query_one(Browser)
        rows = [
            Row(
                Content.assemble(
                    (f"{each.characters:>9,}  ", "$dim"), one_line(each.text, 100) or one_line(each.id, 100)
                ),
                each.place,
            )
            for each in self._documents
        ]
        browser.show(rows, at=self._documents[0].place if self._documents else None)

    def _say(self, state: str) -> None:
        self._state = state
        self._title()

    def _title(self) -> None:
        what = PARTS[self._part] + (f": {self._reason.replace('_', ' ')}" if self._reason else "")
        what += f" from {self._source}" if self._source else ""
        first = self._documents[0].place if self._documents else Place()
        where = f"file {first.file + 1}, from document {first.line + 1:,}"
        wanted = (f"  “{one_line(self._wanted, 40)}”", "$primary") if self._wanted else ""
        self.query_one("#title", StillText).put(
            Content.assemble(
                ("documents", "bold $primary"),
                f"  {one_line(what, 60)}  ",
                (where, "$dim"),
                wanted,
                (f"  {self._state}" if self._state else "", "$warning"),
            )
        )

    @on(Browser.Chosen)
    def _look_at(self) -> None:
        self._tell()

    def _shown(self) -> Stored | None:
        place = self.query_one(Browser).key
        return next((each for each in self._documents if each.place == place), None)

    def _tell(self, *, top: bool = True) -> None:
        document = self._shown()
        if document is None:
            return
        text = visible(document.text) if self._shows_invisibles else visible(document.text, ends=False)
        if not self._shows_invisibles:
            text = Content(text.plain)
        shown = "" if self._shows_invisibles else ", invisibles hidden"
        facts = f"{one_line(document.source, 60)}, {document.characters:,} characters{shown}"
        parts = [
            Content.styled(one_line(document.id, 200), "bold $primary"),
            Content.styled(facts, "$dim"),
            *self._why_of(document),
            Content(""),
            text,
        ]
        if document.characters > len(document.text):
            parts.append(Content.styled(f"… {document.characters - len(document.text):,} more", "$dim"))
        self.query_one(Browser).tell(Content("\n").join(parts), top=top)

    def _why_of(self, document: Stored) -> list[Content]:
        told = [self._why[document.place]] if document.place in self._why else []
        if document.reason:
            why = one_line(decided(document.reason, document.figure, self._limit), 200)
            copy = f" in {one_line(document.copy_of, 80)}" if document.copy_of else ""
            return [Content.assemble(("left out: ", "$warning"), why, copy), *told]
        return told

    def action_invisibles(self) -> None:
        """With pictures, or without."""
        self._shows_invisibles = not self._shows_invisibles
        self._tell(top=False)

    def action_turn(self, direction: int) -> None:
        """The next page or match; or the page before."""
        if direction < 0:
            if len(self._starts) > 1:
                self._starts.pop()
                self._page(self._starts.pop())
        elif self._documents:
            here = self._shown() or self._documents[-1]
            last = here.place if self._wanted else self._documents[-1].place
            after = Place(last.file, last.line + 1)
            if self._wanted:
                self._search(self._wanted, after)
            else:
                self._page(after)

    def action_random(self) -> None:
        """From anywhere."""
        self._jump(self._random.random())

    @work(thread=True, exclusive=True, group="page", exit_on_error=False)
    def _jump(self, share: float) -> None:
        try:
            with self._reader() as documents:
                place = documents.at(share)
                self.post_message(PageRead(place, documents.page(place, PAGE)))
        except (WorkbenchError, OSError) as error:
            self.post_message(NotFoundAgain(in_one_line(error)))

    def action_find(self) -> None:
        """Ask for a text."""
        self.query_one(TypingLine).begin("find", hint="a text to find", value=self._wanted)
        self.refresh_bindings()

    def _stop_typing(self) -> None:
        self.query_one(TypingLine).end()
        self.query_one("#rows").focus()
        self.refresh_bindings()

    @on(Input.Submitted)
    def _look_for(self, event: Input.Submitted) -> None:
        self._stop_typing()
        self._wanted = event.value
        if event.value and self._documents:
            here = self._shown() or self._documents[0]
            self._search(event.value, here.place)
        self._title()

    @work(thread=True, exclusive=True, group="page", exit_on_error=False)
    def _search(self, wanted: str, start: Place) -> None:
        worker = get_current_worker()
        self.app.call_from_thread(self._say, "looking… (esc gives up)")
        try:
            with self._reader() as documents:
                for place in documents.find(wanted, start):
                    if worker.is_cancelled:
                        return
                    if place is not None:
                        self.post_message(PageRead(place, documents.page(place, PAGE)))
                        return
            self.post_message(NotFoundAgain("not found from here on"))
        except (WorkbenchError, OSError) as error:
            self.post_message(NotFoundAgain(in_one_line(error)))

    def action_back(self) -> None:
        """Out of the search, then out of the screen."""
        if self.query_one(TypingLine).purpose:
            self._stop_typing()
        elif self._wanted:
            self.workers.cancel_group(self, "page")
            self._wanted = ""
            self._say("")
        else:
            self.app.pop_screen()

    def action_why(self) -> None:
        """Measure the document."""
        if (document := self._shown()) is not None and document.place not in self._why:
            self._why[document.place] = Content.styled("measuring…", "$dim")
            self._tell()
            self._measure(document)

    @work(thread=True, group="why", exit_on_error=False)
    def _measure(self, document: Stored) -> None:
        try:
            told = self._client.ask("why", folder=str(self._folder), text=document.text[:LONGEST_TEXT])
            content = _checks(told.get("checks") or [])
        except (WorkbenchError, OSError, KeyError, TypeError, ValueError) as error:
            content = failed(one_line(in_one_line(error), 300))
        self.post_message(WhyTold(document.place, content))

    @on(WhyTold)
    def _show_why(self, message: WhyTold) -> None:
        self._why[message.place] = message.content
        self._tell(top=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that are typed into the search are text."""
        if not self.is_mounted or not self.query_one(TypingLine).purpose:
            return True
        return (
            False if action == "find" else action == "back" or None
        )  # find is taken before the line sees it


def _checks(checks: Sequence[Any]) -> Content:
    """A line a check: what was found, what is asked for, and whether it passes."""
    if not checks:
        return Content.styled("The filters of this corpus ask nothing that a text alone can answer.", "$dim")
    lines = []
    for each in checks:
        sign, color = ("✓", "$success") if each["passes"] else ("✗", "$error")
        wants = "≥" if each["wants"] == "at least" else "≤"
        lines.append(
            Content.assemble(
                (f"{sign} ", color),
                one_line(str(each["figure"]).replace("_", " "), 40),
                f" {short(float(each['value']))} {wants} {short(float(each['limit']))}",
                (f"  {one_line(str(each['key']), 40)}", "$dim"),
            )
        )
    return Content("\n").join(lines)
