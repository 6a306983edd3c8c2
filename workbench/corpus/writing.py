"""The result, block by block: a block's documents to their part of the training file and of the rejected one.

Every part is whole zstandard frames, so parts that are laid end to end in the order of blocks are one file, and its
bytes do not depend on who wrote which part when.
"""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.cache import LayerCache, key_of
from workbench.corpus.layers import Strings
from workbench.corpus.near_copies import ShingleTable
from workbench.corpus.preparing import FACTS, PAGE_FACTS, TEXT, Prepared, layer_of
from workbench.corpus.shingles import Hashes
from workbench.data import corpus_folder
from workbench.data.corpus_folder import rejected_record
from workbench.data.documents import BadRecord, Document
from workbench.data.jsonl_zst import JsonlZstWriter
from workbench.files import digest_bytes, disk_errors_named

VERSION = 1
"""Raised when the same verdicts give other parts than before."""
WRITTEN = "written"
"""The layer of written parts."""
Marks = NDArray[np.int64]
TRAIN, HELD_OUT, REJECTED, NOWHERE = 0, 1, 2, 3
"""Where a document goes. NOWHERE: it is only compared with, or beyond what was asked for."""
SAMPLE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What was decided about the documents of one block."""

    block: Prepared
    side: NDArray[np.uint8]
    """[documents] of TRAIN, HELD_OUT, REJECTED or NOWHERE."""
    reasons: Mapping[int, tuple[str, float | str, str | None]]
    """For each rejected document its reason, the figure that decided, and the id of what it is a copy of."""
    samples: Sequence[int] = ()
    """Documents whose beginning is wanted."""


@dataclass(frozen=True, slots=True)
class Written:
    """What one block became."""

    number: int
    train: Path | None
    """Its part of the training file; None when it has none."""
    train_json_bytes: int
    rejected: Path | None
    marks: Marks
    """Which shingles of the held-out side stand in its training text."""
    samples: Mapping[int, str]
    key: str | None
    """Of the layer that holds the parts; None without one."""


@dataclass(frozen=True)
class Writing:
    """The work on one block, as a function of its verdicts.

    The parts lie in the cache too until all are joined, so that who is killed while writing goes on behind the last
    block.
    """

    cache: LayerCache
    folder: Path
    shingles: Path | None = None
    """Where the hashes of the held-out side lie, see `keep_hashes`."""

    def __call__(self, verdicts: Verdicts) -> Written:
        """Writes the parts of a block. Raises NoSpace when the disk refuses."""
        block = verdicts.block
        if block.is_reference and not verdicts.samples:
            return Written(block.number, None, 0, None, np.zeros(0, dtype=np.int64), {}, None)
        key = self._key(verdicts)
        layer = self.cache.get(WRITTEN, key)
        if layer is None:
            layer = self._layer(verdicts)
            self.cache.put(WRITTEN, key, layer)
        samples = _documents_at(self.cache, block, verdicts.samples)
        return Written(
            block.number,
            self._put(f"train-{block.number:07d}", layer["train"]),
            int(layer["train_json_bytes"][0]),
            self._put(f"rejected-{block.number:07d}", layer["rejected"]),
            layer["marks"],
            {
                place: document.text[:SAMPLE_CHARACTERS]
                for place, document in zip(verdicts.samples, samples, strict=True)
            },
            key,
        )

    def _key(self, verdicts: Verdicts) -> str:
        """Digests all that the parts of a block follow from."""
        block = verdicts.block
        return key_of(
            VERSION,
            block.keys,
            block.source,
            [dataclasses.asdict(record) | {"before": before} for before, record in block.bad],
            verdicts.side.tobytes(),
            sorted([place, *reason] for place, reason in verdicts.reasons.items()),
            "" if self.shingles is None else self.shingles.name,
        )

    def _layer(self, verdicts: Verdicts) -> dict[str, NDArray[Any]]:
        """The parts of a block, and which held-out shingles stand in what is trained on."""
        documents = list(documents_of(self.cache, verdicts.block, len(verdicts.side)))
        in_train = [documents[place] for place in np.flatnonzero(verdicts.side == TRAIN)]
        marks = np.zeros(0, dtype=np.int64)
        if self.shingles is not None:
            marks = _table(self.shingles).places_in(document.text for document in in_train)
        train = map(corpus_folder.document_record, in_train)
        train_part, json_bytes = self._packed("train", verdicts, train)
        rejected_part, _ = self._packed("rejected", verdicts, _left_out(documents, verdicts))
        return {
            "train": train_part,
            "train_json_bytes": np.array([json_bytes]),
            "rejected": rejected_part,
            "marks": marks,
        }

    def _packed(
        self, name: str, verdicts: Verdicts, records: Iterator[dict[str, Any]]
    ) -> tuple[NDArray[np.uint8], int]:
        """`records` as the bytes of a file, none if there are none, and how many bytes of JSON they are."""
        path = self.folder / f"making-{name}-{verdicts.block.number:07d}"
        path.unlink(missing_ok=True)  # of an attempt before
        with JsonlZstWriter(path) as writer:
            for record in records:
                writer.write(record)
        content = np.fromfile(path, dtype=np.uint8) if writer.num_bytes else np.zeros(0, dtype=np.uint8)
        path.unlink()
        return content, writer.num_bytes

    def _put(self, name: str, content: NDArray[np.uint8]) -> Path | None:
        """`content` as a file in the folder; None when it is nothing."""
        path = self.folder / name
        if not len(content):
            return None
        with disk_errors_named(path):
            path.write_bytes(content.data)
        return path


@dataclass(frozen=True)
class Fetching:
    """Some documents of a block, out of the cache."""

    cache: LayerCache

    def __call__(self, wanted: tuple[Prepared, Sequence[int]]) -> list[Document]:
        """The documents at some places of a block, in the order asked for."""
        block, places = wanted
        return list(_documents_at(self.cache, block, places))


def documents_of(cache: LayerCache, block: Prepared, count: int) -> Iterator[Document]:
    """The first `count` documents of a block, in order."""
    return _documents_at(cache, block, range(count))


def _documents_at(cache: LayerCache, block: Prepared, places: Sequence[int]) -> Iterator[Document]:
    texts, facts = Strings(layer_of(cache, block, TEXT), TEXT), layer_of(cache, block, FACTS)
    ids = Strings(facts, "id")
    said = {name: Strings(facts, name) for name in PAGE_FACTS if name in facts}
    for place in places:
        more = {name: strings[place] for name, strings in said.items()}
        yield Document(ids[place], texts[place], block.source, **more)


def _left_out(documents: Sequence[Document], verdicts: Verdicts) -> Iterator[dict[str, Any]]:
    """The records of the rejected file, documents and bad records, as they stood."""
    bad = list(verdicts.block.bad)
    for place, document in enumerate(documents):
        while bad and bad[0][0] <= place:
            yield _bad(bad.pop(0)[1])
        if place in verdicts.reasons:
            reason, figure, copy_of = verdicts.reasons[place]
            yield rejected_record(document, reason, figure, copy_of=copy_of)
    for _, record in bad:
        yield _bad(record)


def _bad(record: BadRecord) -> dict[str, Any]:
    return {"id": record.place, "source": record.source, "reason": record.reason, "figure": record.detail}


def keep_hashes(hashes: Hashes, folder: Path) -> Path:
    """The file into which `hashes`, sorted and each once, were written, for the processes that look for them."""
    path = folder / f"shingles-{digest_bytes(hashes.data)}"  # `_table` remembers by name
    with disk_errors_named(path):
        path.write_bytes(hashes.data)
    return path


@functools.lru_cache(maxsize=1)
def _table(path: Path) -> ShingleTable:
    return ShingleTable(np.fromfile(path, dtype=np.uint64))


def forget_table() -> None:
    """Give back the memory of the table that this process looked up shingles in."""
    _table.cache_clear()


class ShardJoiner:
    """Lays parts end to end into the numbered shards of a corpus folder; a new shard begins between two parts."""

    def __init__(self, folder: Path, *, shard_bytes: int = corpus_folder.SHARD_BYTES) -> None:
        self._folder = folder
        self._shard_bytes = shard_bytes
        self._shard = 0
        self._json_bytes = 0
        self._is_empty = True

    def add(self, part: Path, *, json_bytes: int) -> None:
        """Append a part, which is then gone. Raises NoSpace when the disk refuses."""
        if self._json_bytes >= self._shard_bytes:
            self._shard, self._json_bytes = self._shard + 1, 0
        move_to_end(part, corpus_folder.train_file(self._folder, self._shard))
        self._json_bytes += json_bytes
        self._is_empty = False

    def close(self) -> None:
        """Leave at least one shard, even if it is empty."""
        if self._is_empty:
            with corpus_folder.train_writer(self._folder):
                pass


def move_to_end(part: Path, whole: Path) -> None:
    """Append the bytes of `part` to `whole`, and delete it. Raises NoSpace when the disk refuses."""
    with disk_errors_named(whole):
        with part.open("rb") as read, whole.open("ab") as written:
            shutil.copyfileobj(read, written, 1 << 20)
        part.unlink()
