"""Documents that give test items away, left out of a corpus or only written down."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.cache import LayerCache
from workbench.corpus.contamination import ContaminationIndex, Found, Hits, RunTable
from workbench.corpus.contamination_report import Action, ContaminationReport
from workbench.corpus.eval_items import EvalItem, eval_items, items_digest
from workbench.corpus.intake import Intake, reject
from workbench.corpus.layers import Arrays
from workbench.corpus.preparing import layer_of

CONTAMINATED = "contaminated"
LAYER = "test_items"


@dataclass(frozen=True)
class TestItems:
    """The items of some evaluation sets, and what is done about them: the keys of [corpus.decontamination]."""

    __test__ = False  # what pytest asks of a class with this name

    index: ContaminationIndex
    digest: str
    ngram: int
    min_share: float
    action: Action


def read_test_items(
    names: Sequence[str], *, base: Path, ngram: int, min_share: float, action: Action
) -> TestItems:
    """The items of the sets `names`, whose paths are relative to `base`. Raises BadInput naming file and line."""
    items: list[EvalItem] = [item for name in names for item in eval_items(name, base=base)]
    index = ContaminationIndex(items, ngram=ngram)
    return TestItems(index, items_digest(items), ngram, min_share, action)


@dataclass(frozen=True)
class ItemHits:
    """The measure: which runs of words of test items stand in which text; a row a hit, not a row a text."""

    table: RunTable
    digest: str
    ngram: int
    layer: str = LAYER
    version: str = "1"

    @property
    def settings(self) -> Mapping[str, Any]:
        """The items and the length of a run."""
        return {"items": self.digest, "ngram": self.ngram}

    def figures(self, texts: Sequence[str]) -> Arrays:
        """The arrays `texts` and `runs`, [hits]."""
        hits = self.table.scan(texts)
        return {"texts": hits.texts_H, "runs": hits.runs_H}


Contaminated = Sequence[Sequence[Found]]
"""What each of some documents gives away, in order of documents; `Found.text` is the document's number."""


def leave_out_contaminated(intake: Intake, items: TestItems, *, cache: LayerCache) -> Contaminated:
    """Which documents that stay give items away; they are rejected if that is asked for."""
    contaminated: list[list[Found]] = []
    for found in _found(intake, items, cache):
        contaminated += found
        if items.action == "drop":
            documents = np.array([each[0].text for each in found], dtype=np.int64)
            shares = np.array([max(one.share for one in each) for each in found])
            reject(intake, documents, CONTAMINATED, shares)
    return contaminated


def write_contamination(
    folder: Path, intake: Intake, items: TestItems, contaminated: Contaminated, *, heldout: Collection[int]
) -> dict[str, Any]:
    """Writes down who gives which items away; gives back the figures. What is held out is not trained on.

    Raises NoSpace.
    """
    told = [found for found in contaminated if found[0].text not in heldout]
    numbers = np.array([found[0].text for found in told], dtype=np.int64)
    ids, blocks = intake.table.ids(numbers), intake.table.blocks_of(numbers).tolist()
    with ContaminationReport(
        folder, items.index, ngram=items.ngram, min_share=items.min_share, action=items.action
    ) as report:
        for name, block, found in zip(ids, blocks, told, strict=True):
            report.add(name, intake.blocks[block].source, found)
        facts = report.write()
    sets = [{key: each[key] for key in ("name", "items", "too_short", "seen")} for each in facts["sets"]]
    return {"action": items.action, "documents": facts["documents"], "sets": sets}


def _found(intake: Intake, items: TestItems, cache: LayerCache) -> Iterator[list[list[Found]]]:
    """Of each block with documents that stay and give items away, what each document gives away, in order."""
    for number, block in enumerate(intake.blocks):
        if block.is_reference:
            continue
        span = intake.table.block(number)
        arrays = layer_of(cache, block, LAYER)
        texts: NDArray[np.int64] = arrays["texts"].astype(np.int64)
        stay = intake.table.columns["reason"][span] == 0
        within = texts < len(stay)
        counts = np.zeros(len(texts), dtype=bool)
        counts[within] = stay[texts[within]]
        hits = Hits(arrays["texts"][counts], arrays["runs"][counts])
        judged = items.index.judge(hits, min_share=items.min_share)
        numbered = [Found(span.start + each.text, each.item, each.share) for each in judged]
        if numbered:
            yield [list(group) for _, group in itertools.groupby(numbered, key=lambda one: one.text)]
