"""A user's file as a stream of bytes: opened without trust, unpacked within limits, checked to be text.

Nothing here ever holds more than a few megabytes, waits on a pipe, or follows a device; a gzip bomb, a
truncated archive and a file that changes while it is read each end in one line naming the file.
Knows nothing of lines, JSON or documents.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

from workbench.errors import BadInput

BLOCK_BYTES = 1 << 18
MAX_RATIO = 200
"""Unpacked bytes per packed byte allowed: prose packs 1:3, the most even log 1:100, a bomb 1:1000."""
RATIO_FREE_BYTES = 100_000_000
"""The ratio is not looked at before this many bytes: a small file harms nobody however well it packs."""
MAX_WINDOW_BYTES = 1 << 27
"""Largest zstandard window, what `zstd --long=27` writes; a frame may ask for 2 GiB of memory otherwise."""
_ZSTD_FEED_BYTES = 1 << 12  # 4 kB of zstandard can hold 1000 blocks of 128 kB: bounds one answer to 128 MB
_HEAD_BYTES = 1 << 13

_FOREIGN = {
    b"\x1f\x8b": "is gzip under another name; name it .gz",
    b"\x28\xb5\x2f\xfd": "is zstandard under another name; name it .zst",
    b"PK\x03\x04": "is a zip archive; unpack it",
    b"%PDF-": "is a PDF; convert it to text",
    b"PAR1": "is Parquet under another name; name it .parquet",
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK = b"\xef\xbb\xbf"


def shown_path(path: str | Path) -> str:
    """`path` as text to print and store: bytes that are not UTF-8 and control characters escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextlib.contextmanager
def open_plain_file(path: Path) -> Iterator[BinaryIO]:
    """`path` opened for reading, once it is known to be a regular file; never waits, never blocks.

    Raises BadInput when it is missing, a folder, a pipe, a device, a link to nothing or to itself, not
    readable, or when it changed between opening and the end of the block.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=shown_path(path)) from error
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        os.close(descriptor)
        raise BadInput("is not a regular file", file=shown_path(path), fix="give a file with text in it")
    with os.fdopen(descriptor, "rb") as file:
        yield file
        after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise BadInput(
                "changed while it was read", file=shown_path(path), fix="run again when nobody writes to it"
            )


def text_blocks(path: Path) -> Iterator[bytes]:
    """Yields the content of a text file in blocks, unpacked by its suffix (.gz, .zst), without a UTF-8 mark.

    Raises BadInput when the file cannot be opened, is not text by its first bytes (NUL, UTF-16, an archive),
    is damaged or truncated, or unpacks to more than MAX_RATIO times its size.
    """
    with open_plain_file(path) as file:
        try:
            blocks = _unpacked(path, file)
            head = next(blocks, b"")
            while len(head) < _HEAD_BYTES and (block := next(blocks, b"")):
                head += block
            _refuse_foreign(path, head)
            yield head.removeprefix(_UTF8_MARK)
            yield from blocks
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
            raise BadInput(
                f"is cut off or damaged ({error})", file=shown_path(path), fix="fetch or pack it again"
            ) from error
        except OSError as error:
            raise BadInput(f"cannot be read: {error.strerror or error}", file=shown_path(path)) from error


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


def _unpacked(path: Path, file: BinaryIO) -> Iterator[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            yield from _within_ratio(path, file, _blocks_of(stream))
    elif suffix == ".zst":
        yield from _within_ratio(path, file, zstd_blocks(file))
    else:
        yield from _blocks_of(file)


def _blocks_of(stream: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    while block := stream.read(BLOCK_BYTES):
        yield block


def _within_ratio(path: Path, file: BinaryIO, blocks: Iterator[bytes]) -> Iterator[bytes]:
    produced = 0
    for block in blocks:
        produced += len(block)
        if produced > RATIO_FREE_BYTES and produced > MAX_RATIO * file.tell():
            raise BadInput(
                f"unpacks to more than {MAX_RATIO} times its size, which no text does",
                file=shown_path(path),
                fix="unpack it yourself if it is what you want",
            )
        yield block


def _refuse_foreign(path: Path, head: bytes) -> None:
    """Raise BadInput when the first bytes of a file show that it is no UTF-8 text."""
    if head.startswith(_UTF16):
        raise BadInput(
            "is UTF-16", file=shown_path(path), fix=f"convert it: iconv -f UTF-16 -t UTF-8 {path.name!r}"
        )
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise BadInput(what, file=shown_path(path))
    if b"\0" in head[:_HEAD_BYTES]:
        raise BadInput("is binary, not text", file=shown_path(path), fix="take it out of the sources")
