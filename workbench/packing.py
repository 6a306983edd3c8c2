"""Packing as arithmetic: how documents of known lengths share rows of one length, and what that wastes and cuts.

    stream     all documents end to end, cut into rows: no row has room left, most documents are cut
    best-fit   only documents longer than a row are cut; each piece goes where the least room is left over
               (best-fit decreasing, Ding et al. 2024, "Fewer Truncations Improve Language Modeling")

It works on how many documents there are of each length, not on the documents: the cost grows with the number of
different lengths, which a row bounds, not with the corpus. Knows no files and no tensors.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Mapping
from typing import Literal

Packing = Literal["stream", "best-fit"]
Lengths = Mapping[int, int]
"""How many there are of each length, in tokens, bos included."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fill:
    """`rows` rows that are filled alike: with `pieces`, each (length, how many of it), longest first."""

    rows: int
    pieces: tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class PackingFigures:
    """What a packing makes of the documents in one epoch.

    padding_share: of the positions, those that hold nothing. cut_share: of the tokens, those that are read
    without the beginning of their document before them.
    """

    tokens: int
    rows: int
    padding_share: float
    cut_share: float


def packing_figures(documents: Lengths, *, packing: Packing, row_length: int) -> PackingFigures:
    """The figures of one epoch over `documents`. Of a stream the share that is cut is the expected one."""
    tokens = sum(length * count for length, count in documents.items())
    if packing == "stream":
        rows = -(-tokens // row_length)
        whole = sum(_begun(length, row_length) * count for length, count in documents.items())
    else:
        rows = sum(fill.rows for fill in best_fit(pieces_of(documents, row_length), row_length=row_length))
        whole = sum(min(length, row_length) * count for length, count in documents.items())
    return PackingFigures(
        tokens=tokens,
        rows=rows,
        padding_share=1 - tokens / (rows * row_length) if rows else 0.0,
        cut_share=1 - whole / tokens if tokens else 0.0,
    )


def pieces_of(documents: Lengths, row_length: int) -> dict[int, int]:
    """The lengths of the pieces that documents come in: whole, or cut into full rows and a rest."""
    pieces: dict[int, int] = {}
    for length, count in documents.items():
        full, rest = divmod(length, row_length)
        for piece, times in ((row_length, full * count), (rest, count if rest else 0)):
            if times:
                pieces[piece] = pieces.get(piece, 0) + times
    return pieces


def best_fit(pieces: Lengths, *, row_length: int) -> list[Fill]:
    """Rows of `row_length` that hold `pieces`, by best-fit decreasing: a piece, from the longest to the shortest,
    goes into the row with the least room that still takes it, or into a new one.

    Once a piece is in, the row it went to is the one with the least room of all that take another of its length,
    so equal pieces fill one row after the other: whole groups of equal rows are filled at once.
    """
    assert all(0 < length <= row_length for length in pieces)
    open_fills: dict[int, list[Fill]] = {}  # by the room that is left
    rooms: list[int] = []  # the keys of open_fills, sorted
    for length in sorted(pieces, reverse=True):
        left = pieces[length]
        while left:
            at = bisect.bisect_left(rooms, length)
            if at == len(rooms):
                room, fill = row_length, Fill(left, ())
            else:
                room = rooms[at]
                fill = open_fills[room].pop()
                if not open_fills[room]:
                    del open_fills[room], rooms[at]
            each = min(room // length, left)
            rows = min(fill.rows, left // each)
            left -= rows * each
            _open(open_fills, rooms, room - each * length, Fill(rows, (*fill.pieces, (length, each))))
            if fill.rows > rows and room < row_length:
                _open(open_fills, rooms, room, dataclasses.replace(fill, rows=fill.rows - rows))
    return [fill for room in rooms for fill in open_fills[room]]


def _open(open_fills: dict[int, list[Fill]], rooms: list[int], room: int, fill: Fill) -> None:
    if room not in open_fills:
        open_fills[room] = []
        bisect.insort(rooms, room)
    open_fills[room].append(fill)


def _begun(length: int, row_length: int) -> float:
    """How many tokens of a document share a row with its first one, when that falls anywhere in a row."""
    if length >= row_length:
        return (row_length + 1) / 2
    return length - length * (length - 1) / (2 * row_length)
