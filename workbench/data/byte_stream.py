"""A user's file as a stream of bytes: opened without trust, unpacked within limits, checked to be text.

How a file is packed is told by its first bytes, whatever it is called. Nothing here ever holds more than a few
megabytes, waits on a pipe, or follows a device; a gzip bomb, a truncated archive and a file that changes while
it is read each end in one line naming the file. What came before the damage was given out by then.
Knows nothing of lines, JSON or documents.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import zstandard

from workbench.errors import BadInput

Packing = Literal["", "gzip", "zstandard"]

BLOCK_BYTES = 1 << 18
MAX_RATIO = 200
"""Unpacked bytes per packed byte allowed: prose packs 1:3, the most even log 1:100, a bomb 1:1000."""
RATIO_FREE_BYTES = 100_000_000
"""The ratio is not looked at before this many bytes: a small file harms nobody however well it packs."""
MAX_WINDOW_BYTES = 1 << 27
"""Largest zstandard window, what `zstd --long=27` writes; a frame may ask for 2 GiB of memory otherwise."""
HEAD_BYTES = 1 << 13
"""How much of a file's start is looked at to tell what it is."""
MAX_CONTROL_SHARE = 0.1
"""Text has a stray NUL or escape; a program, a picture or a database is full of them."""

_ZSTD_FEED_BYTES = 1 << 12  # 4 kB of zstandard can hold 1000 blocks of 128 kB: bounds one answer to 128 MB
_GZIP_FEED_BYTES = 1 << 14  # what is lost beside a wrong checksum
_MAGIC: tuple[tuple[bytes, Packing], ...] = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstandard"))
_FOREIGN = {
    b"\x1f\x8b": "is packed twice; unpack it once",
    b"\x28\xb5\x2f\xfd": "is packed twice; unpack it once",
    b"PK\x03\x04": "is a zip archive; unpack it",
    b"BZh": "is packed with bzip2; unpack it",
    b"\xfd7zXZ\0": "is packed with xz; unpack it",
    b"%PDF-": "is a PDF; convert it to text",
    b"PAR1": "is Parquet; name it .parquet",
    b"\x89PNG": "is a picture, not text",
    b"\xff\xd8\xff": "is a picture, not text",
    b"GIF8": "is a picture, not text",
    b"\x7fELF": "is a program, not text",
    b"SQLite format 3\0": "is a database, not text",
}
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF8_MARK = codecs.BOM_UTF8
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r\x0c\x1b")


class Unreadable(BadInput):
    """A file cannot be read, or not to its end. `reason` is a word to count by, such as `cut_off`."""

    def __init__(self, reason: str, message: str, *, file: Path, fix: str | None = None) -> None:
        super().__init__(message, file=shown_path(file), fix=fix)
        self.reason = reason


def shown_path(path: str | Path) -> str:
    """`path` as text to print and store: bytes that are not UTF-8 and control characters escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextlib.contextmanager
def open_plain_file(path: Path) -> Iterator[BinaryIO]:
    """`path` opened for reading, once it is known to be a regular file; never waits, never blocks.

    Raises Unreadable when it is missing, a folder, a pipe, a device, a link to nothing or to itself, not
    readable, or when it changed between opening and the end of the block.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unreadable("cannot_be_read", f"cannot be read: {error.strerror}", file=path) from error
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        os.close(descriptor)
        raise Unreadable("not_a_file", "is not a regular file", file=path, fix="give a file with text in it")
    with os.fdopen(descriptor, "rb") as file:
        yield file
        after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise Unreadable(
                "changed", "changed while it was read", file=path, fix="run again when nobody writes to it"
            )


def text_blocks(path: Path, *, max_ratio: float = MAX_RATIO) -> Iterator[bytes]:
    """Yields the content of a text file in blocks of UTF-8 or what it is instead, unpacked, without a mark.

    UTF-16 and UTF-32 that say so by their mark become UTF-8. Raises Unreadable when the file cannot be opened,
    is not text by its first bytes (an archive, a picture, a program), is damaged or truncated, or unpacks to
    more than `max_ratio` times its size.
    """
    blocks = unpacked_blocks(path, max_ratio=max_ratio)
    head = take_head(blocks)
    yield from text_of_blocks(path, head, blocks)


def take_head(blocks: Iterator[bytes]) -> bytes:
    """The first blocks, at least HEAD_BYTES if there are so many: enough to tell what the rest is."""
    head = next(blocks, b"")
    while len(head) < HEAD_BYTES and (block := next(blocks, b"")):
        head += block
    return head


def text_of_blocks(path: Path, head: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    """`text_blocks` of a file that is open already: its first HEAD_BYTES or more, and what follows."""
    if head.startswith(_UTF16_MARKS):
        encoding = "utf-32" if head.startswith(_UTF32_MARKS) else "utf-16"
        yield from _recoded(head, rest, encoding)
        return
    refuse_foreign(path, head)
    yield head.removeprefix(_UTF8_MARK)
    yield from rest


def unpacked_blocks(path: Path, *, max_ratio: float = MAX_RATIO) -> Iterator[bytes]:
    """Yields the bytes of a file in blocks, unpacked if its first bytes say that it is packed.

    Raises Unreadable when it cannot be opened, is damaged or cut, or is a bomb.
    """
    with open_plain_file(path) as file:
        packing = packing_of(file.read(4))
        file.seek(0)
        try:
            if packing == "gzip":
                yield from _within_ratio(path, file, gzip_blocks(file), max_ratio)
            elif packing == "zstandard":
                yield from _within_ratio(path, file, zstd_blocks(file), max_ratio)
            else:
                yield from _blocks_of(file)
        except EOFError as error:
            raise Unreadable(
                "cut_off", f"is cut off ({error})", file=path, fix="fetch or pack it again"
            ) from error
        except (zlib.error, zstandard.ZstdError) as error:
            raise Unreadable(
                "damaged", f"is damaged ({error})", file=path, fix="fetch or pack it again"
            ) from error
        except OSError as error:
            raise Unreadable(
                "cannot_be_read", f"cannot be read: {error.strerror or error}", file=path
            ) from error


def packing_of(head: bytes) -> Packing:
    """How a file is packed that begins with `head`."""
    return next((packing for magic, packing in _MAGIC if head.startswith(magic)), "")


def gzip_blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yields what a gzip file unpacks to, member after member; zeros after the last one are padding.

    Raises EOFError when it is cut, zlib.error when it is damaged, after everything that could be read.
    """
    member = zlib.decompressobj(wbits=31)
    begun = False
    while packed := file.read(_GZIP_FEED_BYTES):
        while packed:
            if not begun and not (packed := packed.lstrip(b"\0")):
                break
            begun = True
            yield member.decompress(packed, BLOCK_BYTES)
            packed = member.unconsumed_tail
            if member.eof:
                packed, member, begun = member.unused_data, zlib.decompressobj(wbits=31), False
    if begun:
        if rest := member.flush():
            yield rest
        if not member.eof:
            raise EOFError("the last member has no end")


def zstd_blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yields what a zstandard file unpacks to. Raises EOFError when it is cut, ZstdError when damaged.

    Frame by frame, because zstandard's own `stream_reader` takes a cut for the end of the file.
    """
    unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    frame = None
    while packed := file.read(_ZSTD_FEED_BYTES):
        while packed:
            frame = frame or unpacker.decompressobj()
            yield frame.decompress(packed)
            packed = frame.unused_data
            if frame.eof:
                frame = None
    if frame is not None:
        raise EOFError("the last frame has no end")


def _blocks_of(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(BLOCK_BYTES):
        yield block


def _within_ratio(path: Path, file: BinaryIO, blocks: Iterator[bytes], max_ratio: float) -> Iterator[bytes]:
    produced = 0
    for block in blocks:
        produced += len(block)
        if produced > RATIO_FREE_BYTES and produced > max_ratio * file.tell():
            raise Unreadable(
                "bomb",
                f"unpacks to more than {max_ratio:g} times its size, which no text does",
                file=path,
                fix="unpack it yourself if it is what you want",
            )
        yield block


def _recoded(head: bytes, rest: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    yield decoder.decode(head).encode("utf-8", "replace")
    for block in rest:
        yield decoder.decode(block).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def refuse_foreign(path: Path, head: bytes) -> None:
    """Raise Unreadable when the first bytes of a file show that it is no text."""
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            what, _, fix = what.partition("; ")
            raise Unreadable("not_text", what, file=path, fix=fix or "take it out of the sources")
    looked_at = head[:HEAD_BYTES]
    controls = len(looked_at) - len(looked_at.translate(None, _CONTROLS))
    if controls > MAX_CONTROL_SHARE * len(looked_at):
        raise Unreadable("not_text", "is binary, not text", file=path, fix="take it out of the sources")
