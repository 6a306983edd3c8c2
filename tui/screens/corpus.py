"""The corpus of a run: what each step let through, why the rest was left out, how figures are spread, who is a copy."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.cells import cell_len
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.worker import get_current_worker

from tui import commands, words
from tui.keys import bind
from tui.screens.clusters import ClustersScreen, cluster_told
from tui.screens.documents import DocumentsScreen
from tui.visible import visible
from tui.widgets.bars import bar, histogram_lines, short, spread
from tui.widgets.browser import Browser, Row, failed, heading
from tui.widgets.key_bar import KeyBar
from tui.widgets.still import StillText
from workbench.corpus_report import CorpusReport, decided, histograms_of, limit_of, read_corpus_report
from workbench.errors import WorkbenchError, in_one_line
from workbench.files import human_bytes
from workbench.filter_rules import CHECKS, FILTERS
from workbench.references import find_artifact
from workbench.safe_text import one_line
from workbench.stored_documents import Part, Place, Stored, StoredDocuments, read_clusters

SAMPLES = 8
SAMPLE_CHARACTERS = 400
CLUSTERS = 4
READING = "reading the report of the corpus…"


@dataclass
class ReportRead(Message):
    """The report of the corpus was read."""

    report: CorpusReport


@dataclass
class Told(Message):
    """What is known of one row was put together."""

    key: Hashable
    content: Content


@dataclass
class NotRead(Message):
    """The corpus cannot be shown."""

    reason: str


class CorpusScreen(Screen[None]):
    """A view of one `documents` artifact."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("documents"),
        bind("back", "app.pop_screen"),
    ]
    AUTO_FOCUS = "#rows"

    def __init__(self, home: Path, run: str) -> None:
        super().__init__()
        self._home, self._run_name = home, run
        self._report: CorpusReport | None = None

    def compose(self) -> ComposeResult:
        """Title, panes, keys."""
        yield StillText(id="title")
        yield Browser()
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the report."""
        self._title(Content.styled(READING, "$dim"))
        self._read()

    def command(self) -> str:
        """The same in a shell."""
        reference = f"{self._run_name}/corpus"
        match self.query_one(Browser).key:
            case ("step", str(name)):
                return commands.workbench(self._home, "inspect", reference, "--step", name)
            case ("reason", str(name)):
                return commands.workbench(self._home, "inspect", reference, "--reason", name)
            case ("copies", _):
                return commands.workbench(self._home, "inspect", reference, "--clusters")
        return commands.workbench(self._home, "inspect", reference)

    def command_for(self, action: str, _: tuple[object, ...]) -> str:
        """The command of a key: it inspects what enter opens."""
        key = self.query_one(Browser).key
        inspected = isinstance(key, tuple) and key[0] in ("reason", "copies")
        return self.command() if inspected and action in ("select", "documents") else ""

    @work(thread=True, group="report", exit_on_error=False)
    def _read(self) -> None:
        try:
            folder = find_artifact(self._run_name, "documents", home=self._home)
            self.post_message(ReportRead(read_corpus_report(folder)))
        except (WorkbenchError, OSError) as error:
            self.post_message(NotRead(in_one_line(error)))

    @on(NotRead)
    def _cannot(self, message: NotRead) -> None:
        self._title(Content(""))
        self.query_one(Browser).tell(failed(one_line(message.reason, 400)))

    @on(ReportRead)
    def _take(self, message: ReportRead) -> None:
        self._report = message.report
        self._show_rows()

    def on_resize(self) -> None:
        """The lines share the width."""
        self.call_after_refresh(self._show_rows)

    def _show_rows(self) -> None:
        report = self._report
        if report is None:
            return
        facts = (
            f"{human_bytes(report.kept_bytes)} of training",
            f"{report.heldout:,} held out",
            f"{sum(report.reasons.values()):,} left out of {report.read:,}",
        )
        head = Content.styled(f"{report.kept:,} documents", "bold")
        room = self.size.width - 2 - len("corpus    ") - cell_len(one_line(self._run_name, 60))
        for fact in facts:  # whole or not at all
            longer = Content.assemble(head, (f"  {fact}", "$dim"))
            head = longer if longer.cell_length <= room else head
        self._title(head)
        browser = self.query_one(Browser)
        browser.show(list(rows_of(report, room=browser.room)))
        self.refresh_bindings()

    def _title(self, said: Content) -> None:
        name = one_line(self._run_name, 60)
        self.query_one("#title", StillText).put(
            Content.assemble(("corpus", "bold $primary"), "  ", name, "  ", said)
        )

    @on(Browser.Chosen)
    def _look_at(self, message: Browser.Chosen) -> None:
        self._tell(message.key)

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def _tell(self, key: Hashable) -> None:
        assert self._report is not None
        worker, width = get_current_worker(), self.size.width
        try:
            content = told_of(self._report, key, width=width if width < 70 else width * 11 // 20 - 5)
        except (WorkbenchError, OSError) as error:
            content = failed(one_line(in_one_line(error), 400))
        except (ValueError, TypeError, KeyError, AttributeError) as error:  # a corpus of another make
            content = failed(f"cannot be read: {type(error).__name__}: {one_line(str(error), 200)}")
        if not worker.is_cancelled:
            self.post_message(Told(key, content))

    @on(Told)
    def _show_told(self, message: Told) -> None:
        if message.key == self.query_one(Browser).key:
            self.query_one(Browser).tell(message.content)

    @on(Browser.Opened)
    def _open(self, message: Browser.Opened) -> None:
        match message.key:
            case ("reason", str(reason)):
                self._to_documents("rejected", reason)
            case ("part", "heldout"):
                self._to_documents("heldout")
            case ("source", str(source)):
                self._to_documents("train", source=source)
            case ("copies", _):
                self._to_clusters()
            case _:
                self._to_documents("train")

    def action_documents(self) -> None:
        """The documents of the row under the cursor."""
        self._open(Browser.Opened(self.query_one(Browser).key))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a report there are no documents to page through."""
        return None if action == "documents" and self._report is None else True

    def _to_documents(self, part: Part, reason: str = "", source: str = "") -> None:
        if self._report is not None:
            screen = partial(DocumentsScreen, self._home, self._run_name, self._report.folder)
            self.app.push_screen(screen(part=part, reason=reason, source=source))

    def _to_clusters(self) -> None:
        if self._report is not None:
            self.app.push_screen(ClustersScreen(self._home, self._run_name, self._report.folder))


def rows_of(report: CorpusReport, *, room: int) -> Iterator[Row]:
    """The lines of the left pane in `room` cells."""
    figures = len(f"{max(report.read, sum(report.reasons.values())):,}") + 1
    name = max(12, min(30, room - figures - 1))
    share = room - name - figures - 2 if room - name - figures - 2 >= 4 else 0

    def line(label: str, count: int, extra: str = "", color: str = "") -> Content:
        said = f"{count:,}".replace("-", "−")
        return Content.assemble(
            (words.fit(label, name), color), (f" {said:>{figures}}", color), (f" {extra}", "$primary")
        )

    yield heading("funnel")
    if not report.steps:
        yield Row(line("read", report.read, bar(1.0, share) if share else ""), ("read", "all"))
    of = max(report.steps[0].given if report.steps else report.read, 1)
    for step in report.steps:
        yield Row(
            line(_words(step.name), step.kept, bar(step.kept / of, share) if share else ""),
            ("step", step.name),
        )
        for reason, count in sorted(step.reasons.items(), key=lambda item: -item[1]):
            yield Row(line(f"  {_within(reason, step.name)}", -count, color="$dim"), ("reason", reason))
    told = {reason for step in report.steps for reason in step.reasons}
    rest = {reason: count for reason, count in report.reasons.items() if reason not in told}
    if rest:
        yield heading("left out" if not report.steps else "left out besides")
    for reason, count in sorted(rest.items(), key=lambda item: -item[1]):
        yield Row(line(_words(reason), -count), ("reason", reason))
    yield heading("documents")
    yield Row(line("training", report.kept), ("part", "train"))
    yield Row(line("held out", report.heldout), ("part", "heldout"))
    if report.clusters:
        yield Row(line("clusters of copies", report.clusters), ("copies", "all"))
    if report.test_items:
        found = sum(each.seen for each in report.test_items)
        yield Row(line("test items found", found), ("items", "all"))
    yield heading("sources")
    for source in report.sources:
        yield Row(line(one_line(source.name, 60), source.kept), ("source", source.name))
    if report.histograms:
        yield heading("figures of all documents")
    for each in report.histograms:
        text = words.fit(_words(each.name), name)
        drawn = spread(each)[: max(0, room - name - 1)]
        yield Row(Content.assemble(text, (f" {drawn}", "$primary")), ("figure", each.name))


def told_of(report: CorpusReport, key: Hashable, *, width: int) -> Content:
    """What is known of one row. Reads a little of the corpus; raises Damaged and BadInput."""
    match key:
        case ("step", str(name)):
            return _step(report, name, width=width)
        case ("reason", str(name)):
            return _reason(report, name, width=width)
        case ("part", str(part)):
            return _part(report, part)
        case ("copies", _):
            return _copies(report)
        case ("items", _):
            return _items(report)
        case ("source", str(name)):
            return _source(report, name)
        case ("figure", str(name)):
            each = next(each for each in report.histograms if each.name == name)
            return Content("\n").join(
                [
                    _head(_words(name), f"from {short(each.least)} to {short(each.most)}"),
                    _checks_of(name),
                    Content(""),
                    histogram_lines(each, width=width),
                ]
            )
    return _overview(report)


def _overview(report: CorpusReport) -> Content:
    lost = sum(report.reasons.values())
    lines = [
        _head("what became of every record", ""),
        Content(""),
        Content(f"{report.read:,} records were read from {len(report.sources)} source(s)."),
        Content(
            f"{report.kept:,} documents ({human_bytes(report.kept_bytes)}) are trained on; {report.heldout:,} "
            f"({human_bytes(report.heldout_bytes)}) are never trained on, and measure the model honestly."
        ),
        Content(
            f"{lost:,} were left out: each line on the left says why, with samples and the deciding figure."
        ),
    ]
    if not report.steps:
        lines += [Content(""), Content.styled("An older corpus: it tells no funnel.", "$dim")]
    return Content("\n").join(lines)


def _step(report: CorpusReport, name: str, *, width: int) -> Content:
    step = next(each for each in report.steps if each.name == name)
    lines = [
        _head(_words(name), f"{step.given:,} in, {step.kept:,} kept, {human_bytes(step.kept_bytes)}"),
        Content(""),
    ]
    for reason, count in sorted(step.reasons.items(), key=lambda item: -item[1]):
        share = count / max(step.given, 1)
        lines.append(
            Content.assemble(
                f"{_words(reason):<28} ", (f"{bar(share, 16):<16}", "$warning"), f" {count:>9,}  {share:.1%}"
            )
        )
    if not step.reasons:
        lines.append(Content.styled("It left nothing out.", "$dim"))
    for each in histograms_of(report, (check.figure for check in FILTERS.get(name, ()))):
        lines += [Content(""), Content.styled(_words(each.name), "bold"), histogram_lines(each, width=width)]
    return Content("\n").join(lines)


def _reason(report: CorpusReport, name: str, *, width: int) -> Content:
    limit = limit_of(report.folder, name)
    lines = [_head(_words(name), f"{report.reasons.get(name, 0):,} left out")]
    if name in CHECKS:
        for each in histograms_of(report, [CHECKS[name].figure]):
            lines += [Content(""), Content.styled(f"{_words(each.name)} of all documents", "bold")]
            lines += [histogram_lines(each, width=width, limit=limit)]
    found = StoredDocuments(report.folder, "rejected", reason=name).page(Place(), SAMPLES)
    lines += [Content(""), Content.styled("samples (enter pages through all)", "$dim")]
    for document in found:
        why = one_line(decided(name, document.figure, limit), 160)
        copy = f" in {one_line(document.copy_of, 60)}" if document.copy_of else ""
        lines += [Content.assemble((one_line(document.id, 60), "$primary"), (f"  {why}{copy}", "$warning"))]
        lines += [_sample(document), Content("")]
    if not found:
        lines.append(Content.styled("None was kept to be shown.", "$dim"))
    return Content("\n").join(lines)


def _part(report: CorpusReport, part: str) -> Content:
    kept = part == "train"
    count, size = (report.kept, report.kept_bytes) if kept else (report.heldout, report.heldout_bytes)
    found = StoredDocuments(report.folder, "train" if kept else "heldout").page(Place(), SAMPLES)
    lines = [_head("training" if kept else "held out", f"{count:,} documents, {human_bytes(size)}")]
    lines += [Content.styled("enter pages through them; / finds a text", "$dim"), Content("")]
    for each in found:
        lines += [
            Content.assemble(
                (one_line(each.id, 60), "$primary"), (f"  {each.characters:,} characters", "$dim")
            )
        ]
        lines += [_sample(each), Content("")]
    return Content("\n").join(lines)


def _copies(report: CorpusReport) -> Content:
    sizes = ", ".join(
        f"{count:,} of {size}{'+' * (int(size) > 8)}" for size, count in report.cluster_sizes.items()
    )
    lines = [_head("clusters of copies", f"{report.clusters:,}"), Content.styled(f"by size: {sizes}", "$dim")]
    lines += [Content.styled("enter pages through the largest and marks what differs", "$dim")]
    for cluster in read_clusters(report.folder, CLUSTERS):
        lines += [Content(""), cluster_told(cluster)]
    return Content("\n").join(lines)


def _items(report: CorpusReport) -> Content:
    lines = [_head("test items in training text", ""), Content("")]
    for each in report.test_items:
        few = f", {each.too_short:,} too short to tell" if each.too_short else ""
        lines.append(Content(f"{one_line(each.name, 40)}: {each.seen:,} of {each.items:,}{few}"))
    return Content("\n").join(lines)


def _source(report: CorpusReport, name: str) -> Content:
    source = next(each for each in report.sources if each.name == name)
    lines = [
        _head(
            one_line(name, 60),
            f"{source.kept:,} kept, {source.heldout:,} held out, {source.rejected:,} left out",
        ),
        Content.styled(f"{source.read:,} read; {human_bytes(source.kept_bytes)} kept", "$dim"),
    ]
    if source.changed:
        said = ", ".join(f"{_words(what)} {count:,}" for what, count in source.changed.items())
        lines.append(Content.styled(f"changed while it was cleaned: {said}", "$dim"))
    for id_, text in source.samples:
        lines += [Content(""), Content.styled(one_line(id_, 60), "$primary")]
        lines += [visible(text[:SAMPLE_CHARACTERS], ends=False)]
    return Content("\n").join(lines)


def _checks_of(figure: str) -> Content:
    asked = [check for checks in FILTERS.values() for check in checks if check.figure == figure]
    if not asked:
        return Content.styled("No filter asks for it.", "$dim")
    return Content.styled(f"asked for by {', '.join(check.key for check in asked)}", "$dim")


def _sample(document: Stored) -> Content:
    cut = "…" if document.characters > SAMPLE_CHARACTERS else ""
    return Content.assemble(visible(document.text[:SAMPLE_CHARACTERS], ends=False), cut)


def _head(name: str, facts: str) -> Content:
    return Content.assemble((name, "bold"), ("  " if facts else "", ""), (facts, "$dim"))


def _within(reason: str, step: str) -> str:
    """The reason in words, without the first one where its step says that already."""
    first, _, rest = reason.partition("_")
    return _words(rest if rest and step.startswith(first) else reason)


def _words(name: str) -> str:
    return one_line(name.replace("_", " "), 60)
