"""Plain text files to texts: `file`, `blank-lines` or `lines`, in bounded memory, whatever their encoding.

`file`         a file is one document. One longer than MAX_DOCUMENT_BYTES is read as several, each cut at the
               last blank line (or line, or space) that fits, so that a 300 MB file costs no more memory.
`blank-lines`  two or more blank lines separate documents.
`lines`        every line is a document.

Encoding: UTF-8. Bytes that are not are read as Windows-1252, which is what old novels and web pages that are
not UTF-8 nearly always are; a document with more than MAX_FOREIGN_SHARE of such bytes is in another encoding
altogether and is rejected as `invalid_utf8`. Both are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from workbench.data.documents import TextSplit
from workbench.data.lines import split_lines

MAX_DOCUMENT_BYTES = 4_000_000
"""Longer than the longest novel: only dumps and concatenations are cut."""
MAX_FOREIGN_SHARE = 0.1
"""French prose in Latin-1 has 4 % accented letters, Russian in KOI8 80 % letters that are not ASCII."""

_CUTS = (b"\n\n", b"\r\n\r\n", b"\n", b"\r", b" ")
_FOREIGN_BYTE = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a file: the line it starts on, and how many bytes of it were read as Windows-1252."""

    line: int
    text: str
    foreign_bytes: int = 0


@dataclass(frozen=True, slots=True)
class BadText:
    """A stretch of a file that is no text, with the line it starts on."""

    line: int
    reason: str
    detail: str


def texts_of(
    blocks: Iterable[bytes], *, split: TextSplit, max_bytes: int = MAX_DOCUMENT_BYTES
) -> Iterator[Text | BadText]:
    """Yields the texts of one file's content; stretches of nothing but white space yield nothing."""
    pieces: Iterator[tuple[int, bytes | None]]
    pieces = {"file": cut_file, "blank-lines": _between_blank_lines, "lines": _lines}[split](
        blocks, max_bytes
    )
    for line, piece in pieces:
        if piece is None:
            yield BadText(line, "line_too_long", f"a line of more than {max_bytes:,} bytes")
        elif piece and not piece.isspace():
            yield decoded(line, piece)


def decoded(line: int, piece: bytes) -> Text | BadText:
    """`piece` as text that begins on `line`: UTF-8, with strays read as Windows-1252 if they are few."""
    try:
        return Text(line, piece.decode())
    except UnicodeDecodeError as error:
        text = piece.decode("utf-8", "surrogateescape")
        at = line + piece.count(b"\n", 0, error.start)
    foreign = len(_FOREIGN_BYTE.findall(text))
    if foreign > MAX_FOREIGN_SHARE * len(piece):
        return BadText(at, "invalid_utf8", f"{foreign:,} of {len(piece):,} bytes are not UTF-8")
    return Text(line, _FOREIGN_BYTE.sub(_as_windows_1252, text), foreign)


def _as_windows_1252(match: re.Match[str]) -> str:
    return bytes([ord(match[0]) - 0xDC00]).decode("cp1252", "replace")


def cut_file(blocks: Iterable[bytes], max_bytes: int = MAX_DOCUMENT_BYTES) -> Iterator[tuple[int, bytes]]:
    """The whole stream in one piece, or in pieces of at most `max_bytes`, each with its first line."""
    line = 1
    held = bytearray()
    for block in blocks:
        held += block
        while len(held) > max_bytes:
            end = _cut_place(held, max_bytes)
            piece = bytes(held[:end])
            yield line, piece
            line += piece.count(b"\n")
            del held[:end]
    yield line, bytes(held)


def _cut_place(held: bytearray, limit: int) -> int:
    """Where to end a piece: the last good place in the second half of `limit`, never inside a character."""
    for mark in _CUTS:
        place = held.rfind(mark, limit // 2, limit)
        if place >= 0:
            return place + len(mark)
    end = limit
    while end > limit - 4 and held[end] & 0xC0 == 0x80:  # a continuation byte: step back to its head
        end -= 1
    return end


def _lines(blocks: Iterable[bytes], max_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    for line in split_lines(line_feeds(blocks), max_bytes=max_bytes):
        yield line.number, line.content


def _between_blank_lines(blocks: Iterable[bytes], max_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """Runs of lines that are separated by two or more blank lines, or by reaching `max_bytes`."""
    start, held, held_bytes, blanks = 1, list[bytes](), 0, 0
    for number, content in _lines(blocks, max_bytes):
        if content is None:
            yield number, None
            continue
        blank = not content.strip()
        if held and ((blanks >= 2 and not blank) or held_bytes + len(content) > max_bytes):
            yield start, b"\n".join(held)
            held, held_bytes = [], 0
        blanks = blanks + 1 if blank else 0
        if held or not blank:
            start = start if held else number
            held.append(content)
            held_bytes += len(content) + 1
    yield start, b"\n".join(held)


def line_feeds(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The stream with CR LF and lone CR (old Macintosh) as LF."""
    ended_in_return = False
    for block in blocks:
        if ended_in_return and block.startswith(b"\n"):
            block = block[1:]
        ended_in_return = block.endswith(b"\r")
        yield block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
