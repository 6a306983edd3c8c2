"""Near duplicates: candidates by shared bands of their signatures, verified by true Jaccard, one kept of each cluster.

    near.add(numbers, sketches)                     for every block, in any order
    for _ in near.find_candidates(): ...            which documents have to be compared with another
    near.add_sets(numbers, shingle_sets(texts))     for those that `near.wanted(numbers)` names
    for _ in near.decide(): ...                     compares them
    near.kept_for(numbers), near.clusters()         which are removed, for which, and how similar they are

Everything that grows with the corpus lies in files of a scratch folder. The result depends on the documents and
their numbers alone, not on the order of the calls.

Which one is kept is a rule. Documents have an order: by number (`keep="first"`: the sources as the recipe writes
them), or by words, most first (`"longest"`); what was `seen` before always comes first and is never removed.
With `chains="cut"` documents are looked at in that order, and one is removed if it is near a *kept* one before it, the
first such: in a chain A ~ B ~ C where A and C are not near, B goes and C stays, so nothing is removed but what is
near a document that stays. `chains="whole"` keeps the first of everything that is linked (single linkage).

In a bucket of documents with the same band, each is compared with the first COMPARED and the COMPARED before it:
a million copies of a cookie notice cost a million comparisons, not their square.

Shapes: N documents, M records.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.buckets import pairs_in_buckets
from workbench.corpus.clusters import NUMBER_BITS, cut_chains, number_of, whole_chains
from workbench.corpus.disk_array import disk_array
from workbench.corpus.set_store import SetStore
from workbench.corpus.sketches import MinHash, ShingleSets, Sketches, band_hashes
from workbench.corpus.sorted_records import Records, SortedRecords
from workbench.files import make_folders

Keep = Literal["first", "longest"]
Chains = Literal["cut", "whole"]
Numbers = NDArray[np.int64]

NOT_REMOVED = -1
MOST_DOCUMENTS = 2**32 - 1
_SEEN, _ORDINARY = 0, 1  # the upper half of a document's place in the order; the lower half is its number
_LONGEST = 2**31


@dataclass(frozen=True, slots=True)
class Cluster:
    """A document that is kept, and those that are removed for it with their Jaccard similarities to it."""

    kept: int
    removed: Numbers
    jaccard: NDArray[np.float32]


@dataclass
class Figures:
    """What it took: documents looked at, pairs that shared a band, pairs compared, documents removed."""

    documents: int = 0
    candidates: int = 0
    compared: int = 0
    removed: int = 0


class NearDuplicates:
    """Finds near duplicates (see the module). A context manager; its folder is gone when it ends.

    `jaccard`: how similar shingle sets must be, at least. `memory_bytes` bounds what is held at a time. Document
    numbers are below 2**32 - 1. Raises NoSpace when the disk refuses.
    """

    def __init__(
        self,
        folder: Path,
        settings: MinHash,
        *,
        jaccard: float,
        keep: Keep = "first",
        chains: Chains = "cut",
        memory_bytes: int = 64_000_000,
    ) -> None:
        make_folders(folder)
        self._folder = folder
        self._settings = settings
        self._jaccard = jaccard
        self._keep = keep
        self._settle = cut_chains if chains == "cut" else whole_chains
        self._memory_bytes = memory_bytes
        self._bands = SortedRecords(folder, "bands", columns=2, memory_bytes=memory_bytes // 2)
        self._pairs = SortedRecords(folder, "pairs", columns=2, memory_bytes=memory_bytes // 4, unique=True)
        self._removals = SortedRecords(folder, "removals", columns=3, memory_bytes=memory_bytes // 8)
        self._limit = 0  # one more than the highest number
        self.figures = Figures()

    def __enter__(self) -> NearDuplicates:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, numbers: Numbers, sketches: Sketches, *, seen: bool = False) -> None:
        """Take in documents by their sketches. `seen` ones were written elsewhere: others go for them, they never."""
        there = np.flatnonzero(sketches.shingles_N)  # without words there is nothing to be near to
        self.figures.documents += len(numbers)
        if not len(there):
            return
        numbers = numbers[there]
        assert int(numbers.min()) >= 0 and int(numbers.max()) < MOST_DOCUMENTS
        self._limit = max(self._limit, int(numbers.max()) + 1)
        order_N = self._order(numbers, sketches.shingles_N[there], seen)
        hashes_NB = band_hashes(sketches.signatures_NP[there], self._settings)
        records = np.stack((hashes_NB.T.ravel(), np.tile(order_N, self._settings.bands)), axis=1)
        self._bands.add(records)

    def _order(self, numbers: Numbers, shingles_N: Numbers, seen: bool) -> NDArray[np.uint64]:
        """Where each document stands in the order of keeping; its number is the lower half."""
        first = np.full(len(numbers), _SEEN if seen else _ORDINARY, dtype=np.uint64)
        if self._keep == "longest" and not seen:
            first += (_LONGEST - np.minimum(shingles_N, _LONGEST)).astype(np.uint64)
        return (first << NUMBER_BITS) | numbers.astype(np.uint64)

    def find_candidates(self) -> Iterator[int]:
        """Pairs the documents that share a band; yields how many times that was so far. After all `add`."""
        self._wanted = disk_array(self._folder / "wanted", dtype=np.bool_, length=self._limit)
        self._sets = SetStore(self._folder, limit=self._limit, memory_bytes=self._memory_bytes // 4)
        for pairs in pairs_in_buckets(self._bands):
            pairs = pairs[pairs[:, 0] >> NUMBER_BITS != _SEEN]
            self._wanted[number_of(pairs)] = True
            self._pairs.add(pairs)
            self.figures.candidates += len(pairs)
            yield self.figures.candidates
        self._bands.close()

    def wanted(self, numbers: Numbers) -> NDArray[np.bool_]:
        """Which of these documents have to give their shingle sets."""
        known = numbers < self._limit
        found = np.zeros(len(numbers), dtype=bool)
        found[known] = self._wanted[numbers[known]]
        return found

    def add_sets(self, numbers: Numbers, sets: ShingleSets) -> None:
        """Take in the shingle sets of wanted documents."""
        self._sets.add(numbers, sets)

    def decide(self) -> Iterator[int]:
        """Compares the candidates; yields how many pairs were so far. After the sets of all wanted documents."""
        self._kept_for = disk_array(self._folder / "kept_for", dtype=np.uint32, length=self._limit)
        self._similar = disk_array(self._folder / "similar", dtype=np.float32, length=self._limit)
        for found in self._settle(
            self._pairs, self._sets, jaccard=self._jaccard, limit=self._limit, scratch=self._folder
        ):
            self._kept_for[found.removed_M] = found.kept_M + 1
            self._similar[found.removed_M] = found.jaccard_M
            bits = found.jaccard_M.astype(np.float32).view(np.uint32)
            self._removals.add(np.stack((found.kept_M, found.removed_M, bits), axis=1).astype(np.uint64))
            self.figures.compared += found.compared
            self.figures.removed += len(found.removed_M)
            yield self.figures.compared
        self._pairs.close()
        self._sets.close()

    def kept_for(self, numbers: Numbers) -> tuple[Numbers, NDArray[np.float32]]:
        """For each document the one kept instead of it, or NOT_REMOVED, and how similar the two are."""
        known = numbers < self._limit
        kept = np.full(len(numbers), NOT_REMOVED, dtype=np.int64)
        similar = np.zeros(len(numbers), dtype=np.float32)
        kept[known] = self._kept_for[numbers[known]].astype(np.int64) - 1
        similar[known] = self._similar[numbers[known]]
        return kept, similar

    def clusters(self) -> Iterator[Cluster]:
        """All clusters, in order of the number of the kept document; the removed ones in order too."""
        held = np.zeros((0, 3), dtype=np.uint64)
        for chunk in self._removals:
            held = np.concatenate((held, chunk))
            opens = np.flatnonzero(np.insert(held[1:, 0] != held[:-1, 0], 0, True))
            yield from (_cluster(each) for each in np.split(held, opens[1:])[:-1])
            held = held[opens[-1] :]
        if len(held):
            yield _cluster(held)


def _cluster(records_M3: Records) -> Cluster:
    similar = records_M3[:, 2].astype(np.uint32).view(np.float32)
    return Cluster(int(records_M3[0, 0]), records_M3[:, 1].astype(np.int64), similar)
