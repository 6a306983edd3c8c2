"""Home: every run of this home, filtered and ordered. With none it walks a newcomer from a recipe to a chat."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from rich.cells import set_cell_size
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from tui import commands, words
from tui.comparison import MOST_RUNS
from tui.feed import RunFeed
from tui.keys import bind
from tui.messages import ActionFailed, RunRead, RunsRead
from tui.rooms import OF_A_RUN, room, room_bindings, room_command
from tui.rows import ORDERS, RowReader, RunRow, arranged, next_thing
from tui.state import state_of
from tui.waiting import room_waits
from tui.widgets.key_bar import KeyBar
from tui.widgets.run_glance import LEAST_HEIGHT, LEAST_WIDTH, RunGlance
from tui.widgets.still import StillText
from workbench.errors import WorkbenchError
from workbench.runs import LIVE, open_run
from workbench.safe_text import one_line

POLL_SECONDS = 1.0
NOW_SECONDS = 5.0
"""The worker's heart beats every second: what was heard of so lately is heard of now."""

SLICES_GLANCED = 4
"""So many looks of a tenth of a second a glance is worth; a longer history is read when the run is opened."""

FIRST_HOUR = (
    ("choose", "n", "A recipe: what to read, and what to build"),
    ("look", "", "Its plan: what it will do and cost"),
    ("start", "G", "It goes on without this window"),
    ("watch", "?", "Letters become words; ? explains it all"),
    ("talk", "t", "quickstart answers after 5 to 8 minutes"),
)
"""From nothing to a model, in the order of doing: step, its key, what happens."""


class RunList(OptionList):
    """The runs."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("open", "select", show=True)]


class HomeScreen(Screen[None]):
    """The list of runs, and where the terminal is tall what became of the one under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("new", "start"),
        bind("chat"),
        bind("mark", show=False),
        bind("compare"),
        bind("find", priority=True),  # taken before what is typed right after it
        bind("order"),
        bind("back", "clear", description="all", tooltip="Show every run again", show=False),
        *room_bindings(show=True),
    ]
    AUTO_FOCUS = "OptionList"

    def __init__(self, home: Path) -> None:
        super().__init__()
        self._home = home
        self._reader = RowReader(home)
        self._all: tuple[RunRow, ...] | None = None  # as read; None before the first look
        self._rows: list[RunRow] = []  # those that are up
        self._drawn: list[tuple[RunRow, str, int, str]] = []  # what each line was made of
        self._looking = False
        self._marked: list[str] = []
        self._feed: RunFeed | None = None  # of the run that is glanced at
        self._looking_into: str | None = None

    def compose(self) -> ComposeResult:
        """Title, list or first words, what to do next, footer."""
        yield StillText(id="title")
        yield Static(_first_hour(), id="empty")
        yield StillText(id="columns")
        yield RunList(id="runs")
        yield RunGlance()
        yield StillText(id="next")
        yield Input(placeholder="words of the name, the state or the stage", id="filter", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        """Look at once, then every second."""
        self.query_one(Input).cursor_blink = False
        self.query_one(Input).display = False
        self._show_rows()
        self._look()
        self.set_interval(POLL_SECONDS, self._look)

    def on_resize(self) -> None:
        """The columns share the width."""
        self._show_rows()
        self._glance()

    def on_screen_resume(self) -> None:
        """Fresh when seen again."""
        self._look()
        self._glance()

    @on(OptionList.OptionHighlighted)
    def _glance(self) -> None:
        """Look into the run under the cursor, where there is room to say what became of it."""
        name = self._selected()
        roomy = self.size.height >= LEAST_HEIGHT and self.size.width >= LEAST_WIDTH
        if roomy and name is not None:
            if name != self._looking_into:  # else what we see of it is on its way
                self._looking_into = name
                self._look_into(name)
        else:
            self.remove_class("-glance")

    @work(thread=True, exclusive=True, group="glance", exit_on_error=False)
    def _look_into(self, name: str) -> None:
        worker = get_current_worker()
        try:
            feed = self._feed
            if feed is None or feed.run.name != name:
                feed = RunFeed(open_run(self._home, name))
            seen = feed.look()
            for _ in range(SLICES_GLANCED):
                if seen.behind and not worker.is_cancelled:
                    seen = feed.look()
            if not worker.is_cancelled:
                self._feed = feed
                self.post_message(RunRead(seen))
        except (WorkbenchError, OSError):  # removed while we looked, or not to be read: enter says why
            return
        finally:
            if self._looking_into == name:
                self._looking_into = None

    @on(RunRead)
    def _glanced(self, message: RunRead) -> None:
        if message.seen.path.name == self._selected():
            self.add_class("-glance")
            self.query_one(RunGlance).show(message.seen, now=time.time())

    def command(self) -> str:
        """The same in a shell."""
        return commands.workbench(self._home, "runs")

    def command_for(self, action: str, parameters: tuple[object, ...]) -> str:
        """The command of a key, about the run under the cursor or those that are marked."""
        if action == "start":
            return commands.workbench(self._home, "run", "RECIPE", "--detach")
        if action == "compare":
            return commands.workbench(self._home, "plot", *self._marked) if len(self._marked) > 1 else ""
        told = str(parameters[0]) if parameters else ""
        name = {"select": "run", "chat": "chat", "room": told}.get(action, "")
        run = self._marked[0] if action == "chat" and len(self._marked) == 2 else self._selected()
        return room_command(name, self._home, run) if name else ""

    def _look(self) -> None:
        if self.is_active and not self._looking:
            self._looking = True
            self._read()

    @work(thread=True, group="feed", exit_on_error=False)
    def _read(self) -> None:
        try:
            self.post_message(RunsRead(self._reader.read()))
        except OSError as error:
            self.post_message(ActionFailed(f"cannot read {self._home}: {error.strerror}"))
        finally:
            self._looking = False

    @on(RunsRead)
    def _take(self, message: RunsRead) -> None:
        had, self._all = bool(self._all), message.rows
        self._show_rows()
        if self._feed is None or any(
            row.state in LIVE and row.name == self._selected() for row in message.rows
        ):
            self._glance()
        if had != bool(message.rows):
            self.refresh_bindings()
            self.query_one(OptionList).focus()

    def _show_rows(self) -> None:
        if not self.is_mounted:
            return
        everything, wanted, order = self._all or (), self.query_one(Input).value, self._order()
        rows = arranged(everything, order=order, words_wanted=wanted)
        runs, now, width = (
            self.query_one(OptionList),
            time.time(),
            self.size.width - 5,
        )  # one for the scroll bar
        self.query_one("#empty").display = self._all == ()
        runs.display = self.query_one("#columns").display = bool(everything)
        self.query_one("#columns", StillText).put(Content.styled(columns_line(width), "$dim"))
        self._show_facts(len(rows), wanted, order)
        names_there = {row.name for row in everything}
        self._marked = [name for name in self._marked if name in names_there]
        drawn = [(row, age_of(row, now), width, self._mark_of(row)) for row in rows]
        if [row.name for row in rows] != [row.name for row in self._rows]:
            under_cursor = self._selected()
            runs.clear_options()
            lines = [row_line(row, width=width, now=now, mark=mark) for row, _, _, mark in drawn]
            runs.add_options([Option(line) for line in lines])
            names = [row.name for row in rows]
            runs.highlighted = names.index(under_cursor) if under_cursor in names else 0 if names else None
        else:
            for index, (was, now_drawn) in enumerate(zip(self._drawn, drawn, strict=True)):
                if was != now_drawn:
                    line = row_line(rows[index], width=width, now=now, mark=now_drawn[3])
                    runs.replace_option_prompt_at_index(index, line)
        self._rows, self._drawn = rows, drawn

    def _show_facts(self, shown: int, wanted: str, order: str) -> None:
        """The title, and what can be done next."""
        count = len(self._all or ())
        facts = "" if not count else f"{count:,} run{'s' if count > 1 else ''}, "
        if wanted:
            facts = f"{shown:,} of {count:,} have “{one_line(wanted, 40)}”, "
        facts += {"newest": "newest first", "loss": "by loss"}.get(order, f"by {order}") if count else ""
        home = (one_line(str(self._home), 200), "$dim")
        self.query_one("#title", StillText).put(
            Content.assemble(("workbench", "bold $primary"), "  ", (facts, ""), "  " if facts else "", home)
        )
        told = next_thing(self._all or ())
        line = Content("")
        if told is not None:
            line = Content.assemble(
                ("Next: ", "$dim"), (one_line(told[0].name, 60), ""), (f" {told[1]}", "$dim")
            )
        if count and not shown:
            line = Content.styled("No run has all of these words; esc shows every run.", "$warning")
        self.query_one("#next", StillText).put(line)

    def _order(self) -> str:
        order = state_of(self.app).get("home.order", ORDERS[0])
        return order if order in ORDERS else ORDERS[0]

    def _selected(self) -> str | None:
        index = self.query_one(OptionList).highlighted
        return self._rows[index].name if index is not None and index < len(self._rows) else None

    @on(OptionList.OptionSelected)
    def action_open(self) -> None:
        """Open the run under the cursor."""
        from tui.screens.run import RunScreen

        if name := self._selected():
            self.app.push_screen(RunScreen(self._home, name))

    def _mark_of(self, row: RunRow) -> str:
        """As long as some runs are marked, each has a sign."""
        return "" if not self._marked else "✓" if row.name in self._marked else "·"

    def action_mark(self) -> None:
        """Mark the run under the cursor, or no longer; go on to the next."""
        name = self._selected()
        if name is None:
            return
        if name in self._marked:
            self._marked.remove(name)
        elif len(self._marked) < MOST_RUNS:
            self._marked.append(name)
        else:
            self.post_message(
                ActionFailed(f"{MOST_RUNS} runs at the most are compared; unmark one with space")
            )
        self._show_rows()
        self.query_one(OptionList).action_cursor_down()

    def action_compare(self) -> None:
        """The marked runs over each other."""
        from tui.screens.compare import CompareScreen

        if len(self._marked) > 1:
            self.app.push_screen(CompareScreen(self._home, self._marked))
        else:
            self.post_message(ActionFailed("mark two to six runs with space first"))

    def action_start(self) -> None:
        """Choose a recipe."""
        from tui.screens.start import StartScreen

        self.app.push_screen(StartScreen(self._home, first="quickstart" if not self._all else ""))

    def action_chat(self) -> None:
        """Talk to the model of the run under the cursor, or to those of two marked runs at once."""
        from tui.screens.chat import ChatScreen

        if len(self._marked) == 2:
            self.app.push_screen(ChatScreen(self._home, self._marked[0], beside=self._marked[1]))
        elif (name := self._selected()) and not self._must_wait("chat", name):
            self.app.push_screen(ChatScreen(self._home, name))

    def action_room(self, name: str) -> None:
        """A room about the run under the cursor."""
        run = self._selected()
        if name not in OF_A_RUN or (run is not None and not self._must_wait(name, run)):
            self.app.push_screen(room(name, self._home, run))

    def _must_wait(self, name: str, run: str) -> bool:
        """Whether a room has nothing to show yet of a run, and say what it waits for."""
        waits = room_waits(name, self._home, run)
        if waits:
            self.notify(one_line(f"{run}: {waits}", 300), markup=False, timeout=6)
        return bool(waits)

    def action_order(self) -> None:
        """The next order, remembered."""
        place = (ORDERS.index(self._order()) + 1) % len(ORDERS)
        state_of(self.app).put("home.order", ORDERS[place])
        self._show_rows()

    def action_find(self) -> None:
        """Write what to look for."""
        words_wanted = self.query_one(Input)
        words_wanted.display = True
        self.set_focus(words_wanted)
        self.refresh_bindings()

    def action_clear(self) -> None:
        """Every run again."""
        words_wanted = self.query_one(Input)
        words_wanted.clear()
        words_wanted.display = False
        self.query_one(OptionList).focus()
        self.refresh_bindings()

    @on(Input.Changed, "#filter")
    def _filter(self) -> None:
        self._show_rows()

    @on(Input.Submitted, "#filter")
    def _to_the_list(self) -> None:
        self.query_one(OptionList).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a run there is nothing to open, to find or to talk to: shown, but dim."""
        if action == "find" and isinstance(self.focused, Input):
            return False  # then it is a letter
        if action == "clear":
            return self.query_one(Input).display if self.is_mounted else False
        if action == "room" and parameters[0] in OF_A_RUN:
            return True if self._all else None
        return None if action in ("chat", "find", "order", "mark", "compare") and not self._all else True

    def why_not(self, action: str, _: tuple[object, ...]) -> str:
        """Why a dim key does nothing."""
        said = {"chat": "talk to", "room": "look into"}.get(action, action)
        return f"there is no run yet to {said}"

    def live_runs(self) -> list[str]:
        """The runs that go on when this window closes."""
        return [row.name for row in self._all or () if row.state in LIVE]


def _first_hour() -> Content:
    steps = [
        Content.assemble(
            (f"{number}  {step:<8}", "$primary"), (f"{key or ' '}  ", "bold $primary"), (told, "")
        )
        for number, (step, key, told) in enumerate(FIRST_HOUR, 1)
    ]
    opening = Content.styled("There are no runs here yet. From text to a chat:", "bold")
    begin = Content.assemble("Press ", ("n", "bold $primary"), " to begin.")
    return Content("\n").join([opening, Content(""), *steps, Content(""), begin])


_COLUMNS = (
    ("state", 10), ("stage", 14), ("step", 7), ("loss", 6), ("bits/byte", 9), ("took", 7), ("heard", 5),
)  # fmt: skip
_WORDS = frozenset({"state", "stage", "note"})
_NAME_LEAST, _NAME_MOST = 16, 32
_NOTE_LEAST, _NOTE_MOST = 20, 80


def _shown_columns(width: int) -> tuple[int, list[tuple[str, int]]]:
    """The width of the name and the columns there is room for; the state stays longest, what is left is for a note."""
    columns = list(_COLUMNS)
    for name in ("took", "step", "heard", "bits/byte", "stage", "loss"):
        if width - sum(size + 2 for _, size in columns) >= _NAME_LEAST:
            break
        columns = [column for column in columns if column[0] != name]
    room = max(4, width - sum(size + 2 for _, size in columns))
    note = min(room - _NAME_MOST - 2, _NOTE_MOST)
    if note < _NOTE_LEAST:
        return room, columns
    return room - note - 2, [*columns, ("note", note)]


def columns_line(width: int) -> str:
    """The names of the columns, over the figures of `row_line`."""
    room, columns = _shown_columns(width)
    cells = [f"{name:<{size}}" if name in _WORDS else f"{name:>{size}}" for name, size in columns]
    return "  ".join([f"{'run':<{room}}", *cells])


def age_of(row: RunRow, now: float) -> str:
    """How long ago a run was heard of, so coarse that the list stands still: "now", "3m", "2d"."""
    if row.heard_at is None:
        return "–"
    seconds = now - row.heard_at
    if row.state in LIVE and NOW_SECONDS <= seconds < 60:
        return words.span(seconds)  # silent for long: each second counts
    return words.coarse_age(seconds).replace("just now", "now").removesuffix(" ago")


def row_line(row: RunRow, *, width: int, now: float, mark: str = "") -> Content:
    """One run in `width` cells, behind its mark if it has one."""
    sign = words.run_sign(row.state)
    live = row.state in LIVE
    share = f" {min(row.progress, 1) * 100:.0f} %" if row.progress is not None and live else ""
    cells = {
        "state": (f"{sign!s:<10}", sign.color),
        "stage": (set_cell_size(f"{row.stage}{share}", 14), "$foreground" if live else "$dim"),
        "step": (f"{words.figure(row.step):>7}"[:7], "$foreground"),
        "loss": (f"{words.figure(row.loss):>6}"[:6], "$foreground"),
        "bits/byte": (f"{words.figure(row.bits_per_byte):>9}"[:9], "$foreground"),
        "took": (f"{words.span(row.seconds):>7}"[:7], "$dim"),
        "heard": (f"{age_of(row, now):>5}"[:5], "$dim"),
    }
    room, columns = _shown_columns(width)
    parts: list[tuple[str, str] | str] = [
        (f"{mark} " if mark else "", "$success" if mark == "✓" else "$faint"),
        (words.fit(one_line(row.name, 200), room - (2 if mark else 0), end=7), "bold" if live else ""),
    ]
    for name, size in columns:
        note = (words.fit(row.note, size), "$error" if row.state == "failed" else "$dim")
        parts += ["  ", note if name == "note" else cells[name]]
    return Content.assemble(*parts)
