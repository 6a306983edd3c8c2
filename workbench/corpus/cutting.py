"""A stream of bytes cut where a record ends. Where it is cut depends on the bytes alone, not on how they come in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

# Two or more blank lines, which separate documents; a line of white space is blank.
_BLANK_LINES = re.compile(rb"\n[ \t\r\x0b\x0c]*\n[ \t\r\x0b\x0c]*\n")


def cut_at_lines(
    chunks: Iterable[bytes], *, block_bytes: int, max_line_bytes: int, at_blank_lines: bool = False
) -> Iterator[tuple[int, bytes | None]]:
    """Yields (number of the first line from 1, whole lines of at most `block_bytes`); None for a line too long.

    A single line may be longer than a block, up to `max_line_bytes`; beyond it is dropped as it streams past.
    `at_blank_lines`: cut where two blank lines are, or else at a line. Memory: a block and a line.
    """
    assert max_line_bytes >= 1 and block_bytes >= 1
    line, held, is_dropping = 1, bytearray(), False
    for chunk in chunks:
        if is_dropping:
            end = chunk.find(b"\n")
            if end < 0:
                continue
            yield line, None
            line, chunk, is_dropping = line + 1, chunk[end + 1 :], False
        held += chunk
        while len(held) > block_bytes:
            end = _end(held, block_bytes, at_blank_lines)
            if end > 0:
                piece = bytes(held[:end])
                yield line, piece
                line += piece.count(b"\n")
                del held[:end]
                continue
            end = held.find(b"\n", block_bytes)
            if end < 0:
                if len(held) > max(max_line_bytes, block_bytes):
                    held.clear()
                    is_dropping = True
                break
            yield line, bytes(held[: end + 1]) if end <= max_line_bytes else None
            line += 1
            del held[: end + 1]
    if is_dropping:
        yield line, None
    elif held:
        yield line, bytes(held)


def _end(held: bytearray, block_bytes: int, at_blank_lines: bool) -> int:
    """Where the block ends; 0 when its first line is longer than a block."""
    if at_blank_lines:
        if (place := held.rfind(b"\n\n\n", 0, block_bytes)) >= 0:
            return place + 3
        if places := [found.end() for found in _BLANK_LINES.finditer(held, 0, block_bytes)]:
            return places[-1]
    return held.rfind(b"\n", 0, block_bytes) + 1
