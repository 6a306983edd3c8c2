"""events.jsonl once more, in columns: a view of a million steps reads numbers instead of a million lines.

    events.columns   one block after another, each for BLOCK_EVENTS events that follow one another:
      a line         a checksum of all that follows in the block, and JSON: which bytes of events.jsonl it is (`from`,
                     `to`), what those end with (`tail`), its pieces, how many bytes come behind
      columns        64-bit numbers, little-endian, in the order in which the pieces name them

A piece is events as they are, or rows: `fields` has a type for each field in the order in which the event tells them,
null for one that `same` has for all of them.

Written by the run's one EventWriter, behind the events themselves, so it may end earlier. It is only ever a shorter
way: a block that is torn, damaged or of other events is none, and those events are read from events.jsonl.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Event = dict[str, Any]

VERSION = 2
BLOCK_EVENTS = 4096
"""Events of a block: 20 ms of reading where they have to be read one by one, as those of a killed worker's last one."""
_TAIL_BYTES = 256
_CHECK_BYTES = 9
_MOST_HEADER = 1 << 24
_TYPES = {int: "q", float: "d"}
_SAME = (str, type(None))
_LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class Rows:
    """Events of one shape, oldest first: the fields that all of them share, and a column for each of the others.

    names: all fields, in the order in which an event tells them.
    """

    names: Sequence[str]
    same: Mapping[str, Any]
    columns: Mapping[str, array[Any]]

    def __len__(self) -> int:
        return len(self.columns["time"])

    def events(self, first: int = 0) -> Iterator[Event]:
        """The events themselves, from the `first` on."""
        columns = (
            self.columns[name][first:] if name in self.columns else itertools.repeat(self.same[name])
            for name in self.names
        )
        for values in zip(*columns, strict=False):  # what is the same has no end
            yield dict(zip(self.names, values, strict=True))


Piece = Rows | list[Event]


def columns_path(events_path: Path) -> Path:
    """Where the columns of these events are."""
    return events_path.with_suffix(".columns")


class ColumnsWriter:
    """Gathers events and appends a block for every BLOCK_EVENTS of them. A disk that refuses ends it, nothing else.

    events_end: how long events.jsonl is; blocks begin there, and those that say more than is there go.
    """

    def __init__(self, events_path: Path, *, events_end: int) -> None:
        self._events_path, self._path = events_path, columns_path(events_path)
        self._from = events_end
        self._given_up = False
        self._clear()
        with contextlib.suppress(OSError):
            size = os.stat(self._path).st_size
            known = Blocks(self._path, events_path)
            known.look()
            kept = known.end_of([block for block in known.blocks if block.to <= events_end])
            if kept < size:
                os.truncate(self._path, kept)

    def _clear(self) -> None:
        self._pieces: list[dict[str, Any]] = []
        self._columns: list[array[Any]] = []
        self._groups: dict[str, tuple[object, list[Event]]] = {}
        self._count = 0
        self._time = 0.0

    def take(self, event: Event, *, end: int) -> None:
        """Take the event in whose line events.jsonl ends with byte `end`."""
        if self._given_up:
            return
        time = event["time"]
        if time >= self._time and _is_row(event):
            kind, shape = event["kind"], (event.get("stage"), *event, *map(type, event.values()))
            if kind in self._groups and self._groups[kind][0] != shape:
                self._close_groups()  # rows of one kind keep their order
            self._groups.setdefault(kind, (shape, []))[1].append(event)
        else:
            self._close_groups()
            self._tell(event)
        self._time = time
        self._count += 1
        if self._count >= BLOCK_EVENTS:
            self._write(end)

    def _tell(self, event: Event) -> None:
        if not (self._pieces and "events" in self._pieces[-1]):
            self._pieces.append({"events": []})
        self._pieces[-1]["events"].append(event)

    def _close_groups(self) -> None:
        for _, events in self._groups.values():
            found = {name: [event[name] for event in events] for name in events[0]}
            if not all(map(_fits, found.values())):
                for event in events:
                    self._tell(event)
                continue
            same = {name: column[0] for name, column in found.items() if type(column[0]) in _SAME}
            columns = {
                name: array(_TYPES[type(column[0])], column)
                for name, column in found.items()
                if name not in same
            }
            types = {name: columns[name].typecode if name in columns else None for name in found}
            self._pieces.append({"same": same, "rows": len(events), "fields": types})
            self._columns += columns.values()
        self._groups.clear()

    def _write(self, end: int) -> None:
        self._close_groups()
        try:
            body = b"".join(_little_endian(column) for column in self._columns)
            header = {
                "version": VERSION, "from": self._from, "to": end, "tail": checksum_before(self._events_path, end),
                "pieces": self._pieces, "bytes": len(body),
            }  # fmt: skip
            block = json.dumps(header).encode() + b"\n" + body
            block = b"%08x " % zlib.crc32(block) + block
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            try:
                if os.write(fd, block) < len(block):
                    raise OSError
            finally:
                os.close(fd)
        except (OSError, ValueError, TypeError):  # whatever is half there is no block to a reader
            self._given_up = True
        self._from = end
        self._clear()


@dataclass(frozen=True, slots=True)
class Block:
    """Where one lies, and of which bytes of events.jsonl it is: from `first` to before `to`."""

    first: int
    to: int
    tail: int
    pieces: list[dict[str, Any]]
    body_at: int
    body_bytes: int
    check: int
    line_check: int


class Blocks:
    """The whole blocks of a file that may still grow."""

    def __init__(self, path: Path, events_path: Path) -> None:
        self._path, self._events_path = path, events_path
        self._inode = -1
        self.blocks: list[Block] = []

    def look(self) -> None:
        """Find blocks that were appended."""
        try:
            stat = os.stat(self._path)
        except OSError:
            self.blocks = []
            return
        end = self.end_of(self.blocks)
        if stat.st_ino != self._inode or stat.st_size < end:
            self._inode, self.blocks, end = stat.st_ino, [], 0
        if stat.st_size == end:
            return
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError), self._path.open("rb") as file:
            while (block := _header(file, end)) is not None and (end := self.end_of([block])) <= stat.st_size:
                self.blocks.append(block)

    @staticmethod
    def end_of(blocks: Sequence[Block]) -> int:
        """The byte behind the last of them."""
        return blocks[-1].body_at + blocks[-1].body_bytes if blocks else 0

    def at(self, offset: int) -> Block | None:
        """The block that begins with this byte of the events."""
        return next((block for block in self.blocks if block.first == offset), None)

    def next_after(self, offset: int) -> int | None:
        """How many bytes of events lie before the next block."""
        return min((block.first - offset for block in self.blocks if block.first > offset), default=None)

    def read(self, block: Block) -> list[Piece] | None:
        """What it holds; None where that is damaged or of other events."""
        try:
            with self._path.open("rb") as file:
                file.seek(block.body_at)
                body = file.read(block.body_bytes)
            if (
                zlib.crc32(body, block.line_check) != block.check
                or checksum_before(self._events_path, block.to) != block.tail
            ):
                return None
            return list(_unpacked(block.pieces, body))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


def _header(file: Any, at: int) -> Block | None:
    file.seek(at)
    line = file.readline(_MOST_HEADER)
    if not line.endswith(b"\n"):
        return None
    told = json.loads(line[_CHECK_BYTES:])
    if told["version"] != VERSION:
        return None
    check, line_check = int(line[:_CHECK_BYTES], 16), zlib.crc32(line[_CHECK_BYTES:])
    body_at = at + len(line)
    return Block(
        told["from"], told["to"], told["tail"], told["pieces"], body_at, told["bytes"], check, line_check
    )


def _unpacked(pieces: Sequence[dict[str, Any]], body: bytes) -> Iterator[Piece]:
    at = 0
    for piece in pieces:
        if "events" in piece:
            yield piece["events"]
            continue
        columns = {}
        for name, kind in piece["fields"].items():
            if kind is None:
                continue
            column = columns[name] = array(kind)
            column.frombytes(body[at : at + 8 * piece["rows"]])
            at += 8 * piece["rows"]
            if sys.byteorder == "big":
                column.byteswap()
            if len(column) != piece["rows"]:
                raise ValueError("too short")
        yield Rows(list(piece["fields"]), piece["same"], columns)


def _is_row(event: Event) -> bool:
    """Whether it is one of those that there are so many of. What is measured now and then stays an event."""
    return event["kind"] == "stage_progress" or (
        event["kind"] == "metric" and "step" in event and ("loss" in event or "tokens_per_second" in event)
    )


def _fits(column: Sequence[Any]) -> bool:
    """Whether a column can be written: numbers that 64 bits hold, or the same text throughout."""
    kind = type(column[0])
    if kind is int:
        return all(-_LARGEST <= value < _LARGEST for value in (min(column), max(column)))
    return kind is float or (kind in _SAME and set(column) == {column[0]})


def _little_endian(column: array[Any]) -> bytes:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()


def checksum_before(path: Path, end: int) -> int:
    """A checksum of the last bytes before `end`: whether a file that grows is still the one that something was made of.

    Raises ValueError when it is shorter.
    """
    with path.open("rb") as file:
        file.seek(max(0, end - _TAIL_BYTES))
        tail = file.read(min(end, _TAIL_BYTES))
    if len(tail) != min(end, _TAIL_BYTES):
        raise ValueError("the file is another")
    return zlib.crc32(tail)
