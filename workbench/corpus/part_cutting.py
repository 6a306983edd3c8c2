"""Repeated parts cut out of the documents of a corpus that was taken in: their texts become another layer."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.cache import LayerCache, key_of
from workbench.corpus.intake import Intake, reject
from workbench.corpus.layers import Arrays, Strings, strings_to_arrays
from workbench.corpus.preparing import TEXT, Prepared, layer_of
from workbench.corpus.repeated_parts import (
    PartDigests,
    PartSettings,
    RepeatedParts,
    Unit,
    part_digests,
    without_parts,
)
from workbench.corpus.workers import WorkerPool

PARTS = "parts"
CUT_OUT, NOTHING_LEFT = "repeated_parts", "only_repeated_parts"
"""What bytes are lost for, and what documents are rejected for of which too little is left."""
Cuts = Mapping[int, list[int]]
"""By place in its block, which parts of a document go."""


@dataclass(frozen=True)
class PartsOf:
    """The measure: digests of the long enough parts of each text; a row a part, and `counts` of them a text."""

    of: PartSettings
    layer: str = PARTS
    version: str = "1"

    @property
    def settings(self) -> Mapping[str, Any]:
        """What a part is; how many copies stay is decided later."""
        return {"unit": self.of.unit, "min_characters": self.of.min_characters}

    def figures(self, texts: Sequence[str]) -> Arrays:
        """The arrays `digests` and `indices`, [parts], and `counts`, [texts]."""
        parts = part_digests(texts, self.of)
        return {"digests": parts.digests_K, "indices": parts.indices_K, "counts": parts.counts_N}


@dataclass
class CutOut:
    """What was cut out of the documents that stay."""

    documents: int = 0
    parts: int = 0
    bytes: int = 0


def cut_repeated_parts(
    intake: Intake,
    settings: PartSettings,
    *,
    memory_bytes: int,
    min_characters: int,
    cache: LayerCache,
    pool: WorkerPool,
    scratch: Path,
    told: Callable[[int, int | None, str], None],
) -> CutOut:
    """Cuts parts that stand in documents before; a document of fewer than `min_characters` after that is rejected.

    Raises NoSpace.
    """
    done = CutOut()
    with RepeatedParts(scratch, settings, memory_bytes=memory_bytes) as parts:
        for number in range(len(intake.blocks)):
            if not intake.blocks[number].is_reference:
                parts.add(*_parts_that_stay(intake, number, cache))
        for looked_at in parts.decide():
            told(looked_at, None, "parts compared")
        answers = pool.map(
            Cutting(cache, settings.unit),
            _by_block(intake, parts.repeated()),
            size=lambda item: item.block.num_bytes,
            name=lambda item: item.block.file,
        )
        for cut in answers:
            _take_over(intake, cut, min_characters, done)
            told(intake.table.first_of_block[cut.number + 1], len(intake.table), "documents cut")
    return done


def _parts_that_stay(intake: Intake, number: int, cache: LayerCache) -> tuple[NDArray[np.int64], PartDigests]:
    """The documents of a block that no step has rejected, and their parts."""
    span = intake.table.block(number)
    stays = np.asarray(intake.table.columns["reason"][span] == 0)
    arrays = layer_of(cache, intake.blocks[number], PARTS)
    counts = arrays["counts"][: len(stays)]
    of_staying = np.repeat(stays, counts)
    held = int(counts.sum())
    digests = PartDigests(
        arrays["digests"][:held][of_staying], arrays["indices"][:held][of_staying], counts[stays]
    )
    return np.flatnonzero(stays) + np.int64(span.start), digests


@dataclass(frozen=True, slots=True)
class ToCut:
    """A block, the `number` of its place in the corpus, and what is cut out of it."""

    number: int
    block: Prepared
    cuts: Cuts


def _by_block(intake: Intake, repeated: Iterator[tuple[int, list[int]]]) -> Iterator[ToCut]:
    """What goes, block by block."""
    firsts = intake.table.first_of_block
    held: dict[int, list[int]] = {}
    number = 0
    for document, indices in repeated:
        if document >= firsts[number + 1]:
            if held:
                yield ToCut(number, intake.blocks[number], held)
            held = {}
            number = bisect.bisect_right(firsts, document) - 1
        held[document - firsts[number]] = indices
    if held:
        yield ToCut(number, intake.blocks[number], held)


@dataclass(frozen=True, slots=True)
class Cut:
    """A block with parts cut out: the key of its layer of texts, and of each document that was cut its new sizes."""

    number: int
    key: str
    places: NDArray[np.int64]
    characters: NDArray[np.uint32]
    bytes: NDArray[np.uint32]
    parts: int
    """How many were cut out."""


@dataclass(frozen=True)
class Cutting:
    """The work on one block: another layer of texts."""

    cache: LayerCache
    unit: Unit

    def __call__(self, wanted: ToCut) -> Cut:
        """The block without what goes. Raises NoSpace."""
        block, cuts = wanted.block, wanted.cuts
        texts = list(Strings(layer_of(self.cache, block, TEXT), TEXT))
        for place, indices in cuts.items():
            texts[place] = without_parts(texts[place], self.unit, indices)
        key = key_of(block.keys[TEXT], self.unit, [[place, indices] for place, indices in cuts.items()])
        if self.cache.get(TEXT, key) is None:
            self.cache.put(TEXT, key, strings_to_arrays(TEXT, texts))
        return Cut(
            wanted.number,
            key,
            np.array(list(cuts), dtype=np.int64),
            np.array([len(texts[place]) for place in cuts], dtype=np.uint32),
            np.array([len(texts[place].encode()) for place in cuts], dtype=np.uint32),
            sum(map(len, cuts.values())),
        )


def _take_over(intake: Intake, cut: Cut, min_characters: int, done: CutOut) -> None:
    """Let the block have the new texts from here on."""
    block = intake.blocks[cut.number]
    intake.blocks[cut.number] = dataclasses.replace(block, keys={**block.keys, TEXT: cut.key})
    columns = intake.table.columns
    documents = cut.places + intake.table.first_of_block[cut.number]
    lost = int(columns["bytes"][documents].sum(dtype=np.int64)) - int(cut.bytes.sum(dtype=np.int64))
    columns["characters"][documents], columns["bytes"][documents] = cut.characters, cut.bytes
    intake.funnel.reject(CUT_OUT, 0, lost)
    done.documents += len(documents)
    done.parts += cut.parts
    done.bytes += lost
    short = cut.characters < max(1, min_characters)
    reject(intake, documents[short], NOTHING_LEFT, cut.characters[short])
