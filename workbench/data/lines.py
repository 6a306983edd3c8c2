"""Lines out of a stream of bytes, each with its number and none longer than a limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_LINE_BYTES = 16_000_000
"""A longer line is no record: the longest novels are 4 MB."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its newline (LF or CR LF); `content` is None when it is too long to be held."""

    number: int
    content: bytes | None


def split_lines(
    blocks: Iterable[bytes], *, max_bytes: int = MAX_LINE_BYTES, first: int = 1
) -> Iterator[Line]:
    """Yields the lines of a stream, numbered from `first`. Memory: one line and one block."""
    number = first
    held: list[bytes] = []  # the pieces of a line that has not ended yet
    held_bytes = 0
    for block in blocks:
        *ended, rest = block.split(b"\n")
        for piece in ended:
            yield _line(number, held, piece, held_bytes + len(piece) > max_bytes)
            number, held, held_bytes = number + 1, [], 0
        held_bytes += len(rest)
        held = [] if held_bytes > max_bytes else [*held, rest]
    if held_bytes:
        yield _line(number, held, b"", held_bytes > max_bytes)


def _line(number: int, held: list[bytes], last: bytes, too_long: bool) -> Line:
    if too_long:
        return Line(number, None)
    return Line(number, b"".join([*held, last]).removesuffix(b"\r"))
