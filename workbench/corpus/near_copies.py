"""How much of a held-out text also stands in the training text, by shingles of 8 words.

Only the held-out side is indexed, so memory is bounded by it however large the corpus; the training side
streams past once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.hash_lookup import HashLookup
from workbench.corpus.shingles import Hashes, shingle_pieces, shingles

WORDS = 8
"""Words per shingle: shorter and idioms count as copies, longer and one changed word hides a sentence."""

_BATCH_CHARACTERS = 1 << 20


class ShingleIndex:
    """The shingles of some texts, and which of them were seen elsewhere."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self.hashes = distinct_shingles(texts)
        self._seen = np.zeros(len(self.hashes), dtype=bool)

    def mark(self, texts: Iterable[str]) -> None:
        """Remember which indexed shingles stand in `texts`."""
        self.mark_places(ShingleTable(self.hashes).places_in(texts))

    def mark_places(self, places: NDArray[np.int64]) -> None:
        """Remember shingles by their places in `hashes`: what another process found."""
        self._seen[places] = True

    def shares(self) -> list[float]:
        """For each text, the share of its distinct shingles that were marked; 0 for fewer than 8 words."""
        return [self._share(np.unique(shingles(text, WORDS))) for text in self._texts]

    def _share(self, own: Hashes) -> float:
        return float(self._seen[np.searchsorted(self.hashes, own)].mean()) if len(own) else 0.0


def distinct_shingles(texts: Sequence[str]) -> Hashes:
    """The hashes of all shingles of `texts`, sorted and each once. Held twice for a moment."""
    found = [piece.hashes for piece in shingle_pieces(texts, WORDS, whole_if_short=False)]
    hashes = np.concatenate([*found, np.zeros(0, np.uint64)])
    del found
    hashes.sort()
    return hashes[np.insert(hashes[1:] != hashes[:-1], 0, True)] if len(hashes) else hashes


class ShingleTable(HashLookup):
    """Shingles to look for: `hashes`, sorted and each once."""

    def places_in(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """The places of the hashes that stand in `texts`, sorted. Short texts are hashed together, for speed."""
        seen = np.zeros(len(self.hashes), dtype=bool)
        for batch in _batches(texts):
            for piece in shingle_pieces(batch, WORDS, whole_if_short=False):
                seen[self.find(piece.hashes)[1]] = True
        return np.flatnonzero(seen)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    yield batch
