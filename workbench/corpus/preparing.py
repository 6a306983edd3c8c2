"""One block through every layer: documents, clean text, facts, figures; what is cached is not done again.

    raw block ─ extract ─ edit ─┬─ text      the texts
                                ├─ facts     ids, sizes, digests: what every decision needs
                                └─ measures  figures for the rules, sketches for near duplicates

Runs in any process; what it gives back is small, the layers lie in the cache.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.corpus import extracting
from workbench.corpus.blocks import Block
from workbench.corpus.cache import LayerCache, key_of
from workbench.corpus.editing import Editing, edit
from workbench.corpus.exact_duplicates import folded_digests
from workbench.corpus.extracting import extracted
from workbench.corpus.layers import Arrays, Strings, strings_to_arrays
from workbench.corpus.measures import Measure
from workbench.corpus.sources import Reading
from workbench.data.documents import BadRecord, Document
from workbench.data.split import position
from workbench.errors import WorkbenchError

VERSION = 4
"""Raised when the same documents give another text or other facts than before."""
TEXT, FACTS = "text", "facts"
PAGE_FACTS = ("url", "title", "language")
"""What of a Document is kept where there is some."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A block whose layers are in the cache. `keys` are theirs by layer."""

    number: int
    source: str
    file: str
    keys: dict[str, str]
    bad: tuple[tuple[int, BadRecord], ...]
    """Bad records, each with the number of documents of the block that stand before it."""
    num_bytes: int
    """Raw bytes."""
    done_bytes: int
    is_reference: bool
    made: dict[str, float] = field(default_factory=dict)
    """CPU seconds of the layers that were not there yet."""


@dataclass(frozen=True)
class Preparation:
    """The work on one block, as a function of it."""

    cache: LayerCache
    reading: Reading
    editing: Editing
    measures: tuple[Measure, ...] = ()

    def __call__(self, block: Block) -> Prepared:
        """The block with all its layers in the cache. Raises NoSpace when the disk refuses."""
        made: dict[str, float] = {}
        text_key = key_of(
            block.digest(),
            [extracting.VERSION, *_reading_of(block, self.reading)],
            [VERSION, dataclasses.asdict(self.editing)],
        )
        keys = {TEXT: text_key, FACTS: text_key}
        facts, stored = self.cache.get(FACTS, text_key), self.cache.get(TEXT, text_key)
        texts: Sequence[str] | None = None
        if facts is None or stored is None:
            started = time.process_time()
            facts, texts = _documents(block, self.reading, self.editing)
            self.cache.put(TEXT, text_key, strings_to_arrays(TEXT, texts))
            self.cache.put(FACTS, text_key, facts)
            made[TEXT] = time.process_time() - started
        for measure in self.measures:
            key = key_of(text_key, measure.layer, measure.version, dict(measure.settings))
            keys[measure.layer] = key
            if self.cache.get(measure.layer, key) is None:
                started = time.process_time()
                if texts is None:
                    assert stored is not None
                    texts = list(Strings(stored, TEXT))
                self.cache.put(measure.layer, key, measure.figures(texts))
                made[measure.layer] = time.process_time() - started
        return Prepared(
            block.number,
            block.source,
            block.file,
            keys,
            tuple(_bad_records(facts, block)),
            block.num_bytes,
            block.done_bytes,
            block.is_reference,
            made,
        )


def _documents(block: Block, reading: Reading, editing: Editing) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The layer `facts` of a block, and its texts."""
    documents: list[Document] = []
    bad: list[tuple[int, int, BadRecord]] = []
    for number, piece in enumerate(block.pieces):
        for record in extracted(block, piece, reading):
            if isinstance(record, BadRecord):
                bad.append((len(documents), number, record))
            else:
                documents.append(record)
    raw_bytes = [len(document.text.encode("utf-8", "surrogatepass")) for document in documents]
    edited = edit([document.text for document in documents], editing)
    facts: dict[str, NDArray[Any]] = {
        "characters": np.array([len(text) for text in edited.texts], dtype=np.uint32),
        "bytes": np.array([len(text.encode()) for text in edited.texts], dtype=np.uint32),
        "raw_bytes": np.array(raw_bytes, dtype=np.uint32),
        "foreign_bytes": np.array([document.foreign_bytes for document in documents], dtype=np.uint32),
        "changed": edited.changed,
        "removed": edited.removed,
        "lines_dropped": edited.lines_dropped,
        # -1 where the hash decides, else 0 or 1 as the source has it.
        "heldout": np.array(
            [-1 if document.heldout is None else document.heldout for document in documents], dtype=np.int8
        ),
        "position": np.array([position(text) for text in edited.texts], dtype=np.uint64),
        "digest": folded_digests(edited.texts),
        "masked": edited.masked,
        **strings_to_arrays("masked_sample", edited.masked_samples),
        **strings_to_arrays("id", [document.id for document in documents]),
        **_said_of_pages(documents),
        "bad_before": np.array([before for before, _, _ in bad], dtype=np.uint32),
        "bad_piece": np.array([number for _, number, _ in bad], dtype=np.uint32),
        "bad_at_fault": np.array([record.at_fault for _, _, record in bad], dtype=bool),
        "bad_line": np.array([record.line for _, _, record in bad], dtype=np.uint64),
        **strings_to_arrays("bad_reason", [record.reason for _, _, record in bad]),
        **strings_to_arrays("bad_detail", [record.detail for _, _, record in bad]),
    }
    return facts, edited.texts


def _reading_of(block: Block, reading: Reading) -> list[Any]:
    """What of `reading` the documents of `block` follow from."""
    extraction = reading.extraction
    key = extraction.key_of(block.source)
    return [key, reading.text_split, extraction.html_text, dataclasses.astuple(extraction.html_limits)]


def _said_of_pages(documents: Sequence[Document]) -> dict[str, NDArray[Any]]:
    """Where pages were found and what they are called; nothing where no document is one."""
    arrays: dict[str, NDArray[Any]] = {}
    for name in PAGE_FACTS:
        values = [getattr(document, name) for document in documents]
        if any(values):
            arrays |= strings_to_arrays(name, values)
    return arrays


def _bad_records(facts: Arrays, block: Block) -> Iterator[tuple[int, BadRecord]]:
    reasons, details = Strings(facts, "bad_reason"), Strings(facts, "bad_detail")
    for place, before in enumerate(facts["bad_before"]):
        record = BadRecord(
            block.source,
            int(facts["bad_line"][place]),
            reasons[place],
            # Not from the cache: the same bytes may lie in another folder now.
            block.pieces[int(facts["bad_piece"][place])].file,
            details[place],
            at_fault=bool(facts["bad_at_fault"][place]),
        )
        yield int(before), record


def layer_of(cache: LayerCache, block: Prepared, layer: str) -> dict[str, NDArray[Any]]:
    """A layer of a block that was prepared. Raises WorkbenchError when it is gone since then."""
    arrays = cache.get(layer, block.keys[layer])
    if arrays is None:
        raise WorkbenchError(
            f"the cached {layer} of a block was damaged or taken away while the run worked",
            file=block.file,
            fix="`workbench resume` makes it again",
        )
    return arrays
