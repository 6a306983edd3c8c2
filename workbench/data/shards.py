"""Token shards: a corpus as numbers on disk, mapped into memory so that a read costs what is read.

    shard-00000.bin, …   ids, little-endian uint16 (vocabulary up to 65,536) or uint32, one flat stream
    bounds.bin           int64: where each document starts in the stream, and where the last one ends
    sources.bin          uint16: which source each document is from, a place in the index's `sources`
    index.json           counts, types and sources; written last: without it there are no shards

Documents follow each other without gaps and may span two shards. Knows no text and no tensor.
"""

from __future__ import annotations

import contextlib
import json
from array import array
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
SOURCES_FILE = "sources.bin"
_BOUND = np.dtype("<i8")
_SOURCE = np.dtype("<u2")


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest type that holds ids below `vocab_size`: 2 bytes up to 65,536 entries, else 4."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


class SourceNumbers:
    """Which source each document of a corpus is from, as two bytes a document: `names[numbers[i]]` of document i."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self.numbers = array("H")

    @property
    def names(self) -> list[str]:
        """The sources, in the order they came."""
        return list(self._places)

    def note(self, source: str) -> None:
        """Take note that the next document is from `source`."""
        self.numbers.append(self._places.setdefault(source, len(self._places)))


def write_shards(
    folder: Path,
    documents_ids: Iterable[Sequence[int]],
    *,
    vocab_size: int,
    shard_tokens: int,
    sources: SourceNumbers | None = None,
) -> TokenShards:
    """Write the ids of each document into `folder` and open the result.

    One document is held in memory at a time. Every shard but the last has `shard_tokens` tokens. Nothing is
    readable until all is written. Raises NoSpace when the disk refuses.
    sources: of the documents, noted by whoever gives them: read once the last one is in.
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
        if sources is not None:
            assert len(sources.numbers) == num_documents, "every document is from a source"
            (folder / SOURCES_FILE).write_bytes(np.array(sources.numbers, _SOURCE).tobytes())
    index = {
        "dtype": dtype.name,
        "vocab_size": vocab_size,
        "num_tokens": stream.num_tokens,
        "num_documents": num_documents,
        "shard_tokens": shard_tokens,
        "num_shards": stream.num_shards,
        **({} if sources is None else {"sources": sources.names}),
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
    with the tokenizer's bos. It is from `sources[source_of[i]]`; source_of is None in shards that do not tell.
    """

    vocab_size: int
    bounds: npt.NDArray[np.int64]
    shard_tokens: int
    shards: tuple[npt.NDArray[Any], ...]
    sources: tuple[str, ...] = ()
    source_of: npt.NDArray[np.uint16] | None = None

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
            sources = tuple(map(str, index.get("sources", ())))
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
        source_of = _mapped(folder / SOURCES_FILE, _SOURCE, num_documents) if sources else None
        return cls(
            vocab_size=vocab_size,
            bounds=bounds,
            shard_tokens=shard_tokens,
            shards=shards,
            sources=sources,
            source_of=source_of,
        )

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

    def documents_of(self, source: str) -> npt.NDArray[np.int64]:
        """The numbers of the documents from `source`; none when it gave none."""
        assert self.source_of is not None, "these shards do not tell sources"
        if source not in self.sources:
            return np.empty(0, dtype=np.int64)
        return np.flatnonzero(self.source_of == self.sources.index(source))

    def document(self, number: int) -> npt.NDArray[Any]:
        """A copy of the tokens of document `number`, bos first."""
        return self.read(int(self.bounds[number]), int(self.bounds[number + 1]))


def lengths_by_source(shards: TokenShards) -> dict[str, dict[int, int]]:
    """How many documents there are of each length in tokens, by source; under "" when the shards do not tell."""
    lengths = np.diff(shards.bounds)
    by_source = {"": lengths}
    if shards.source_of is not None:
        by_source = {source: lengths[shards.source_of == n] for n, source in enumerate(shards.sources)}
    counted = {source: np.unique(each, return_counts=True) for source, each in by_source.items()}
    return {
        source: dict(zip(each.tolist(), counts.tolist(), strict=True))
        for source, (each, counts) in counted.items()
    }


_PACK_AGAIN = "run the pack stage again"


def _mapped(path: Path, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    size = path.stat().st_size if path.is_file() else -1
    if size != count * dtype.itemsize:
        raise Damaged(f"has {max(size, 0)} bytes, not {count * dtype.itemsize}", file=path, fix=_PACK_AGAIN)
    if count == 0:
        return np.empty(0, dtype)  # an empty file cannot be mapped
    return np.memmap(path, dtype=dtype, mode="r", shape=(count,))
