"""The result, block by block: a block's documents to their part of the training file and of the rejected one.

Every part is whole zstandard frames, so parts that are laid end to end in the order of blocks are one file, and its
bytes do not depend on who wrote which part when.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.cache import LayerCache
from workbench.corpus.layers import Strings
from workbench.corpus.near_copies import ShingleTable
from workbench.corpus.preparing import FACTS, PAGE_FACTS, TEXT, Prepared, layer_of
from workbench.corpus.shingles import Hashes
from workbench.data import corpus_folder
from workbench.data.corpus_folder import rejected_record
from workbench.data.documents import BadRecord, Document
from workbench.data.jsonl_zst import JsonlZstWriter
from workbench.files import digest_bytes, disk_errors_named

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


@dataclass(frozen=True)
class Writing:
    """The work on one block, as a function of its verdicts."""

    cache: LayerCache
    folder: Path
    shingles: Path | None = None
    """Where the hashes of the held-out side lie, see `keep_hashes`."""

    def __call__(self, verdicts: Verdicts) -> Written:
        """Writes the parts of a block. Raises NoSpace when the disk refuses."""
        block = verdicts.block
        if block.is_reference and not verdicts.samples:
            return Written(block.number, None, 0, None, np.zeros(0, dtype=np.int64), {})
        documents = list(documents_of(self.cache, block, len(verdicts.side)))
        train = self.folder / f"train-{block.number:07d}"
        rejected = self.folder / f"rejected-{block.number:07d}"
        for part in (train, rejected):
            part.unlink(missing_ok=True)  # of an attempt before
        in_train = [documents[place] for place in np.flatnonzero(verdicts.side == TRAIN)]
        json_bytes = 0
        if in_train:
            with JsonlZstWriter(train) as writer:
                for document in in_train:
                    corpus_folder.write_document(writer, document)
                json_bytes = writer.num_bytes
        left_out = list(_left_out(documents, verdicts))
        if left_out:
            with JsonlZstWriter(rejected) as writer:
                for record in left_out:
                    writer.write(record)
        marks = np.zeros(0, dtype=np.int64)
        if self.shingles is not None:
            marks = _table(self.shingles).places_in(document.text for document in in_train)
        return Written(
            block.number,
            train if in_train else None,
            json_bytes,
            rejected if left_out else None,
            marks,
            {place: documents[place].text[:SAMPLE_CHARACTERS] for place in verdicts.samples},
        )


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
