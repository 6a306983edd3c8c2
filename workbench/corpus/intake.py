"""All blocks taken in, in order: every document numbered, judged by the rules and counted. No text is held.

    prepared block ─ layers facts and figures ─ rules ─▶ one row a document in the table, counts in the report

What is to be compared among all documents (copies, the split) comes after, over the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.c4_lines import DROPPED
from workbench.corpus.cache import LayerCache
from workbench.corpus.document_table import DocumentTable
from workbench.corpus.editing import MASKED_SAMPLES
from workbench.corpus.exact_duplicates import ExactDuplicates
from workbench.corpus.filters import decide, rules_of
from workbench.corpus.layers import Strings
from workbench.corpus.pii import KINDS
from workbench.corpus.preparing import FACTS, TEXT, Prepared, layer_of
from workbench.corpus.report.funnel import Funnel
from workbench.corpus.report.histograms import Histogram
from workbench.corpus.report.sources import SourceReport
from workbench.errors import BadInput

NO_FIGURES = {TEXT, FACTS, "sketch", "parts", "test_items"}
"""Layers that no rule looks at."""
READ = "read"
"""The step in which bad records are left out."""


@dataclass
class Intake:
    """What is known after all blocks were taken in."""

    table: DocumentTable
    reasons: list[str]
    """Reason code in the table -> reason, code 1 first."""
    funnel: Funnel
    sources: SourceReport = field(default_factory=SourceReport)
    blocks: list[Prepared] = field(default_factory=list)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    made_seconds: Counter[str] = field(default_factory=Counter)
    """CPU seconds by layer that was not in the cache."""
    made_blocks: Counter[str] = field(default_factory=Counter)
    not_judged: Counter[str] = field(default_factory=Counter)
    """Documents that a rule had nothing to say of, by its reason: their script or language."""
    lines_dropped: Counter[str] = field(default_factory=Counter)
    """Lines that were cut out of documents, by reason."""
    masked: Counter[str] = field(default_factory=Counter)
    """What was masked, by kind, and samples made unreadable."""
    masked_samples: dict[str, list[str]] = field(default_factory=dict)
    whole_figures: set[str] = field(default_factory=set)
    """Reasons whose figure counts something, and is no share."""
    finished: set[str] = field(default_factory=set)
    """Sources of which enough documents are in."""

    def code(self, reason: str) -> int:
        """The code of `reason`, a new one if it has none."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        return self.reasons.index(reason) + 1

    @property
    def staying(self) -> NDArray[np.bool_]:
        """Which documents are ours and no step has rejected so far."""
        stay = np.asarray(self.table.columns["reason"] == 0)
        for number, block in enumerate(self.blocks):
            if block.is_reference:
                stay[self.table.block(number)] = False
        return stay


class Judge:
    """Takes blocks in, one after the other."""

    def __init__(
        self,
        cache: LayerCache,
        table: DocumentTable,
        *,
        filters: Sequence[str],
        thresholds: Mapping[str, Mapping[str, Any]],
        later_steps: Mapping[str, Sequence[str]],
        exact: ExactDuplicates | None,
        max_documents: int | None,
        max_bad_records: float,
    ) -> None:
        """filters: in order, and their thresholds, see `rules_of`. later_steps: the steps that come after them, with
        the reasons that each may have.
        """
        self._cache = cache
        self._rules = rules_of(filters, thresholds)
        self._exact = exact
        self._max_documents = max_documents
        self._max_bad_records = max_bad_records
        # The figures that somebody asks about; `stop_words` stands for `stop_words_en` and its like.
        self._figures = ("characters", *{rule.check.figure for rule in self._rules})
        by_step = {name: [rule.reason for rule in rules_of([name], thresholds)] for name in filters}
        reasons = [rule.reason for rule in self._rules]
        self.intake = Intake(table, reasons, Funnel({READ: [], **by_step, **later_steps}))

    def take_in(self, blocks: Iterable[Prepared]) -> Iterator[Prepared]:
        """Yields every block after it was taken in. Raises BadInput when a source is full of bad records or empty."""
        for block in blocks:
            if block.source not in self.intake.finished:
                self._take(block)
            yield block
        for name, counts in self.intake.sources.sources.items():
            if not counts.read + counts.bad:
                raise BadInput("holds no text", file=name, fix="give a source with text in it")
        self.intake.sources.check_bad_share(self._max_bad_records)

    def _take(self, block: Prepared) -> None:
        intake = self.intake
        intake.made_seconds.update(block.made)
        intake.made_blocks.update(block.made.keys())
        facts = layer_of(self._cache, block, FACTS)
        block, count = self._within_limit(block, len(facts["characters"]))
        columns = columns_of(self._cache, block, count)
        for rule in self._rules:
            column = columns.get(rule.check.figure)
            if column is None or np.issubdtype(column.dtype, np.integer):
                intake.whole_figures.add(rule.reason)
        decided = decide(columns, self._rules)
        reason = decided.rules_D
        if block.is_reference:
            reason[:] = 0
        else:
            self._report(block, facts, columns, reason)
            intake.not_judged.update(decided.not_judged)
        first = len(intake.table)
        ends = facts["id_ends"][:count]
        rows: dict[str, NDArray[Any]] = {
            name: facts[name][:count] for name in ("characters", "bytes", "position", "heldout")
        }
        rows |= {"reason": reason, "figure": decided.figures_D, "other": np.full(count, -1)}
        intake.table.append(rows, facts["id"], ends)
        intake.blocks.append(block)
        if self._exact is not None:
            stay = np.flatnonzero(reason == 0)
            self._exact.add(first + stay, facts["digest"][:count][stay], seen=block.is_reference)

    def _within_limit(self, block: Prepared, count: int) -> tuple[Prepared, int]:
        """The block up to and including the last document that is asked for of its source."""
        if self._max_documents is None or block.is_reference:
            return block, count
        room = self._max_documents - self.intake.sources.of(block.source).read
        if count >= room:
            self.intake.finished.add(block.source)
            # What stands behind the last document was never looked at.
            return replace(block, bad=tuple(each for each in block.bad if each[0] < room)), room
        return block, count

    def _report(
        self,
        block: Prepared,
        facts: Mapping[str, NDArray[Any]],
        columns: Mapping[str, NDArray[Any]],
        reason: NDArray[np.uint16],
    ) -> None:
        intake, count = self.intake, len(reason)
        intake.sources.read(
            block.source,
            raw_bytes=facts["raw_bytes"][:count],
            foreign_bytes=facts["foreign_bytes"][:count],
            changed=facts["changed"][:count],
            removed=facts["removed"][:count],
        )
        for _, record in block.bad:
            intake.sources.bad(record, max_share=self._max_bad_records)
        lines = facts["lines_dropped"][:count].sum(axis=0, dtype=np.int64).tolist()
        intake.lines_dropped.update(dict(zip(DROPPED[: len(lines)], lines, strict=True)))
        masked = facts["masked"][:count].sum(axis=0, dtype=np.int64).tolist()
        intake.masked.update(dict(zip(KINDS[: len(masked)], masked, strict=True)))
        for sample in Strings(facts, "masked_sample"):
            kind, _, shape = sample.partition(" ")
            shown = intake.masked_samples.setdefault(kind, [])
            if len(shown) < MASKED_SAMPLES:
                shown.append(shape)
        intake.funnel.read.add(count, int(facts["bytes"][:count].sum(dtype=np.int64)))
        for name, values in columns.items():
            if name.startswith(self._figures) and np.issubdtype(values.dtype, np.number):
                intake.histograms.setdefault(name, Histogram()).add(values)
        count_rejected(intake, block.source, reason, facts["bytes"][:count])


def columns_of(cache: LayerCache, block: Prepared, count: int) -> dict[str, NDArray[Any]]:
    """What the rules look at: the figures of a block's first `count` documents, by name."""
    columns: dict[str, NDArray[Any]] = {}
    for layer in block.keys.keys() - NO_FIGURES:
        columns |= {name: column[:count] for name, column in layer_of(cache, block, layer).items()}
    if "language" in columns:  # a layer holds numbers only
        columns["language"] = columns["language"].reshape(-1).view("S8").astype("U8")
    columns["characters"] = layer_of(cache, block, FACTS)["characters"][:count]
    columns.setdefault("bad_words", np.zeros(count, dtype=np.uint32))
    return columns


def count_rejected(intake: Intake, source: str, reason: NDArray[np.uint16], num_bytes: NDArray[Any]) -> None:
    """Count documents of `source` that are newly rejected: where `reason`, [documents], is not 0."""
    for code in np.unique(reason):
        if code:
            name = intake.reasons[int(code) - 1]
            lost = reason == code
            intake.sources.of(source).rejected[name] += int(lost.sum())
            intake.funnel.reject(name, int(lost.sum()), int(num_bytes[lost].sum(dtype=np.int64)))


def reject(
    intake: Intake,
    documents: NDArray[np.int64],
    reason: str,
    figures: NDArray[Any] | float,
    *,
    copies_of: NDArray[np.int64] | None = None,
) -> None:
    """Leave `documents`, in ascending order, out for `reason`; none of them is only compared with."""
    table = intake.table
    table.columns["reason"][documents] = intake.code(reason)
    table.columns["figure"][documents] = figures
    if copies_of is not None:
        table.columns["other"][documents] = copies_of
    blocks = table.blocks_of(documents)
    for number in np.unique(blocks).tolist():
        lost = documents[blocks == number]
        codes = np.full(len(lost), intake.code(reason), dtype=np.uint16)
        sizes = np.asarray(table.columns["bytes"][lost])
        count_rejected(intake, intake.blocks[number].source, codes, sizes)
