"""Which test items stand in training text: shared runs of words, 13 by default (GPT-3: Brown et al. 2020, appendix C).

    index = ContaminationIndex(items, ngram=13)      the test side alone is held, so memory is bounded by it
    hits = index.table.scan(texts)                   for every block: which runs stand in which text
    found = index.judge(hits, min_share=…)           which items that means

A passage shorter than `ngram` words is looked for as a whole, if it has MIN_WORDS; still shorter ones are said by
chance, and an item of such alone is counted as too short to tell.

Shapes: N texts, G different runs of the index, P passages, H hits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.eval_items import EvalItem
from workbench.corpus.hash_lookup import HashLookup
from workbench.corpus.shingles import Counts, Hashes, runs_of_lengths, shingle_pieces
from workbench.corpus.sorted_records import Records, sort_records

MIN_WORDS = 8
"""The fewest words that are looked for: shorter passages stand in texts that never saw the test."""

_RUN_BITS = np.uint64(32)


@dataclass(frozen=True, slots=True)
class Hits:
    """Text `texts_H[i]` (its place in what was scanned) holds run `runs_H[i]` of the index; each pair once, sorted."""

    texts_H: NDArray[np.uint32]
    runs_H: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Found:
    """Text `text` gives away item `item` (its place in the index): `share` of the runs of one of its passages."""

    text: int
    item: int
    share: float


class RunTable(HashLookup):
    """Runs of words to look for, of any of `lengths`: all that a process needs that scans."""

    def __init__(self, hashes: Hashes, lengths: Sequence[int]) -> None:
        super().__init__(hashes)
        self.lengths = tuple(lengths)

    def scan(self, texts: Sequence[str]) -> Hits:
        """Which runs of the table stand in which of `texts`."""
        found = [np.zeros(0, dtype=np.uint64)]
        for _, piece in runs_of_lengths(texts, self.lengths):
            at, runs = self.find(piece.hashes)
            if len(at):
                texts_H = piece.first + np.searchsorted(np.cumsum(piece.counts_N), at, side="right")
                found.append(texts_H.astype(np.uint64) << _RUN_BITS | runs.astype(np.uint64))
        pairs = np.unique(np.concatenate(found))
        return Hits((pairs >> _RUN_BITS).astype(np.uint32), (pairs & np.uint64(0xFFFFFFFF)).astype(np.uint32))


class ContaminationIndex:
    """The runs of words of test items, in `table`, and whose they are.

    `too_short` are the places of items that cannot be looked for.
    """

    def __init__(self, items: Sequence[EvalItem], *, ngram: int = 13) -> None:
        self.items = tuple(items)
        passages = [(number, text) for number, item in enumerate(items) for text in item.passages]
        self._item_of_passage = np.array([number for number, _ in passages], dtype=np.int64)
        texts = [text for _, text in passages]
        lengths_P = _lengths(texts, ngram)
        pairs = sort_records(_runs_and_passages(texts, lengths_P), unique=True)
        self.table = RunTable(pairs[:, 0], sorted(set(lengths_P.tolist()) - {0}))
        # The passages that hold run g are _passages[_starts[g] : _starts[g + 1]].
        self._starts = np.append(np.searchsorted(pairs[:, 0], self.table.hashes), len(pairs))
        self._passages = pairs[:, 1].astype(np.int64)
        self._runs_of_passage = np.bincount(self._passages, minlength=len(passages))
        testable = set(self._item_of_passage[lengths_P > 0].tolist())
        self.too_short = [number for number in range(len(items)) if number not in testable]

    def judge(self, hits: Hits, *, min_share: float = 0.0) -> list[Found]:
        """The items that texts give away, by text and item.

        An item is, where at least `min_share` of the runs of one of its passages, and at least one, stand in one text.
        """
        if not len(hits.runs_H):
            return []
        counts = self._starts[hits.runs_H + 1] - self._starts[hits.runs_H]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        passages = self._passages[np.repeat(self._starts[hits.runs_H], counts) + within]
        texts = np.repeat(hits.texts_H.astype(np.int64), counts)
        pairs, num_runs = np.unique(np.stack((texts, passages)), axis=1, return_counts=True)
        shares = num_runs / self._runs_of_passage[pairs[1]]
        best: dict[tuple[int, int], float] = {}
        for text, item, share in zip(
            pairs[0].tolist(), self._item_of_passage[pairs[1]].tolist(), shares.tolist(), strict=True
        ):
            if share >= min_share:
                best[text, item] = max(share, best.get((text, item), 0.0))
        return [Found(text, item, share) for (text, item), share in sorted(best.items())]


def _lengths(texts: Sequence[str], ngram: int) -> Counts:
    """Of how many words the runs of each text are that are looked for; 0 for a text that is too short."""
    words_P = np.zeros(len(texts), dtype=np.int64)
    for piece in shingle_pieces(texts, 1, whole_if_short=False):
        words_P[piece.first : piece.first + len(piece.counts_N)] += piece.counts_N
    return np.where(words_P >= min(MIN_WORDS, ngram), np.minimum(words_P, ngram), 0)


def _runs_and_passages(texts: Sequence[str], lengths_P: Counts) -> Records:
    """(run, passage) records of all texts."""
    records = [np.zeros((0, 2), dtype=np.uint64)]
    for length in sorted(set(lengths_P.tolist()) - {0}):
        numbers = np.flatnonzero(lengths_P == length)
        for _, piece in runs_of_lengths([texts[number] for number in numbers.tolist()], [length]):
            owners = numbers[piece.first : piece.first + len(piece.counts_N)]
            owners = np.repeat(owners, piece.counts_N).astype(np.uint64)
            records.append(np.stack((piece.hashes, owners), axis=1))
    return np.concatenate(records)
