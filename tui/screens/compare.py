"""Two to six runs over each other: their curves, the keys their recipes differ in, their figures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import Screen

from tui import commands, words
from tui.chart.picture import RUN_GLYPHS
from tui.clipboard import copy
from tui.comparison import Difference, as_text, figures_of, recipe_differences, stage_to_compare
from tui.feed import RunFeed
from tui.keys import bind
from tui.messages import ActionFailed, ComparedRead
from tui.plots import compared
from tui.run_seen import RunSeen
from tui.theme import ON_DARK
from tui.widgets.charts import Charts
from tui.widgets.key_bar import KeyBar
from tui.widgets.still import StillText
from workbench.errors import WorkbenchError, in_one_line
from workbench.runs import open_run
from workbench.safe_text import one_line

POLL_SECONDS = 2.0
_STATE_GLYPHS = frozenset(sign.glyph for sign in words.RUN_SIGNS.values())
USUAL_VALUE = 10
"""Cells of a state in a glyph and a word, or of most figures: for these, names on the left are cut."""
MANY = 4
"""Of more runs than these the table takes half of the width."""
RUN_COLORS = tuple(f"${name}" for name in ON_DARK)
"""Of the theme, by place."""


class CompareScreen(Screen[None]):
    """A view of several run folders; the first is what the others are measured against."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "app.pop_screen", description="runs", tooltip="Back to the runs"),
        bind("runs", "app.pop_screen", show=False),
        bind("baseline"),
        bind(
            "copy_shown",
            "copy_tables",
            description="copy tables",
            tooltip="Copy the tables as Markdown, for a note",
        ),
        bind("stage_before", "stage(-1)", show=False),
        bind("stage_after", "stage(1)", tooltip="The stage after"),
        bind("page_up", "scroll(-1)", show=False, tooltip="The tables, a page up"),
        bind("page_down", "scroll(1)", description="tables", tooltip="The tables, a page down"),
    ]
    DEFAULT_CSS = """
    CompareScreen #body { height: 1fr; layout: vertical; }
    CompareScreen #tables { height: auto; max-height: 50%; padding: 1 1 0 1;
        scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    CompareScreen Charts { height: 1fr; }
    CompareScreen.-side #body { layout: horizontal; }
    CompareScreen.-side #tables { width: 40%; height: 1fr; max-height: 100%; }
    CompareScreen.-side.-many #tables { width: 50%; }
    CompareScreen.-side Charts { width: 1fr; }
    CompareScreen #figures, CompareScreen #differences { height: auto; text-wrap: nowrap; }
    CompareScreen #figures { margin-bottom: 1; }
    """

    def __init__(self, home: Path, names: Sequence[str]) -> None:
        super().__init__()
        self._home, self._names = home, list(names)
        self._feeds: dict[str, RunFeed] = {}
        self._seen: dict[str, RunSeen] = {}
        self._differences: list[Difference] = []
        self._chosen: str | None = None
        self._looking = False

    def compose(self) -> ComposeResult:
        """Title, curves, tables."""
        yield StillText(id="title")
        with Container(id="body"):
            yield Charts()
            with VerticalScroll(id="tables", can_focus=False):
                yield StillText(id="figures")
                yield StillText(id="differences")
        yield KeyBar()

    def on_mount(self) -> None:
        """Look at once, then every other second."""
        self._look()
        self.set_interval(POLL_SECONDS, self._look)

    def on_screen_resume(self) -> None:
        """Fresh when seen again."""
        self._look()

    def on_resize(self) -> None:
        """Tables beside the curves where both have room."""
        self.set_class(self.size.width >= 120, "-side")
        self.set_class(len(self._names) > MANY, "-many")
        self.call_after_refresh(self._show)

    def command(self) -> str:
        """The same in a shell."""
        return commands.workbench(self._home, "plot", *self._names)

    def _look(self) -> None:
        if self.is_active and not self._looking:
            self._looking = True
            self._read(tuple(self._names))

    @work(thread=True, group="feed", exit_on_error=False)
    def _read(self, names: tuple[str, ...]) -> None:
        try:
            if not self._feeds:
                runs = [open_run(self._home, name) for name in names]
                self._differences = recipe_differences(runs)
                self._feeds = {name: RunFeed(run) for name, run in zip(names, runs, strict=True)}
            self.post_message(ComparedRead(tuple(self._feeds[name].look() for name in names)))
        except (WorkbenchError, OSError) as error:
            self.post_message(ActionFailed(in_one_line(error)))
        finally:
            self._looking = False

    @on(ComparedRead)
    def _take(self, message: ComparedRead) -> None:
        self._seen = {seen.path.name: seen for seen in message.seen}
        self._show()
        if any(seen.behind for seen in message.seen):
            self._look()

    def _in_order(self) -> list[RunSeen]:
        return [self._seen[name] for name in self._names if name in self._seen]

    def _labels(self) -> list[str]:
        """What tells the names apart: what all of them begin with is left out."""
        names = [one_line(name, 60) for name in self._names]
        common = 0
        while len({name[: common + 1] for name in names}) == 1 and common < min(map(len, names)) - 1:
            common += 1
        common = names[0].rfind("-", 0, common) + 1 if names else 0
        return [name[common:] for name in names]

    def _stage(self) -> str:
        return self._chosen or stage_to_compare(self._in_order())

    def _figures(self) -> list[Difference]:
        return figures_of(self._in_order(), self._stage())

    def _show(self) -> None:
        seen = self._in_order()
        if not seen:
            return
        stage, labels = self._stage(), self._labels()
        self.query_one("#title", StillText).put(title_line(stage, labels, width=self.size.width - 2))
        runs = [
            (number, _one_cell_each(label), run.curves[stage])
            for number, (label, run) in enumerate(zip(labels, seen, strict=True))
            if stage in run.curves
        ]
        version = (stage, tuple(self._names), tuple(run.version for run in seen))
        self.query_one(Charts).show(
            compared(stage, runs) if runs else [], empty="no curves yet", version=version
        )
        width = self.query_one("#tables").scrollable_content_region.width - 2
        heads = [f"{RUN_GLYPHS[number]} {label}" for number, label in enumerate(labels)]
        figures = self._figures()
        self.query_one("#figures", StillText).put(_table("figures", heads, figures, width), layout=True)
        keys = self._differences
        said = "recipes differ in" if keys else "the recipes do not differ"
        self.query_one("#differences", StillText).put(_table(said, heads, keys, width), layout=True)

    def action_copy_tables(self) -> None:
        """Copy both tables as one, in Markdown."""
        if self._seen:
            copy(self.app, as_text(self._labels(), [*self._figures(), *self._differences]))
        else:
            self.post_message(ActionFailed("the runs are still being read"))

    def action_baseline(self) -> None:
        """The next run becomes the first."""
        self._names.append(self._names.pop(0))
        runs = [feed.run for name in self._names if (feed := self._feeds.get(name))]
        self._differences = recipe_differences(runs)
        self._show()

    def action_stage(self, direction: int) -> None:
        """The neighbouring stage that has curves."""
        names = list(
            dict.fromkeys(s.name for run in self._in_order() for s in run.stages if s.name in run.curves)
        )
        if names:
            index = names.index(self._stage()) if self._stage() in names else 0
            self._chosen = names[min(max(index + direction, 0), len(names) - 1)]
            self._show()

    def action_scroll(self, pages: int) -> None:
        """Move the tables by pages."""
        tables = self.query_one("#tables")
        tables.scroll_relative(y=pages * max(1, tables.size.height - 2), animate=False)

    def live_runs(self) -> list[str]:
        """Those that go on when this window closes."""
        return [run.name for run in self._in_order() if run.is_live]


def title_line(stage: str, labels: Sequence[str], *, width: int) -> Content:
    """What is compared, in `width` cells: every run by its sign and as much of its name as there is room for."""
    head = Content.assemble(("compare", "bold $primary"), (f"  {stage}", "$dim"))
    room = (width - head.cell_length) // max(len(labels), 1) - len("   ● ")
    for number, label in enumerate(labels):
        sign = f"{RUN_GLYPHS[number]} {words.fit(label, max(min(cell_len(label), room, 28), 1))}"
        head = Content.assemble(head, "   ", (sign, RUN_COLORS[number]))
    told = f"   {labels[0]} is the baseline"
    return Content.assemble(head, (told, "$dim") if head.cell_length + cell_len(told) <= width else "")


def _one_cell_each(text: str) -> str:
    """Text for a chart's title, where every character takes one cell."""
    return "".join(c if c.isascii() else "?" for c in text)[:20]


def _table(title: str, heads: Sequence[str], lines: Sequence[Difference], width: int) -> Content:
    """A table in `width` cells: names on the left, a column a run, each as wide as it needs to be if all can."""
    if not lines:
        return Content.styled(title, "$dim")
    longest = max(len(title), *(len(line.name) for line in lines))
    deltas = [line.deltas or ("",) * len(line.values) for line in lines]
    beside = [max(len(each[run]) for each in deltas) for run in range(len(heads))]
    needed = [max(len(head), *(len(line.values[run]) for line in lines)) for run, head in enumerate(heads)]
    values = [min(cells, 24) for cells in needed]
    spare = width - longest - sum(cells + 2 for cells in values)
    if spare < sum(cells + 1 for cells in beside if cells):
        beside = [0] * len(heads)  # whole or not at all: half a difference tells nothing
    if spare < 0:  # the names of runs give way first, then those on the left, then the values
        count = len(heads)
        wanted = min(max(len(value) for line in lines for value in line.values), USUAL_VALUE)
        longest = min(longest, max(width - count * (wanted + 2), width // 4))
        values = [max(6, (width - longest) // count - 2)] * count
    whole = [cells + (more + 1 if more else 0) for cells, more in zip(values, beside, strict=True)]
    titles = [("  " + words.fit(head, cells)) for head, cells in zip(heads, whole, strict=True)]
    colored = [(said, f"{color} bold") for said, color in zip(titles, RUN_COLORS, strict=False)]
    rows = [Content.assemble((set_cell_size(title, longest), "bold"), *colored)]
    for line, differs in zip(lines, deltas, strict=True):
        cells: list[tuple[str, str] | str] = []
        for run, value in enumerate(line.values):
            if cell_len(value) > values[run] and value[:1] in _STATE_GLYPHS:
                value = value[:1]  # half a word tells nothing
            cells += ["  ", words.fit(value, values[run])]
            if beside[run]:
                cells.append((f" {differs[run]:>{beside[run]}}", "$dim"))
        rows.append(Content.assemble((words.fit(line.name, longest, end=longest - 4), "$dim"), *cells))
    return Content("\n").join(rows)
