"""Copies left out of a corpus that was taken in: equal documents, then those that say nearly the same.

What stays and what goes is exact_duplicates.py's and near_duplicates.py's to say; here their answers are written
into the table of documents, and their questions are answered from the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.cache import LayerCache, key_of
from workbench.corpus.exact_duplicates import NOT_REMOVED, ExactDuplicates
from workbench.corpus.intake import Intake, reject
from workbench.corpus.layers import Strings
from workbench.corpus.near_duplicates import Chains, Keep, NearDuplicates
from workbench.corpus.preparing import TEXT, Prepared, layer_of
from workbench.corpus.report.clusters import Clusters, clusters_of
from workbench.corpus.sketches import MinHash, ShingleSets, Sketches, shingle_sets
from workbench.corpus.workers import WorkerPool

DUPLICATE, NEAR_DUPLICATE = "duplicate", "near_duplicate"
SKETCH, SETS = "sketch", "shingle_sets"
Told = Callable[[int, int | None, str], None]
"""Told how far it is: done, of how many, of what."""


@dataclass(frozen=True, slots=True)
class NearSettings:
    """How near duplicates are found, and which copy stays: the keys of [corpus.near_duplicates]."""

    minhash: MinHash
    jaccard: float
    keep: Keep = "first"
    chains: Chains = "cut"
    memory_bytes: int = 64_000_000

    def open(self, folder: Path) -> NearDuplicates:
        """A search for them, with its scratch files in `folder`."""
        return NearDuplicates(
            folder,
            self.minhash,
            jaccard=self.jaccard,
            keep=self.keep,
            chains=self.chains,
            memory_bytes=self.memory_bytes,
        )


def leave_out_exact(intake: Intake, exact: ExactDuplicates, told: Told) -> None:
    """Rejects every document that is the same as one before it. `exact` knows those that stayed until here."""
    for looked_at in exact.decide():
        told(looked_at, None, "documents compared")
    for number in range(len(intake.blocks)):
        span = intake.table.block(number)
        documents = np.arange(span.start, span.stop)
        kept = exact.kept_for(documents)
        is_copy = kept != NOT_REMOVED
        reject(intake, documents[is_copy], DUPLICATE, 0.0, copies_of=kept[is_copy])


def leave_out_near(
    intake: Intake, settings: NearSettings, *, cache: LayerCache, pool: WorkerPool, scratch: Path, told: Told
) -> None:
    """Rejects every document that is nearly the same as another that stays. Raises NoSpace."""
    with settings.open(scratch) as near:
        for number, block in enumerate(intake.blocks):
            arrays, documents = layer_of(cache, block, SKETCH), _staying(intake, number)
            places = documents - intake.table.first_of_block[number]
            sketches = Sketches(arrays["signatures"][places], arrays["shingles"][places])
            near.add(documents, sketches, seen=block.is_reference)
            told(intake.table.first_of_block[number + 1], len(intake.table), "documents sketched")
        for pairs in near.find_candidates():
            told(pairs, None, "pairs found")
        wanted = list(_wanted(intake, near))
        answers = pool.map(
            FetchingSets(cache, settings.minhash),
            [(block, places) for block, _, places in wanted],
            size=lambda item: item[0].num_bytes,
            name=lambda item: item[0].file,
        )
        for place, ((_, documents, _), sets) in enumerate(zip(wanted, answers, strict=True), 1):
            near.add_sets(documents, sets)
            told(place, len(wanted), "blocks compared")
        for compared in near.decide():
            told(compared, near.figures.candidates, "pairs compared")
        for number, block in enumerate(intake.blocks):
            if not block.is_reference:
                documents = _staying(intake, number)
                kept, similar = near.kept_for(documents)
                gone = kept != NOT_REMOVED
                reject(intake, documents[gone], NEAR_DUPLICATE, similar[gone], copies_of=kept[gone])


def _staying(intake: Intake, number: int) -> NDArray[np.int64]:
    """The documents of a block that no step has rejected."""
    span = intake.table.block(number)
    places: NDArray[np.int64] = np.flatnonzero(intake.table.columns["reason"][span] == 0)
    return places + np.int64(span.start)


def _wanted(
    intake: Intake, near: NearDuplicates
) -> Iterator[tuple[Prepared, NDArray[np.int64], Sequence[int]]]:
    """The blocks with documents that have to be compared: which documents, and their places in the block."""
    for number, block in enumerate(intake.blocks):
        documents = _staying(intake, number)
        documents = documents[near.wanted(documents)]
        if len(documents):
            yield block, documents, (documents - intake.table.first_of_block[number]).tolist()


@dataclass(frozen=True)
class FetchingSets:
    """The shingle sets of some documents of a block, kept like any layer."""

    cache: LayerCache
    minhash: MinHash

    def __call__(self, wanted: tuple[Prepared, Sequence[int]]) -> ShingleSets:
        """The sets of the documents at some places of a block."""
        block, places = wanted
        key = key_of(block.keys[TEXT], self.minhash.ngram, list(places))
        arrays = self.cache.get(SETS, key)
        if arrays is None:
            texts = Strings(layer_of(self.cache, block, TEXT), TEXT)
            sets = shingle_sets([texts[place] for place in places], self.minhash)
            arrays = {"hashes": sets.hashes, "counts": sets.counts_N}
            self.cache.put(SETS, key, arrays)
        return ShingleSets(arrays["hashes"], arrays["counts"])


def clusters_in(intake: Intake) -> Clusters:
    """Who is a copy of whom, of all that was left out as a copy."""
    others = intake.table.columns["other"]
    copies = np.flatnonzero(others >= 0)
    kept = np.asarray(others[copies])
    # The first of equal documents may itself be near another one, which is the one that stays.
    of_kept = np.asarray(others[kept])
    return clusters_of(copies, np.where(of_kept >= 0, of_kept, kept))
