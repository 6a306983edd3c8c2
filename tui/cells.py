"""What stands in the terminal, cell by cell, and the shortest bytes that make it show something else.

Textual repaints widgets, and a widget that changed in one figure is sent whole. Here a picture is compared with what
the terminal shows already, and only words that differ are sent: whole words, so that a screen reader has something to
say.
Knows no widget: text comes with its attributes as SGR parameters (ECMA-48, 8.3.117), as `1;38;5;110`.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.cells import split_graphemes

Text = tuple[str, str]
"""Some characters, and their SGR parameters."""
Cell = tuple[str, str]
"""A character, and its SGR parameters; the second half of a wide character has none."""

WORTH_A_JUMP = 4
"""So many cells that did not change are sent again rather than jumped over: a jump costs as many bytes."""
_UNKNOWN: Cell = ("", "?")
_SECOND_HALF: Cell = ("", "")
_OFF = {
    "1": "22", "2": "22", "3": "23", "4": "24", "5": "25", "6": "25", "7": "27", "8": "28", "9": "29", "21": "24",
    "51": "54", "52": "54", "53": "55",
}  # fmt: skip
"""What switches an attribute off."""
_SHOWN_ON_BLANKS = frozenset({"4", "7", "9", "21", "53"})
"""Attributes that a space shows: lines, and reversed colours. Others of it are not worth a byte."""
_SURE = re.compile("[ -~¡-¬®-ʯ–—‘’“”•…‹›←-⇿─-▟■-◼✓✗⠀-⣿]*")
"""Characters that every terminal gives one cell. Others it may see otherwise than we do."""


@dataclass(slots=True)
class _Row:
    """Cells from the left edge on; those behind its end are unknown."""

    cells: list[Cell] = field(default_factory=list)
    is_sure: bool = True
    """Whether every terminal lays it out as we do."""

    def with_(self, x: int, texts: Iterable[Text]) -> _Row:
        """A copy with other text from column `x` on."""
        cells = self.cells + [_UNKNOWN] * (x - len(self.cells))
        for text, style in texts:
            new = _cells_of(text, style)
            cells[x : x + len(new)] = new
            x += len(new)
        return _Row(cells, _SURE.fullmatch("".join([glyph for glyph, _ in cells])) is not None)


class TerminalCells:
    """The cells of one terminal. `draw` gives what to send to it; `forget` when somebody else wrote there."""

    def __init__(self) -> None:
        self._rows: dict[int, _Row] = {}

    def forget(self) -> None:
        """Take nothing for known: all that is drawn next is sent."""
        self._rows.clear()

    def draw(self, stretches: Iterable[tuple[int, int, Iterable[Text]]]) -> str:
        """What makes the terminal show these stretches, each from a row and a column on; empty when it does already."""
        drawn: dict[int, _Row] = {}
        for y, x, texts in stretches:
            drawn[y] = (drawn.get(y) or self._rows.get(y) or _Row()).with_(x, texts)
        pen = _Pen()
        for y, row in sorted(drawn.items()):
            was = self._rows.get(y) or _Row()
            if was.cells != row.cells:
                for first, end in _changed(was, row):
                    pen.write(y, first, row.cells[first:end], sure=row.is_sure)
        self._rows |= drawn
        return pen.lifted()


class _Pen:
    """Writes cells with as few bytes as it may: knows where it is and what it writes with."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._row = self._column = -1
        self._style = ""

    def write(self, y: int, x: int, cells: Sequence[Cell], *, sure: bool) -> None:
        """Write `cells` there. Not `sure`: after each of them that may be wider than we think, jump to the next."""
        for style, group in itertools.groupby(enumerate(cells, x), key=lambda at: at[1][1]):
            told = [(column, glyph) for column, (glyph, _) in group if glyph]
            if not told:
                continue
            self._go(y, told[0][0])
            if _of_blank(self._style) != style or any(glyph != " " for _, glyph in told):
                self._wear(style)
            if sure:
                self._put("".join(glyph for _, glyph in told), len(told))
                continue
            for column, glyph in told:
                self._go(y, column)
                if len(glyph) > 1 and cells[column - x + 1 : column - x + 2] == [_SECOND_HALF]:
                    self._put("  ", 2)  # what stood there stays in the half that some terminals do not draw
                    self._go(y, column)
                self._put(glyph, 1)
                if not _SURE.fullmatch(glyph):
                    self._column = -1

    def lifted(self) -> str:
        """All that was written, with no attribute left on."""
        self._wear("")
        return "".join(self._out)

    def _go(self, y: int, x: int) -> None:
        if self._row == y and 0 <= self._column <= x:
            if self._column < x:
                self._out.append(f"\x1b[{x - self._column}C")
        else:
            self._out.append(f"\x1b[{y + 1};{x + 1}H")
        self._row, self._column = y, x

    def _wear(self, style: str) -> None:
        if style != self._style:
            self._out.append(_change(self._style, style))
            self._style = style

    def _put(self, text: str, width: int) -> None:
        self._out.append(text)
        self._column += width


def _changed(was: _Row, row: _Row) -> Iterator[tuple[int, int]]:
    """Stretches [first, end) of `row` to send: whole words, near ones joined. A row that is not sure is sent whole."""
    cells = row.cells
    if not (was.is_sure and row.is_sure):
        yield 0, len(cells)
        return
    before = was.cells + [_UNKNOWN] * (len(cells) - len(was.cells))
    end = -1
    first = 0
    for x, (old, new) in enumerate(zip(before, cells, strict=False)):
        if old == new or x < end:
            continue
        start, stop = _word(cells, x)
        if end >= 0 and start - end > WORTH_A_JUMP:
            yield first, end
            first = start
        elif end < 0:
            first = start
        end = stop
    if end >= 0:
        yield first, end


def _word(cells: Sequence[Cell], x: int) -> tuple[int, int]:
    """Where the word that stands at `x` begins and ends; of braille and lines each cell is a word."""
    first = end = x
    if _is_of_word(cells[x]):
        while first > 0 and _is_of_word(cells[first - 1]):
            first -= 1
        while end + 1 < len(cells) and _is_of_word(cells[end + 1]):
            end += 1
    return first, end + 1


def _is_of_word(cell: Cell) -> bool:
    return " " < cell[0] < "─"


@functools.lru_cache(maxsize=4096)
def _cells_of(text: str, style: str) -> tuple[Cell, ...]:
    """One cell for each column that `text` takes."""
    blank = _of_blank(style)
    if _SURE.fullmatch(text):
        return tuple((glyph, blank if glyph == " " else style) for glyph in text)
    cells: list[Cell] = []
    for first, end, width in split_graphemes(text)[0]:
        if width:
            cells += [(text[first:end], style), *[_SECOND_HALF] * (width - 1)]
    return tuple(cells)


@functools.lru_cache(maxsize=1024)
def _of_blank(style: str) -> str:
    """What of a style is seen on a space."""
    flags, color, ground = _parsed(style)
    lines = flags & _SHOWN_ON_BLANKS
    return ";".join(part for part in (*sorted(lines), color if lines else "", ground) if part)


@functools.lru_cache(maxsize=4096)
def _change(style: str, into: str) -> str:
    """The sequence that makes one style another: what goes is switched off, what comes is switched on."""
    if not into:
        return "\x1b[0m"
    flags, color, ground = _parsed(style)
    wanted, wanted_color, wanted_ground = _parsed(into)
    off = {_OFF[flag] for flag in flags - wanted}
    kept = {flag for flag in flags & wanted if _OFF[flag] not in off}  # 22 takes bold and dim
    parts = [*sorted(off), *sorted(wanted - kept)]
    if wanted_color != color:
        parts.append(wanted_color or "39")
    if wanted_ground != ground:
        parts.append(wanted_ground or "49")
    afresh = f"0;{into}"
    return f"\x1b[{min(';'.join(parts), afresh, key=len)}m"


@functools.lru_cache(maxsize=1024)
def _parsed(style: str) -> tuple[frozenset[str], str, str]:
    """Attributes that are on or off, colour and ground of SGR parameters."""
    flags, color, ground = set(), "", ""
    codes = iter(style.split(";") if style else ())
    for code in codes:
        if code in ("38", "48"):
            kind = next(codes)
            rest = itertools.islice(codes, 3 if kind == "2" else 1)
            whole = ";".join((code, kind, *rest))
            color, ground = (whole, ground) if code == "38" else (color, whole)
        elif code in _OFF:
            flags.add(code)
        elif code in ("39", "49"):
            color, ground = (code, ground) if code == "39" else (color, code)
        elif len(code) > 1 and code.startswith(("3", "9")):
            color = code
        elif len(code) > 1:  # 40 to 47, 100 to 107
            ground = code
    return frozenset(flags), color, ground
