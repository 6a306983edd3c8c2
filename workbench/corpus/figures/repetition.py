"""How much of a text repeats itself: Gopher's repetition figures (Rae et al. 2021, table A1).

    duplicate lines, paragraphs    the share that stood before, by count and by characters
    top 2-, 3-, 4-gram             the share of the characters in the run of words that stands most often
    duplicate 5- to 10-grams       the share of the characters in runs of words that stood before

Counted as datatrove counts: the second copy and later ones, spaces between words in a top n-gram but not in
duplicate ones, and after a duplicate n-gram goes the search behind it. One thing is different: what stands once is
not "the most frequent n-gram", so its share is 0, where datatrove would reject most texts of ten words.

An n-gram can only stand twice where both (n-1)-grams in it do, so each n looks at what the one before left over.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.figures.equality import Hashes, Places, Repeated, mixed, repeated
from workbench.corpus.figures.layout import Layout

TOP_NGRAMS = (2, 3, 4)
DUPLICATE_NGRAMS = (5, 6, 7, 8, 9, 10)

_AT_ONCE = 1 << 16  # numbers that are Python's at a time: each takes 40 bytes
_OF_DOCUMENT = np.uint64(0x9E3779B97F4A7C15)


class Duplicates(NamedTuple):
    """What of each document's parts of one kind (lines, paragraphs) stood before in it."""

    parts_D: Places
    duplicates_D: Places
    duplicate_characters_D: Places


def duplicates(hashes_S: Hashes, lengths_S: Places, documents_S: Places, *, documents: int) -> Duplicates:
    """Counts the parts whose text stood before in their document."""
    again = repeated(in_document(hashes_S, documents_S), key_bits=64)
    later = np.ones(len(again.places_R), bool)
    later[np.searchsorted(again.places_R, again.firsts_G)] = False
    copies = again.places_R[later]
    return Duplicates(
        np.bincount(documents_S, minlength=documents),
        np.bincount(documents_S[copies], minlength=documents),
        _sums(lengths_S[copies], documents_S[copies], documents),
    )


def ngram_characters(words: Repeated, layout: Layout) -> dict[str, NDArray[np.int64]]:
    """For each figure of n-grams, the characters that it counts in each document, [D].

    `words`: the words that stand more than once in their document.
    """
    characters = np.concatenate(([0], np.cumsum(layout.word_ends_W - layout.word_starts_W)))
    found = {}
    grams = words
    for n in range(2, max(DUPLICATE_NGRAMS) + 1):
        grams = _longer(grams)
        if n in TOP_NGRAMS:
            found[f"top_{n}_gram"] = _top(grams, n, characters, layout)
        if n in DUPLICATE_NGRAMS:
            found[f"duplicate_{n}_gram"] = _again(grams, n, characters, layout)
    return found


def in_document(hashes_S: Hashes, documents_S: Places) -> Hashes:
    """The hashes changed so that what stands in different documents is different."""
    return mixed(hashes_S + documents_S.astype(np.uint64) * _OF_DOCUMENT)


def _longer(grams: Repeated) -> Repeated:
    """The (n+1)-grams that stand more than once, from the n-grams that do."""
    begins = np.flatnonzero(grams.places_R[1:] == grams.places_R[:-1] + 1)
    bits = max(1, (grams.groups - 1).bit_length()) if grams.groups else 1
    keys = grams.groups_R[begins].astype(np.uint64) << np.uint64(bits)
    keys |= grams.groups_R[begins + 1].astype(np.uint64)
    return repeated(keys, key_bits=2 * bits, places_N=grams.places_R[begins])


def _top(grams: Repeated, n: int, characters: Places, layout: Layout) -> NDArray[np.int64]:
    """Characters of all copies of each document's most frequent n-gram; the first one of several."""
    best = np.zeros(layout.documents, np.int64)
    if grams.groups:
        documents = layout.word_documents_W[grams.firsts_G]
        # The larger count, and among equals the earlier place, in one number.
        np.maximum.at(best, documents, (grams.counts_G << 32) | (0xFFFFFFFF - grams.firsts_G))
    counts, firsts = best >> 32, 0xFFFFFFFF - (best & 0xFFFFFFFF)
    firsts[counts == 0] = 0
    ends = np.where(counts > 0, firsts + n, 0)
    sizes: Places = counts * (characters[ends] - characters[firsts] + n - 1)
    return sizes


def _again(grams: Repeated, n: int, characters: Places, layout: Layout) -> NDArray[np.int64]:
    """Characters of the n-grams that stood before; the words of one are not looked at again for the next."""
    seen = bytearray(grams.groups)
    copies = []
    free = 0
    for start in range(0, len(grams.places_R), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        for place, group in zip(grams.places_R[part].tolist(), grams.groups_R[part].tolist(), strict=True):
            if place < free:
                continue
            if seen[group]:
                copies.append(place)
                free = place + n
            else:
                seen[group] = True
    firsts = np.array(copies, np.int64)
    return _sums(
        characters[firsts + n] - characters[firsts], layout.word_documents_W[firsts], layout.documents
    )


def _sums(values_S: Places, documents_S: Places, documents: int) -> NDArray[np.int64]:
    """The sum of the values of each document; exact, for no document has 2**53 characters."""
    return np.bincount(documents_S, weights=values_S, minlength=documents).astype(np.int64)
