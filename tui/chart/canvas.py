"""Dots to characters: a grid of cells, each with one style, in braille, in quarter blocks or in ASCII.

Layers are painted one after another; in a cell the last one wins, so that a bold line stays thin over a faint band.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Charset:
    """How many dots a cell has, the bit of each (by row, then column), and the character of every set of bits."""

    name: str
    wide: int
    high: int
    bits: tuple[tuple[int, ...], ...]
    glyphs: str
    faint_glyph: str = ""
    """What a faint layer is drawn with where dots cannot tell it from a bold one."""


BRAILLE = Charset(
    "braille", 2, 4, ((1, 8), (2, 16), (4, 32), (64, 128)), "".join(chr(0x2800 + bits) for bits in range(256))
)
BLOCK = Charset("block", 2, 2, ((1, 2), (4, 8)), " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█", "░")
ASCII = Charset("ascii", 1, 1, ((1,),), " *", ".")
CHARSETS = {each.name: each for each in (BRAILLE, BLOCK, ASCII)}


def charset_of_terminal() -> Charset:
    """What $WORKBENCH_CHARSET names, else braille, or ASCII where the locale is not of UTF-8."""
    wish = os.environ.get("WORKBENCH_CHARSET", "")
    if wish in CHARSETS:
        return CHARSETS[wish]
    locale = next((os.environ[key] for key in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(key)), "UTF-8")
    known_poor = "utf" not in locale.lower() and locale not in ("C", "POSIX", "C.UTF-8")
    return ASCII if known_poor else BRAILLE


Column = tuple[float, float]
"""The lowest and the highest place to fill in a column of dots, in [0, 1] from the bottom to the top."""


class Canvas:
    """`width` by `height` cells to paint on."""

    def __init__(self, width: int, height: int, charset: Charset = BRAILLE) -> None:
        self.width, self.height, self.charset = width, height, charset
        self._text = [" "] * (width * height)
        self._styles = [" "] * (width * height)
        # The bits of a stretch of dots within one cell, by column, first and last row.
        self._spans = tuple(
            tuple(
                tuple(
                    sum(charset.bits[row][column] for row in range(first, last + 1))
                    for last in range(charset.high)
                )
                for first in range(charset.high)
            )
            for column in range(charset.wide)
        )

    @property
    def dots_wide(self) -> int:
        """Columns of dots."""
        return self.width * self.charset.wide

    def fill(self, columns: Mapping[int, Column], style: str, *, faint: bool = False) -> None:
        """Paint a stretch in some columns of dots: the band between extremes."""
        cells: dict[int, int] = {}
        for x, (low, high) in columns.items():
            self._stretch(cells, x, low, high)
        self._put(cells, style, faint=faint)

    def line(self, places: Mapping[int, float], style: str, *, dash: int = 0) -> None:
        """Paint a line through places in [0, 1] by column of dots, joined. dash: leave out every so many columns."""
        cells: dict[int, int] = {}
        before: tuple[int, float] | None = None
        for x, place in sorted(places.items()):
            if before is None:
                self._stretch(cells, x, place, place)
            else:
                x0, y0 = before
                last = y0
                for column in range(x0 + 1, x + 1):
                    now = y0 + (place - y0) * (column - x0) / (x - x0)
                    if not (dash and column % dash == 0):
                        self._stretch(cells, column, min(last, now), max(last, now), joined=True)
                    last = now
            before = (x, place)
        self._put(cells, style)

    def put(self, x: int, y: int, glyph: str, style: str) -> None:
        """Put one character into a cell, when it lies on the canvas."""
        if 0 <= x < self.width and 0 <= y < self.height:
            self._text[y * self.width + x] = glyph
            self._styles[y * self.width + x] = style

    def put_if_empty(self, x: int, y: int, glyph: str, style: str) -> None:
        """The same where nothing stands."""
        if 0 <= x < self.width and 0 <= y < self.height and self._text[y * self.width + x] == " ":
            self.put(x, y, glyph, style)

    def row_of(self, place: float) -> int:
        """The row of cells of a place in [0, 1]."""
        dots = self.height * self.charset.high
        return (dots - 1 - round(place * (dots - 1))) // self.charset.high

    def rows(self) -> list[tuple[str, str]]:
        """The rows from the top: text, and one letter a cell for its style."""
        width = self.width
        return [
            ("".join(self._text[at : at + width]), "".join(self._styles[at : at + width]))
            for at in range(0, width * self.height, width)
        ]

    def _stretch(self, cells: dict[int, int], x: int, low: float, high: float, joined: bool = False) -> None:
        """Set the bits of one column of dots between two places; joined: not the dot that the column before has."""
        dots = self.height * self.charset.high
        top = dots - 1 - min(max(round(high * (dots - 1)), 0), dots - 1)
        bottom = dots - 1 - min(max(round(low * (dots - 1)), 0), dots - 1)
        if joined and bottom - top > 1:  # a steep line climbs in one column, without a step back
            bottom -= 1
        column, high_dots = self._spans[x % self.charset.wide], self.charset.high
        cell = x // self.charset.wide
        for row in range(top // high_dots, bottom // high_dots + 1):
            first = top - row * high_dots if row == top // high_dots else 0
            last = bottom - row * high_dots if row == bottom // high_dots else high_dots - 1
            index = row * self.width + cell
            cells[index] = cells.get(index, 0) | column[first][last]

    def _put(self, cells: Mapping[int, int], style: str, *, faint: bool = False) -> None:
        glyphs, instead = self.charset.glyphs, self.charset.faint_glyph if faint else ""
        for index, bits in cells.items():
            if bits:
                self._text[index] = instead or glyphs[bits]
                self._styles[index] = style
