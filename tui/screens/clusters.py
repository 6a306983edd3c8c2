"""The clusters of copies of a corpus: which copy of each was kept, and what the others say differently."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, ClassVar

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
from workbench.safe_text import one_line
from workbench.stored_documents import read_clusters

MOST = 1000
COMPARED_CHARACTERS = 2000
_PIECES = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass
class ClustersRead(Message):
    """What is kept of the clusters was read, or `problem` says why not."""

    clusters: list[dict[str, Any]]
    problem: str = ""


class ClustersScreen(Screen[None]):
    """The largest clusters, largest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "app.pop_screen"),
    ]
    AUTO_FOCUS = "#rows"

    def __init__(self, home: Path, run: str, folder: Path) -> None:
        """folder: of the corpus."""
        super().__init__()
        self._home, self._run_name, self._folder = home, run, folder
        self._clusters: list[dict[str, Any]] = []

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
        reference = f"{self._run_name}/corpus"
        return commands.workbench(self._home, "inspect", reference, "--clusters", "--samples", "100")

    @work(thread=True, group="clusters", exit_on_error=False)
    def _read(self) -> None:
        try:
            self.post_message(ClustersRead(read_clusters(self._folder, MOST)))
        except (WorkbenchError, OSError) as error:
            self.post_message(ClustersRead([], one_line(in_one_line(error), 400)))

    @on(ClustersRead)
    def _take(self, message: ClustersRead) -> None:
        self._clusters = message.clusters
        browser = self.query_one(Browser)
        if message.problem:
            browser.tell(failed(message.problem))
        count = len(self._clusters)
        self._title(f"the {count:,} largest" if count else "none is kept to be shown")
        browser.show([Row(cluster_line(cluster), place) for place, cluster in enumerate(self._clusters)])

    def _title(self, said: str) -> None:
        name = one_line(self._run_name, 60)
        self.query_one("#title", StillText).put(
            Content.assemble(("clusters of copies", "bold $primary"), f"  {name}  ", (said, "$dim"))
        )

    @on(Browser.Chosen)
    def _look_at(self, message: Browser.Chosen) -> None:
        if isinstance(place := message.key, int):
            self.query_one(Browser).tell(cluster_told(self._clusters[place]))


def cluster_told(cluster: Mapping[str, Any]) -> Content:
    """The copy that was kept and those that were not; in these, bold, the words that the kept one has not."""
    kept = _record(cluster.get("kept"))
    text, copies = str(kept.get("text", "")), cluster.get("copies")
    parts = [
        Content.assemble(
            ("kept  ", "$success"), (one_line(str(kept.get("id", "")), 200), "bold $primary"), _from(kept)
        ),
        visible(text, ends=False),
    ]
    records = [_record(copy) for copy in copies] if isinstance(copies, list) else []
    for copy in records:
        parts += [
            Content(""),
            Content.assemble(
                ("left out  ", "$warning"),
                (one_line(str(copy.get("id", "")), 200), "bold"),
                _from(copy),
                _alike(copy),
            ),
        ]
        if (said := str(copy.get("text", ""))) != text:
            parts.append(_compared(said, text))
    more = _size(cluster) - 1 - len(records)
    if more > 0:
        parts += [Content(""), Content.styled(f"and {more:,} more", "$dim")]
    return Content("\n").join(parts)


def cluster_line(cluster: Mapping[str, Any]) -> Content:
    """Its row: how many documents, and how the kept one begins."""
    kept = _record(cluster.get("kept"))
    text = one_line(str(kept.get("text", "")), 100) or one_line(str(kept.get("id", "")), 100)
    return Content.assemble((f"{_size(cluster):>6,}  ", "$dim"), text)


def _from(record: Mapping[str, Any]) -> tuple[str, str]:
    return f"  {one_line(str(record.get('source', '')), 60)}", "$dim"


def _alike(copy: Mapping[str, Any]) -> tuple[str, str]:
    """How much of the kept text it has; an exact duplicate has no figure."""
    similar = copy.get("similarity")
    return f", {similar:.0%} the same" if isinstance(similar, float) else ", the same text", "$dim"


def _compared(text: str, kept: str) -> Content:
    """`text`, in bold what `kept` has not."""
    ours, theirs = (_PIECES.findall(each[:COMPARED_CHARACTERS]) for each in (text, kept))
    parts = []
    for tag, _, _, first, end in SequenceMatcher(None, theirs, ours, autojunk=False).get_opcodes():
        piece = visible("".join(ours[first:end]), ends=False)
        parts.append(piece if tag == "equal" else piece.stylize("bold underline"))
    return Content.assemble(*parts, visible(text[COMPARED_CHARACTERS:], ends=False))


def _record(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _size(cluster: Mapping[str, Any]) -> int:
    size = cluster.get("size")
    return size if isinstance(size, int) else 0
