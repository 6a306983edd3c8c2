"""The scorecard of a run: every figure of every stage side by side, with intervals and what needs no model.

Two figures are called different only where they surely are (95 %, workbench.scorecard_report).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.screen import Screen

from tui import commands, words
from tui.keys import bind
from tui.screens.failures import FailuresScreen
from tui.widgets.browser import Browser, Rows, failed
from tui.widgets.browser import Row as Line
from tui.widgets.key_bar import KeyBar
from tui.widgets.still import StillText
from workbench.errors import WorkbenchError, in_one_line
from workbench.eval_terms import Explanation, explain_metric, explain_task
from workbench.references import find_artifact
from workbench.safe_text import one_line
from workbench.scorecard_report import Row, Score, ScorecardReport, read_scorecard

CELL = 15
LEAST_WIDTH = 70
"""Cells from which on there is room for more than a figure and its interval as a drawing."""
READING = "reading the scorecard…"
VERDICTS = {1: ("▲", "$success", "better"), -1: ("▼", "$error", "worse"), 0: ("·", "$dim", "not different")}


@dataclass
class ScorecardRead(Message):
    """The scorecard was read."""

    report: ScorecardReport


@dataclass
class ScorecardMissing(Message):
    """There is none, or none that can be read."""

    reason: str


class ScoresScreen(Screen[None]):
    """A table above, the figure under the cursor below."""

    DEFAULT_CSS = """
    ScoresScreen #told { max-width: 126; }
    ScoresScreen #columns { margin: 0 1; padding: 0 1; height: 1; text-wrap: nowrap; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "app.pop_screen"),
    ]
    AUTO_FOCUS = "#rows"

    def __init__(self, home: Path, run: str) -> None:
        super().__init__()
        self._home, self._run_name = home, run
        self._report: ScorecardReport | None = None

    def compose(self) -> ComposeResult:
        """Title, table, figure, keys."""
        yield StillText(id="title")
        yield StillText(id="columns")
        yield Browser(stacked=True)
        yield KeyBar()

    def on_mount(self) -> None:
        """Read it."""
        self._title(READING)
        self._read()

    def command(self) -> str:
        """The same in a shell."""
        return commands.workbench(self._home, "inspect", f"{self._run_name}/eval")

    def command_for(self, action: str, _: tuple[object, ...]) -> str:
        """The command of a key: enter shows what came out wrong, which is in the scorecard's JSON."""
        reference = f"{self._run_name}/eval"
        return commands.workbench(self._home, "inspect", reference, "--json") if action == "select" else ""

    def explanations(self) -> tuple[str, list[Explanation]]:
        """What the tasks and figures of this scorecard are."""
        rows = self._report.rows if self._report is not None else ()
        told = [each for row in rows for each in (explain_task(row.task), explain_metric(row.metric))]
        return "This scorecard", list(dict.fromkeys(each for each in told if each is not None))

    @work(thread=True, group="read", exit_on_error=False)
    def _read(self) -> None:
        try:
            folder = find_artifact(self._run_name, "scorecard", home=self._home)
            self.post_message(ScorecardRead(read_scorecard(folder)))
        except (WorkbenchError, OSError) as error:
            self.post_message(ScorecardMissing(in_one_line(error)))

    @on(ScorecardMissing)
    def _cannot(self, message: ScorecardMissing) -> None:
        self._title("")
        self.query_one(Browser).tell(failed(one_line(message.reason, 400)))

    @on(ScorecardRead)
    def _take(self, message: ScorecardRead) -> None:
        self._report = message.report
        self._show()
        if not message.report.rows:
            self.query_one(Browser).tell(Content.styled("The scorecard is empty.", "$dim"))

    def on_resize(self) -> None:
        """The columns share the width."""
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        report = self._report
        if report is None:
            return
        short = self.size.width < LEAST_WIDTH
        self._title(("" if short else "± standard error; ") + "▲ better, ▼ worse than before")
        shown = shown_models(report.models, self.size.width)
        name = max(12, min(44, self.size.width - 7 - CELL * len(shown)))
        header = "".join(f"{one_line(model, CELL - 2):>{CELL}}" for model in shown)
        self.query_one("#columns", StillText).put(Content.styled(f"{'':<{name}}{header}", "$dim"))
        lines = [Line(row_line(report, row, shown, name=name), (row.task, row.metric)) for row in report.rows]
        self.query_one(Browser).show(lines)

    def _title(self, said: str) -> None:
        name = one_line(self._run_name, 60)
        self.query_one("#title", StillText).put(
            Content.assemble(("eval", "bold $primary"), f"  {name}  ", (said, "$dim"))
        )

    @on(Browser.Chosen)
    def _look_at(self, message: Browser.Chosen) -> None:
        row = self._row(message.key)
        if self._report is not None and row is not None:
            meant = explain_metric(row.metric)
            self.query_one(Rows).gauge = meant.name if meant is not None else ""
            self.query_one(Browser).tell(
                Content("\n").join(told_of(self._report, row, width=self.size.width))
            )

    def _row(self, key: object) -> Row | None:
        rows = self._report.rows if self._report is not None else ()
        return next((row for row in rows if (row.task, row.metric) == key), None)

    @on(Browser.Opened)
    def _open(self, message: Browser.Opened) -> None:
        row = self._row(message.key)
        if self._report is not None and row is not None:
            self.app.push_screen(FailuresScreen(self._home, self._run_name, self._report.folder, row.task))


def shown_models(models: Sequence[str], width: int) -> Sequence[str]:
    """As many as there is room for, the last ones first: what came last counts most."""
    most = max(1, (width - 24) // CELL)
    return models[-most:]


def row_line(report: ScorecardReport, row: Row, shown: Sequence[str], *, name: int) -> Content:
    """One figure of all models that are shown."""
    label = f"{one_line(row.task, 40)} {one_line(row.metric, 30).replace('_', ' ')}"
    parts: list[tuple[str, str] | str] = [words.fit(label, name)]
    for model in shown:
        score = row.scores.get(model)
        if score is None:
            parts.append((f"{'–':>{CELL}}", "$faint"))
            continue
        sign, color, _ = VERDICTS[verdict(report, row, model)]
        error = f"±{short(score.stderr)}" if score.stderr is not None else ""
        parts += [
            (f"{short(score.value):>{CELL - 9}} ", "bold"),
            (f"{error:<6}"[:6], "$dim"),
            (f" {sign if model != first_of(report, row) else ' '}", color),
        ]
    return Content.assemble(*parts)


def first_of(report: ScorecardReport, row: Row) -> str:
    """The first model that was measured by this figure."""
    return next((model for model in report.models if model in row.scores), "")


def verdict(report: ScorecardReport, row: Row, model: str) -> int:
    """1: surely better than the stage before it that has the figure; -1: worse; 0: not different, or not known."""
    before = [each for each in report.models[: report.models.index(model)] if each in row.scores]
    if not before:
        return 0
    now, then = row.scores[model], row.scores[before[-1]]
    if not now.differs_from(then):
        return 0
    return 1 if (now.value < then.value) == row.less_is_better else -1


def told_of(report: ScorecardReport, row: Row, *, width: int) -> Iterator[Content]:
    """One figure in full: each model with its interval drawn to scale, then what needs no model, then what was seen."""
    better = "less is better" if row.less_is_better else "more is better"
    yield Content.assemble(
        (f"{one_line(row.task, 60)} {one_line(row.metric, 40).replace('_', ' ')}", "bold"),
        (f"  {better}", "$dim"),
    )
    baselines = report.baselines.get(row.task, {}) if row.metric in ("bits_per_byte", "acc") else {}
    everything = [*row.scores.values(), *baselines.values()]
    low = min((each.interval or (each.value,))[0] for each in everything)
    high = max((each.interval or (each.value, each.value))[1] for each in everything)
    shown = [model for model in report.models if model in row.scores]
    name_cells = min(22, max(len(one_line(name, 22)) for name in (*shown, *baselines)) + 1)
    wide = width >= LEAST_WIDTH
    room = max(8, min(48, width - (56 if wide else 40) - name_cells))
    for model in shown:
        sign, color, word = VERDICTS[verdict(report, row, model)]
        beside = Content("") if model == first_of(report, row) else Content.styled(f" {sign} {word}", color)
        name = words.fit(one_line(model, 22), name_cells)
        yield _score_line(name, row.scores[model], low, high, room, "$primary", beside, wide=wide)
    for baseline, score in baselines.items():
        name = words.fit(one_line(baseline, 22), name_cells)
        yield _score_line(
            name, score, low, high, room, "$dim", Content.styled(" no model", "$dim"), wide=wide
        )
    if seen := report.seen.get(row.task):
        dropped = f", {seen['dropped']:,} did and were left out" if seen.get("dropped") else ""
        few = f", {seen['too_short']:,} are too short to tell" if seen.get("too_short") else ""
        said = (
            f"{seen.get('seen', 0):,} of {seen.get('items', 0):,} items stand in training text{dropped}{few}"
        )
        yield Content("")
        yield Content.assemble(
            ("! " if seen.get("seen") else "✓ ", "$warning" if seen.get("seen") else "$success"), said
        )
    for meant in (explain_task(row.task), explain_metric(row.metric)):
        if meant is not None:
            yield Content("")
            yield Content.assemble(
                (meant.name.replace("_", " ").strip(), "$primary"), f"  {meant.text}",
                (f"  {meant.source}", "$faint"),
            )  # fmt: skip


def _score_line(
    name: str, score: Score, low: float, high: float, room: int, color: str, said: Content, *, wide: bool
) -> Content:
    interval = (
        f"{short(score.interval[0])} to {short(score.interval[1])}" if score.interval else "no interval"
    )
    return Content.assemble(
        (name, color), (f" {short(score.value):>7}", "bold"), (f" {interval:<15}" if wide else "", "$dim"),
        (f" {whisker(score, low, high, room)}", color), (f" n {score.n:,}", "$dim"), said,
    )  # fmt: skip


def whisker(score: Score, low: float, high: float, room: int) -> str:
    """The interval to scale between `low` and `high`: `  ├──●──┤   `; nothing for what is not a number."""
    if not all(map(math.isfinite, (score.value, low, high, *(score.interval or ())))):
        return " " * room

    def place(value: float) -> int:
        return round((value - low) / (high - low) * (room - 1)) if high > low else room // 2

    cells = [" "] * room
    if score.interval:
        first, last = place(score.interval[0]), place(score.interval[1])
        for index in range(first, last + 1):
            cells[index] = "─"
        cells[first], cells[last] = "├", "┤"
    cells[place(score.value)] = "●"
    return "".join(cells)


def short(value: float) -> str:
    """A figure in at most six cells: three places below ten, so that points stand in a column, fewer above."""
    if abs(value) < 10:
        return f"{value:.3f}".removeprefix("0")
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.4g}"
