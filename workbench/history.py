"""Events of a run for those who look at all of them: one by one as they come, in columns where they were kept so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path

from workbench.event_columns import Blocks, Event, Piece, Rows, columns_path
from workbench.events import EventReader

LINES_BYTES = 1 << 19
"""So little is read as lines: it holds hardly a block, and to find out where blocks lie takes as long."""


class HistoryReader:
    """EventReader for those who can take rows: each event once, of a long history most of them in columns."""

    def __init__(self, path: Path) -> None:
        self._lines = EventReader(path)
        self._blocks = Blocks(columns_path(path), path)
        self.skip_to, self.share_read = self._lines.skip_to, self._lines.share_read

    @property
    def offset(self) -> int:
        """The byte of events.jsonl behind the last event that was read."""
        return self._lines.offset

    def read_new(self, *, limit_bytes: int = 1 << 24) -> Sequence[Piece]:
        """What was appended since the last call, at most about `limit_bytes` of events.jsonl or a block."""
        if self._lines.bytes_left() > LINES_BYTES:
            self._blocks.look()
            block = self._blocks.at(self._lines.offset)
            if block is not None and (pieces := self._blocks.read(block)) is not None:
                self._lines.skip_to(block.to)
                return pieces
            limit_bytes = min(limit_bytes, self._blocks.next_after(self._lines.offset) or limit_bytes)
        events = self._lines.read_new(limit_bytes=limit_bytes)
        return [events] if events else []


def read_history(path: Path) -> Iterator[Piece]:
    """All that a file of events holds now, oldest first."""
    reader, before = HistoryReader(path), -1
    while reader.offset != before:  # a part without an event is not the end
        before = reader.offset
        yield from reader.read_new()


def read_outline(path: Path) -> Iterator[Event]:
    """The events of a file, oldest first, without most of what differs from its neighbours in figures alone.

    Of rows the first and the last: when each time of work began and ended, and what was told last, is still there.
    """
    ends: list[Event] = []  # of rows that follow one another, between which others of them may lie
    for piece in read_history(path):
        if isinstance(piece, Rows):
            ends += [next(piece.events()), *piece.events(max(1, len(piece) - 1))]
            continue
        yield from sorted(ends, key=itemgetter("seq"))
        ends.clear()
        yield from piece
    yield from sorted(ends, key=itemgetter("seq"))
