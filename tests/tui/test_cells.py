"""What is sent to the terminal: only what changed, and after it the terminal shows what it was meant to show."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import split_graphemes
from textual.geometry import Region

from tests.tui.test_screens import text_of, until
from tui.app import WorkbenchApp
from tui.cells import TerminalCells
from tui.compat import only_changes
from tui.widgets.run_header import RunHeader
from tui.widgets.tiles import Tile, Tiles

MakeRun = Any
STYLES = [
    "",
    "1",
    "2;38;5;110",
    "38;5;110;48;5;233",
    "1;38;5;110;48;5;233",
    "48;5;233",
    "4;31",
    "7",
    "38;2;1;2;3;44",
]
COMMAND = re.compile(r"\x1b\[([\d;]*)([A-Za-z])")
OFF = {"22": {"1", "2"}, "23": {"3"}, "24": {"4", "21"}, "27": {"7"}, "39": {"fg"}, "49": {"bg"}}


class Emulator:
    """A terminal that knows what we send and nothing more: moves, attributes, text. Anything else fails."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[str, frozenset[tuple[str, str]]]] = {}
        self._worn: dict[str, str] = {}

    def take(self, sent: str) -> None:
        """Obey; every picture begins without an attribute."""
        assert not self._worn
        row = column = -1
        at = 0
        while at < len(sent):
            command = COMMAND.match(sent, at)
            if command is None:
                end = sent.find("\x1b", at)
                text = sent[at : end if end >= 0 else len(sent)]
                for first, last, width in split_graphemes(text)[0]:
                    assert row >= 0 and column >= 0
                    glyph = text[first:last]
                    self.cells[row, column] = (glyph, self._shown(glyph))
                    for more in range(1, width):
                        self.cells[row, column + more] = ("", frozenset())
                    column += width
                at += len(text)
                continue
            at, numbers = command.end(), command[1].split(";")
            match command[2]:
                case "H":
                    row, column = int(numbers[0]) - 1, int(numbers[1]) - 1
                case "C":
                    column += int(numbers[0])
                case "m":
                    self._wear(numbers)
                case other:
                    raise AssertionError(other)

    def _wear(self, numbers: list[str]) -> None:
        codes = iter(numbers)
        for code in codes:
            if code in ("0", ""):
                self._worn.clear()
            elif code in ("38", "48"):
                kind = next(codes)
                color = ";".join([kind, *(next(codes) for _ in range(3 if kind == "2" else 1))])
                self._worn["fg" if code == "38" else "bg"] = color
            elif code in OFF:
                for flag in OFF[code]:
                    self._worn.pop(flag, None)
            elif len(code) == 2 and code != "21":
                self._worn["fg" if code.startswith("3") else "bg"] = code
            else:
                self._worn[code] = code

    def _shown(self, glyph: str) -> frozenset[tuple[str, str]]:
        """What an eye sees: of a space without lines only its ground."""
        worn = self._worn
        if glyph == " " and not worn.keys() & {"4", "7", "9", "21"}:
            worn = {key: value for key, value in worn.items() if key == "bg"}
        elif glyph == " ":
            worn = {key: value for key, value in worn.items() if key not in ("1", "2", "3")}
        return frozenset(worn.items())


glyphs = st.sampled_from("ab1, .⣿⠁─●◆✓é€你🙂") | st.just("e\u0301") | st.just("👩\u200d🚀")
texts = st.lists(
    st.tuples(st.lists(glyphs, max_size=6).map("".join), st.sampled_from(STYLES)), min_size=1, max_size=4
)
pictures = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), texts), max_size=4)


def as_rows(
    told: list[tuple[int, int, list[tuple[str, str]]]],
) -> list[tuple[int, int, list[tuple[str, str]]]]:
    """Rows that are 40 cells wide whatever is drawn on them, as a compositor's are."""
    rows = []
    for y, x, parts in told:
        room = 40 - x - sum(width for text, _ in parts for *_, width in split_graphemes(text)[0])
        rows.append((y, 0, [(" " * x, ""), *parts, (" " * max(room, 0), "48;5;233")]))
    return rows


@given(st.lists(pictures, min_size=1, max_size=4))
def test_a_terminal_that_got_only_changes_shows_what_one_that_got_all_does(told: list[Any]) -> None:
    cells, terminal = TerminalCells(), Emulator()
    rows: dict[int, Any] = {}
    for picture in told:
        stretches = as_rows(picture)
        terminal.take(cells.draw(stretches))
        rows |= {stretch[0]: stretch for stretch in stretches}
        whole = Emulator()
        whole.take(TerminalCells().draw(rows.values()))
        assert {at: cell for at, cell in terminal.cells.items() if at[1] < 40} == {
            at: cell for at, cell in whole.cells.items() if at[1] < 40
        }


def test_words_that_changed_are_sent_whole_and_nothing_beside_them() -> None:
    cells = TerminalCells()
    cells.draw([(0, 0, [("step ", "2"), ("5,123", "1"), (" of 20,000", "2")])])
    assert (
        cells.draw([(0, 0, [("step ", "2"), ("5,124", "1"), (" of 20,000", "2")])])
        == "\x1b[1;6H\x1b[1m5,124\x1b[0m"
    )
    assert cells.draw([(0, 5, [("5,124", "1")])]) == ""
    assert cells.draw([(0, 0, [("⣿⣿", "2")])]) == "\x1b[1;1H\x1b[2m⣿⣿\x1b[0m"
    assert cells.draw([(0, 0, [("⣿⡇", "2")])]) == "\x1b[1;2H\x1b[2m⡇\x1b[0m", "of a curve each cell is a word"


def test_near_changes_are_one_and_far_ones_jump() -> None:
    cells = TerminalCells()
    cells.draw([(3, 0, [("a.b.c" + " " * 20 + "d", "")])])
    assert cells.draw([(3, 0, [("A.b.C" + " " * 20 + "D", "")])]) == "\x1b[4;1HA.b.C\x1b[20CD"


def test_a_row_that_terminals_lay_out_in_their_own_way_is_sent_whole() -> None:
    cells = TerminalCells()
    cells.draw([(0, 0, [("🙂 loss 2.1", "")])])
    assert cells.draw([(0, 3, [("loss 2.2", "")])]) == "\x1b[1;1H🙂\x1b[1;3H loss 2.2"
    assert "x  loss" in cells.draw([(0, 0, [("x ", "")])]), "also when the character that may be wider goes"
    assert cells.draw([(0, 8, [("2.3", "")])]) == "\x1b[1;9H2.3"


@pytest.mark.parametrize("glyph", ["❤\ufe0f", "1\ufe0f\u20e3", "👩\u200d👧", "👍🏽"])
def test_letters_that_some_terminals_draw_in_one_cell_leave_nothing_of_what_stood_there(glyph: str) -> None:
    terminal = TerminalCells()
    terminal.draw([(0, 0, [("old text", "")])])
    assert terminal.draw([(0, 0, [(f"{glyph} text ", "")])]).startswith(
        f"\x1b[1;1H  \x1b[1;1H{glyph}\x1b[1;3H"
    )
    assert "  " not in terminal.draw([(0, 0, [("你好text", "")])]), "nobody doubts these"


def test_after_somebody_wrote_over_it_everything_is_sent() -> None:
    cells = TerminalCells()
    first = cells.draw([(0, 0, [("all", "1")])])
    assert cells.draw([(0, 0, [("all", "1")])]) == ""
    cells.forget()
    assert cells.draw([(0, 0, [("all", "1")])]) == first


@pytest.mark.parametrize(
    ("style", "into", "sent"),
    [
        ("1;38;5;110", "38;5;110", "\x1b[22m"),
        ("1;2;31", "2;31", "\x1b[22;2m"),
        ("38;5;110;48;5;233", "38;5;244;48;5;233", "\x1b[38;5;244m"),
        ("31;44", "31", "\x1b[49m"),
        ("1;4;38;2;1;2;3", "3", "\x1b[0;3m"),
    ],
)
def test_attributes_change_by_the_shortest_way(style: str, into: str, sent: str) -> None:
    drawn = TerminalCells().draw([(0, 0, [("a", style), ("b", into)])])
    assert drawn == f"\x1b[1;1H\x1b[{style}ma{sent}b\x1b[0m"


async def test_a_live_screen_sends_its_figures_and_not_what_stands_beside_them(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """The tiles' names, the run's name and everything else that stood still cost nothing."""
    make_run(state="running", now=time.time())
    app = WorkbenchApp(tmp_path, "quickstart-7f3a12")
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: "gradient" in text_of(app))
        await pilot.press("p")  # nothing changes but what this test changes
        await until(pilot, lambda: "frozen" in text_of(app))
        tiles, compositor = app.screen.query_one(Tiles), app.screen._compositor
        cells, terminal = TerminalCells(), Emulator()

        def sent() -> str:
            drawn = only_changes(compositor.render_full_update(), cells).render_segments(app.console)  # type: ignore[union-attr]
            terminal.take(drawn)
            return str(drawn)

        def shows(step: int, loss: float) -> list[Tile]:
            beside = [Tile("speed", "8.19k tok/s"), Tile("MFU", "40.1%"), Tile("memory", "612 MB")]
            return [Tile("step", f"{step:,}", "of 20,000"), Tile("loss", f"{loss}", "◆ 2.35"), *beside]

        tiles.show(shows(5_123, 2.311))
        await pilot.pause()
        assert len(sent()) > 2_000
        tiles.show(shows(5_124, 2.309))
        await pilot.pause()
        changed = sent()
        assert "5,124" in changed and "2.309" in changed and "step" not in changed and "tok/s" not in changed
        assert len(changed) < 60
        assert sent() == ""
        shown = app.screen.query_one(RunHeader).region
        compositor._dirty_regions.add(Region(shown.x, shown.y, shown.width, 1))
        partial = only_changes(compositor.render_partial_update(), cells)
        assert partial.render_segments(app.console) == "", "drawn again, and the same"  # type: ignore[union-attr]
        said = ["".join(terminal.cells.get((y, x), (" ", ""))[0] for x in range(140)) for y in range(40)]
        assert [line.rstrip() for line in said] == [line.rstrip() for line in text_of(app).splitlines()]
