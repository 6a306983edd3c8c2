"""JSON lines under zstandard: how documents lie on disk inside an artifact.

Writing is deterministic: the same records give the same bytes. Reads only files this module wrote (a user's
own files go through file_source.py, which trusts nothing).
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import orjson
import zstandard

from workbench.data.byte_stream import zstd_blocks
from workbench.data.lines import split_lines
from workbench.errors import Damaged
from workbench.files import disk_errors_named

LEVEL = 3  # zstandard's own default: about 300 MB/s in, and within 10 % of what twice the time would give
_BUFFER_BYTES = 1 << 18


class JsonlZstWriter:
    """Writes records to one .jsonl.zst file, or to numbered shards of it.

    With `shard_bytes` the file name holds `{}` and a new shard begins once that many bytes of JSON are in the
    last one. A file exists even when nothing was written. Use as a context manager.
    Raises NoSpace when the disk refuses.
    """

    def __init__(self, path: Path, *, shard_bytes: int | None = None) -> None:
        self._path = path
        self._shard_bytes = shard_bytes
        self._shard = 0
        self._bytes_in_shard = 0
        self._file: IO[bytes] = self._open()

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record (strings must be valid Unicode)."""
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        if self._shard_bytes is not None and self._bytes_in_shard >= self._shard_bytes:
            self._close()
            self._shard += 1
            self._bytes_in_shard = 0
            self._file = self._open()
        with disk_errors_named(self._path):
            self._file.write(line)
        self._bytes_in_shard += len(line)

    @property
    def num_bytes(self) -> int:
        """Bytes of JSON in the last file."""
        return self._bytes_in_shard

    def __enter__(self) -> JsonlZstWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _open(self) -> IO[bytes]:
        path = self._path
        if self._shard_bytes is not None:
            path = path.with_name(path.name.format(f"{self._shard:05d}"))
        with disk_errors_named(path):
            compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
            raw = path.open("xb")
            stream = compressor.stream_writer(raw, closefd=True)
            return io.BufferedWriter(cast(io.RawIOBase, stream), buffer_size=_BUFFER_BYTES)

    def _close(self) -> None:
        with disk_errors_named(self._path):
            self._file.close()


def read_jsonl_zst(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the records of one file in order. Raises Damaged when the file is cut or altered."""
    for line in split_lines(artifact_bytes(path), max_bytes=sys.maxsize):
        try:
            yield orjson.loads(line.content or b"")
        except orjson.JSONDecodeError as error:
            raise _damaged(path) from error


def artifact_bytes(path: Path) -> Iterator[bytes]:
    """Yields the lines of one file as they are, in blocks. Raises Damaged when the file is cut or altered."""
    try:
        with path.open("rb") as file:
            yield from zstd_blocks(file)
    except (EOFError, zstandard.ZstdError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> Damaged:
    return Damaged("is damaged", file=path, fix="delete the artifact and run again")
