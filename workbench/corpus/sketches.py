"""MinHash: a few numbers per document whose share of equal ones estimates the Jaccard similarity of its shingles.

A signature is a pure function of the text and of `MinHash`, so that it can be kept and used again whatever else
is in the corpus. Its bands are what near_duplicates.py looks for.

Shapes: N texts, P permutations, S shingles, B bands, R rows of a band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.shingles import Counts, Hashes, mix, shingle_pieces

Signatures = NDArray[np.uint32]

_SLICE_SHINGLES = 1 << 15  # 128 kB of 32-bit hashes: what is multiplied 120 times stays in the cache
_NONE = np.uint32(0xFFFFFFFF)
_KEPT_BITS = np.uint64(0xFFFFFFFFFFFF)


@dataclass(frozen=True, slots=True)
class MinHash:
    """How signatures are made: shingles of `ngram` words, `bands` × `rows` permutations drawn from `seed`."""

    ngram: int = 5
    bands: int = 20
    rows: int = 6
    seed: int = 0

    @property
    def permutations(self) -> int:
        """Numbers of a signature."""
        return self.bands * self.rows


@dataclass(frozen=True, slots=True)
class Sketches:
    """Of N texts: `signatures_NP`, and how many shingles each has, repeats counted. A text without words has none."""

    signatures_NP: Signatures
    shingles_N: Counts


@dataclass(frozen=True, slots=True)
class ShingleSets:
    """The different shingles of N texts, sorted within each: 48-bit hashes one text after the other, and how many."""

    hashes: Hashes
    counts_N: Counts


def sketch(texts: Sequence[str], settings: MinHash) -> Sketches:
    """The signatures of `texts`. Memory is bounded by a few pieces of text, however long one is."""
    multipliers_P = _multipliers(settings)
    signatures_NP = np.full((len(texts), settings.permutations), _NONE, dtype=np.uint32)
    shingles_N = np.zeros(len(texts), dtype=np.int64)
    for piece in shingle_pieces(texts, settings.ngram):
        there = np.flatnonzero(piece.counts_N)
        counts = piece.counts_N[there]
        shingles_N[piece.first + there] += counts
        values_S = (piece.hashes >> np.uint64(32)).astype(np.uint32)
        ends = np.cumsum(counts)
        at = 0
        while at < len(there):
            begin = int(ends[at] - counts[at])
            stop = max(at + 1, int(np.searchsorted(ends, begin + _SLICE_SHINGLES, side="right")))
            minima_PN = _minima(
                values_S[begin : int(ends[stop - 1])], ends[at:stop] - counts[at:stop] - begin, multipliers_P
            )
            rows = piece.first + there[at:stop]
            signatures_NP[rows] = np.minimum(signatures_NP[rows], minima_PN.T)
            at = stop
    return Sketches(signatures_NP, shingles_N)


def _minima(values_S: Signatures, starts_N: Counts, multipliers_P: Signatures) -> Signatures:
    """The least product of each run of values with each multiplier, modulo 2**32, [P, N]."""
    minima_PN = np.empty((len(multipliers_P), len(starts_N)), dtype=np.uint32)
    products_S = np.empty_like(values_S)
    for number, multiplier in enumerate(multipliers_P):
        np.multiply(values_S, multiplier, out=products_S)
        np.minimum.reduceat(products_S, starts_N, out=minima_PN[number])
    return minima_PN


def _multipliers(settings: MinHash) -> Signatures:
    """Odd numbers: multiplying by one modulo 2**32 permutes the hashes, and these are well mixed already."""
    numbers = np.arange(1, settings.permutations + 1, dtype=np.uint64) + np.uint64(settings.seed << 20)
    return (mix(mix(numbers)) >> np.uint64(32)).astype(np.uint32) | np.uint32(1)


def band_hashes(signatures_NP: Signatures, settings: MinHash) -> Hashes:
    """One number per band, [N, B]; two documents have the same one where all rows of the band agree."""
    rows_NBR = signatures_NP.reshape(len(signatures_NP), settings.bands, settings.rows)
    total_NB = np.broadcast_to(np.arange(1, settings.bands + 1, dtype=np.uint64), rows_NBR.shape[:2])
    for row in range(settings.rows):
        total_NB = mix(total_NB * np.uint64(0x9E3779B97F4A7C15) + rows_NBR[:, :, row])
    return total_NB


def shingle_sets(texts: Sequence[str], settings: MinHash) -> ShingleSets:
    """The sets of shingles that the similarity of two documents is about."""
    per_text: list[list[Hashes]] = [[] for _ in texts]
    for piece in shingle_pieces(texts, settings.ngram):
        parts = np.split(piece.hashes & _KEPT_BITS, np.cumsum(piece.counts_N)[:-1])
        for number, part in enumerate(parts, piece.first):
            per_text[number].append(part)
    sets = [np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.uint64) for parts in per_text]
    counts_N = np.array([len(each) for each in sets], dtype=np.int64)
    return ShingleSets(np.concatenate(sets) if sets else np.zeros(0, np.uint64), counts_N)
