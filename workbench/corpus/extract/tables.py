"""Rows of CSV and TSV to records: quotes, line ends within quotes, any of four delimiters, huge fields.

The first row names the columns. The delimiter is the one with which it has the wanted column, else the one that
splits it most. A quote that is never closed would swallow the rest of the file: its record is bad, and reading
goes on with the line after the one that it began on.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from workbench.data.lines import MAX_LINE_BYTES, Line, split_lines

DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True)
class Header:
    """The names of the columns, and what stands between two."""

    names: tuple[str, ...]
    delimiter: str


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: the line it begins on, and its fields."""

    line: int
    fields: list[str]


@dataclass(frozen=True, slots=True)
class BadTableRow:
    """A row that is none, and why."""

    line: int
    reason: str
    detail: str


def header_of(line: str, wanted: Sequence[str], *, tabs: bool = False) -> Header:
    """The columns that the first line of a table names."""
    candidates = [Header(_names(line, delimiter), delimiter) for delimiter in DELIMITERS]
    if tabs:
        candidates.sort(key=lambda header: header.delimiter != "\t")
    for header in candidates:
        if set(wanted) <= set(header.names):
            return header
    return max(candidates, key=lambda header: len(header.names))


def cut_tables(
    blocks: Iterable[bytes], *, block_bytes: int, max_bytes: int = MAX_LINE_BYTES
) -> Iterator[tuple[int, bytes]]:
    """Yields (number of the first row's line, the header line and whole rows), about `block_bytes` each.

    Whether a line ends a row is told by whether its quotes, and those before it, are even: what `""` and a quoted
    line end both keep. A stray quote can put a cut into a row, which then counts as two bad ones.
    """
    lines = split_lines(blocks, max_bytes=max_bytes)
    named = next(lines, None)
    if named is None:
        return
    header = named.content or b""
    held = [header]
    first, size, is_open = 2, 0, False
    for line in lines:
        content = line.content if line.content is not None else b"\0" * (max_bytes + 1)
        is_open ^= bool(content.count(b'"') & 1)
        held.append(content)
        size += len(content) + 1
        if size >= block_bytes and (not is_open or size > block_bytes + max_bytes):
            yield first, b"\n".join(held) + b"\n"
            held, first, size, is_open = [header], line.number + 1, 0, False
    if size or first == 2:
        yield first, b"\n".join(held) + b"\n"


def table_rows(lines: Iterable[Line], *, delimiter: str, max_bytes: int) -> Iterator[TableRow | BadTableRow]:
    """Yields the rows of `lines`; empty lines are none. Memory: one row of at most `max_bytes`."""
    csv.field_size_limit(max_bytes)  # of the process; the default of 131,072 is less than a page
    rest = iter(lines)
    while True:
        source = _OneRecordAtATime(rest, max_bytes)
        yield from _until_damage(source, delimiter)
        if source.damage is None:
            return
        yield source.damage
        rest = itertools.chain(source.to_read_again(), rest)


def _until_damage(source: _OneRecordAtATime, delimiter: str) -> Iterator[TableRow]:
    try:
        for fields in csv.reader(source, delimiter=delimiter):
            if source.damage is not None:
                return
            if fields:
                yield TableRow(source.first_line, fields)
            source.forget()
    except csv.Error as error:
        source.stop("not_csv", str(error))


class _OneRecordAtATime:
    """Lines as text for csv.reader, which takes as many as a record has; remembers them until they are a record."""

    def __init__(self, lines: Iterator[Line], max_bytes: int) -> None:
        self._lines = lines
        self._max_bytes = max_bytes
        self._taken: list[Line] = []
        self._taken_bytes = 0
        self.damage: BadTableRow | None = None

    @property
    def first_line(self) -> int:
        """The line that the record in hand begins on."""
        return self._taken[0].number

    def forget(self) -> None:
        """The lines taken so far were a record."""
        self._taken, self._taken_bytes = [], 0

    def stop(self, reason: str, detail: str) -> None:
        """The record in hand is none."""
        self.damage = BadTableRow(self.first_line, reason, detail)

    def to_read_again(self) -> list[Line]:
        """The lines that a damaged record took beyond its first."""
        return self._taken[1:]

    def __iter__(self) -> _OneRecordAtATime:
        return self

    def __next__(self) -> str:
        if self.damage is not None:
            raise StopIteration
        line = next(self._lines, None)
        if line is None:
            if self._taken:  # csv.reader asks for more only within quotes
                self.stop("unclosed_quote", "a quote that is never closed")
            raise StopIteration
        self._taken.append(line)
        self._taken_bytes += len(line.content or b"") + 1
        if line.content is None and len(self._taken) == 1:
            self.stop("line_too_long", "a line longer than is read")
            raise StopIteration
        if line.content is None or self._taken_bytes > self._max_bytes:
            self.stop("unclosed_quote", f"a quoted field of more than {self._max_bytes:,} bytes")
            raise StopIteration
        return _text(line.content) + "\n"


def _names(line: str, delimiter: str) -> tuple[str, ...]:
    names = next(csv.reader([line], delimiter=delimiter), [])
    return tuple(name.strip() for name in names)


def _text(content: bytes) -> str:
    """The line as text; bytes that are not UTF-8 stay as surrogates, which `foreign` finds."""
    return content.decode("utf-8", "surrogateescape")
