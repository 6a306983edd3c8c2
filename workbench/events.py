"""What happened in a run, one JSON object a line: the closed set of kinds, the writer and the reader.

One writer per file. Every line is one `write` call on an append-only descriptor, so a reader sees whole lines
or a torn last one, which it takes as "not yet". Knows no stage and no terminal.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from workbench.errors import DiskFull
from workbench.event_columns import ColumnsWriter
from workbench.files import disk_errors_named

KINDS = frozenset(
    {
        "run_started",
        "stage_started",
        "stage_progress",
        "metric",
        "sample",
        "checkpoint",
        "note",
        "warning",
        "error",
        "stage_finished",
        "run_finished",
    }
)

Event = dict[str, Any]


class EventWriter:
    """Appends events to one file; the only writer it has. Beside it it keeps them in columns (event_columns.py).

    Opening cuts a torn last line that a killed predecessor left and goes on counting `seq` behind the last
    whole one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors_named(path):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            self._seq = self._recover()
            self._columns = ColumnsWriter(path, events_end=os.fstat(self._fd).st_size)

    def _recover(self) -> int:
        size = os.fstat(self._fd).st_size
        if size == 0:
            return 0
        tail_start = max(0, size - (1 << 20))
        tail = os.pread(self._fd, size - tail_start, tail_start)
        whole = tail.rfind(b"\n") + 1
        if whole < len(tail):
            os.ftruncate(self._fd, tail_start + whole)
        last_lines = tail[:whole].splitlines()
        for line in reversed(last_lines):
            event = _parse(line)
            if event is not None and isinstance(event.get("seq"), int):
                return int(event["seq"]) + 1
        return 0

    def write(self, kind: str, **fields: Any) -> Event:
        """Append one event and return it. Numbers that JSON cannot hold (NaN, inf) become strings.

        Raises DiskFull, or NoSpace when the disk refuses; the file then ends with its last whole line.
        """
        assert kind in KINDS, f"{kind} is not an event kind"
        event: Event = {"time": round(time.time(), 3), "kind": kind, "seq": self._seq, **fields}
        told = _plain(event)
        line = json.dumps(told, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        with disk_errors_named(self.path):
            before = os.fstat(self._fd).st_size
            try:
                written = os.write(self._fd, line)
            except OSError:
                os.ftruncate(self._fd, before)
                raise
            if written < len(line):
                os.ftruncate(self._fd, before)
                raise DiskFull("the disk is full", file=self.path, fix="free some space on this disk")
        self._seq += 1
        self._columns.take(told, end=before + len(line))
        return event

    def close(self) -> None:
        """Make what was written durable and close the file."""
        if self._fd >= 0:
            try:
                os.fsync(self._fd)
            finally:
                os.close(self._fd)
                self._fd = -1


class EventReader:
    """Reads events of a file that may still grow; each event once, torn and foreign lines never."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._inode = -1

    @property
    def offset(self) -> int:
        """The byte behind the last whole line that was read."""
        return self._offset

    def skip_to(self, offset: int) -> None:
        """Go on behind this byte of the file as it is now: what stands before it is known already."""
        with contextlib.suppress(FileNotFoundError):
            self._inode, self._offset = os.stat(self.path).st_ino, offset

    def share_read(self) -> float:
        """How much of the file was read, from 0 to 1."""
        left = self.bytes_left()
        return self._offset / (self._offset + left) if left else 1.0

    def bytes_left(self) -> int:
        """How much of the file was not read yet; all of one that was put in its place."""
        try:
            stat = os.stat(self.path)
        except OSError:
            return 0
        return stat.st_size - (self._offset if self._goes_on(stat) else 0)

    def _goes_on(self, stat: os.stat_result) -> bool:
        """Whether that is still the file that was read."""
        return stat.st_ino == self._inode and stat.st_size >= self._offset

    def read_new(self, *, limit_bytes: int = 1 << 24) -> list[Event]:
        """The whole events that were appended since the last call, at most about `limit_bytes` of them."""
        try:
            with open(self.path, "rb") as file:
                stat = os.fstat(file.fileno())
                if not self._goes_on(stat):
                    self._inode, self._offset = stat.st_ino, 0
                file.seek(self._offset)
                block = file.read(limit_bytes)
        except FileNotFoundError:
            return []
        whole = block.rfind(b"\n") + 1
        if (
            whole == 0 and len(block) == limit_bytes
        ):  # one line longer than the limit is not ours: step over it
            self._offset += len(block)
        self._offset += whole
        events = (_parse(line) for line in block[:whole].splitlines())
        return [event for event in events if event is not None]


def read_events(path: Path) -> Iterator[Event]:
    """All whole events of a file, oldest first."""
    reader, before = EventReader(path), -1
    while reader.offset != before:  # a part without an event is not the end
        before = reader.offset
        yield from reader.read_new()


def _parse(line: bytes) -> Event | None:
    try:
        event = orjson.loads(line)
    except ValueError:  # stricter: NaN, lone surrogates and very long numbers are for the slower one
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            return None
    if not isinstance(event, dict) or not isinstance(event.get("kind"), str):
        return None
    return event


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int):
        return value
    return str(value)
