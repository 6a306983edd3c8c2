"""Text into rows of a width: broken between words, a word longer than a row is cut, wide characters part anywhere.

Pure functions over strings; knows no widget. Widths are cells of a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len, chop_cells

Piece = tuple[str, str]
"""Some text and its style, as Textual writes styles; empty for the plain one."""
Pieces = tuple[Piece, ...]

TAB = "    "
# Hangul Jamo, CJK with kana, Hangul, compatibility forms, full width, the supplementary ideographs.
_WIDE = (
    "\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6"
    "\U00020000-\U0003fffd"
)
_WORD = re.compile(f"[{_WIDE}]\\s*|[^\\s{_WIDE}]+\\s*|\\s+")


def row_starts(line: str, width: int) -> list[int]:
    """Where each row of `line` begins, as indices. Spaces at the end of a row may hang over its edge.

    Greedy: what follows a row never moves it, so that a text which grows is broken anew from its last row only.
    """
    starts, room = [0], width
    for found in _WORD.finditer(line):
        at, chunk = found.start(), found[0]
        word = chunk.rstrip()
        cells = cell_len(word)
        if cells > room and at > starts[-1]:
            starts.append(at)
            room = width
        if cells > room:
            pieces = chop_cells(word, width)
            for piece in pieces[:-1]:
                at += len(piece)
                starts.append(at)
            room, cells = width, cell_len(pieces[-1])
        room -= cells + len(chunk) - len(word)
    return starts


def wrapped(pieces: Sequence[Piece], width: int) -> list[Pieces]:
    """The rows of one line that is made of pieces."""
    starts = row_starts("".join(text for text, _ in pieces), width)
    ends = [*starts[1:], sum(len(text) for text, _ in pieces)]
    return [_cut(pieces, start, end) for start, end in zip(starts, ends, strict=True)]


def _cut(pieces: Sequence[Piece], start: int, end: int) -> Pieces:
    cut, at = [], 0
    for text, style in pieces:
        if part := text[max(0, start - at) : max(0, end - at)]:
            cut.append((part, style))
        at += len(text)
    return tuple(cut)


class GrowingRows:
    """The rows of a plain text that grows at its end."""

    def __init__(self, width: int) -> None:
        self._width = max(1, width)
        self.rows = [""]

    def grow(self, text: str) -> int:
        """Append `text`; gives the number of the first row that is not what it was."""
        first = len(self.rows) - 1
        tail = self.rows.pop() + text.replace("\t", TAB)
        for line in tail.split("\n"):
            starts = row_starts(line, self._width)
            self.rows += [line[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]
        return first
