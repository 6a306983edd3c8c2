"""Token shards: a corpus as numbers on disk, mapped into memory so that a read costs what is read.

    shard-00000.bin, …   ids, little-endian uint16 (vocabulary up to 65,536) or uint32, one flat stream
    bounds.bin           int64: where each document starts in the stream, and where the last one ends
    index.json           counts and types; written last: without it there are no shards

Documents follow each other without gaps and may span two shards. Knows no text and no tensor.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from workbench.errors import Damaged, NotFound
from workbench.files import disk_errors_named, write_atomic

INDEX_FILE = "index.json"
BOUNDS_FILE = "bounds.bin"
_BOUND = np.dtype("<i8")


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest type that holds ids below `vocab_size`: 2 bytes up to 65,536 entries, else 4."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


def write_shards(
    folder: Path, documents_ids: Iterable[Sequence[int]], *, vocab_size: int, shard_tokens: int
) -> TokenShards:
    """Write the ids of each document into `folder` and open the result.

    One document is held in memory at a time. Every shard but the last has `shard_tokens` tokens. Nothing is
    readable until all is written. Raises NoSpace when the disk refuses.
    """
    assert shard_tokens > 0
    dtype = token_dtype(vocab_size)
    stream = _ShardStream(folder, shard_tokens)
    num_documents = 0
    with disk_errors_named(folder), (folder / BOUNDS_FILE).open("wb") as bounds, contextlib.closing(stream):
        bounds.write(np.array(0, _BOUND).tobytes())
        for ids in documents_ids:
            tokens = np.asarray(ids, dtype=np.int64)
            assert tokens.size > 0, "a document has at least its bos"
            assert tokens.min() >= 0 and tokens.max() < vocab_size, "an id outside the vocabulary"
            stream.write(tokens.astype(dtype))
            bounds.write(np.array(stream.num_tokens, _BOUND).tobytes())
            num_documents += 1
    index = {
        "dtype": dtype.name,
        "vocab_size": vocab_size,
        "num_tokens": stream.num_tokens,
        "num_documents": num_documents,
        "shard_tokens": shard_tokens,
        "num_shards": stream.num_shards,
    }
    write_atomic(folder / INDEX_FILE, json.dumps(index, indent=2) + "\n")
    return TokenShards.open(folder)


class _ShardStream:
    """A flat stream of tokens cut into files of equal length."""

    def __init__(self, folder: Path, shard_tokens: int) -> None:
        self._folder = folder
        self._shard_tokens = shard_tokens
        self._file: IO[bytes] | None = None
        self.num_tokens = 0
        self.num_shards = 0

    def write(self, tokens: npt.NDArray[Any]) -> None:
        while tokens.size:
            room = self._shard_tokens - self.num_tokens % self._shard_tokens
            if room == self._shard_tokens:
                self._next_shard()
            assert self._file is not None
            head, tokens = tokens[:room], tokens[room:]
            self._file.write(head.tobytes())
            self.num_tokens += head.size

    def _next_shard(self) -> None:
        self.close()
        self._file = (self._folder / _shard_name(self.num_shards)).open("wb")
        self.num_shards += 1

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _shard_name(number: int) -> str:
    return f"shard-{number:05d}.bin"


@dataclass(frozen=True)
class TokenShards:
    """The tokens of a corpus, memory-mapped.

    `bounds` has num_documents + 1 entries: document i is the stream's `bounds[i]:bounds[i + 1]` and starts
    with the tokenizer's bos.
    """

    vocab_size: int
    bounds: npt.NDArray[np.int64]
    shard_tokens: int
    shards: tuple[npt.NDArray[Any], ...]

    @property
    def num_documents(self) -> int:
        """Documents in the corpus."""
        return len(self.bounds) - 1

    @property
    def num_tokens(self) -> int:
        """Tokens in the corpus, one bos per document included."""
        return int(self.bounds[-1])

    @classmethod
    def open(cls, folder: Path) -> TokenShards:
        """The shards that `write_shards` left in `folder`.

        Raises NotFound without an index, Damaged when a file does not have the size the index says.
        """
        path = folder / INDEX_FILE
        if not path.is_file():
            raise NotFound("there are no token shards", file=folder, fix="run the pack stage again")
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
            num_tokens, num_documents = int(index["num_tokens"]), int(index["num_documents"])
            shard_tokens, vocab_size = int(index["shard_tokens"]), int(index["vocab_size"])
            num_shards = int(index["num_shards"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Damaged("is not the index of token shards", file=path, fix=_PACK_AGAIN) from None
        bounds = _mapped(folder / BOUNDS_FILE, _BOUND, num_documents + 1)
        starts = range(0, num_tokens, max(1, shard_tokens))
        if (int(bounds[0]), int(bounds[-1]), len(starts)) != (0, num_tokens, num_shards):
            raise Damaged("does not agree with the bounds of its documents", file=path, fix=_PACK_AGAIN)
        shards = tuple(
            _mapped(folder / _shard_name(n), token_dtype(vocab_size), min(shard_tokens, num_tokens - start))
            for n, start in enumerate(starts)
        )
        return cls(vocab_size=vocab_size, bounds=bounds, shard_tokens=shard_tokens, shards=shards)

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """A copy of the stream's tokens `start:stop`, wherever shards end."""
        assert 0 <= start <= stop <= self.num_tokens
        tokens = np.empty(stop - start, dtype=token_dtype(self.vocab_size))
        done = 0
        while done < len(tokens):
            number, offset = divmod(start + done, self.shard_tokens)
            piece = self.shards[number][offset : offset + len(tokens) - done]
            tokens[done : done + len(piece)] = piece
            done += len(piece)
        return tokens

    def document(self, number: int) -> npt.NDArray[Any]:
        """A copy of the tokens of document `number`, bos first."""
        return self.read(int(self.bounds[number]), int(self.bounds[number + 1]))


_PACK_AGAIN = "run the pack stage again"


def _mapped(path: Path, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    size = path.stat().st_size if path.is_file() else -1
    if size != count * dtype.itemsize:
        raise Damaged(f"has {max(size, 0)} bytes, not {count * dtype.itemsize}", file=path, fix=_PACK_AGAIN)
    if count == 0:
        return np.empty(0, dtype)  # an empty file cannot be mapped
    return np.memmap(path, dtype=dtype, mode="r", shape=(count,))
