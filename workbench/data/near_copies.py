"""How much of a held-out text also stands in the training text, by shingles of 8 words.

Only the held-out side is indexed, so memory is bounded by it however large the corpus; the training side
streams past once. Words are compared by 64-bit hashes, all in numpy: about 40 MB/s. Two different shingles
collide once in 1e12 pairs of a corpus of this size, which moves a share by nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

WORDS = 8
"""Words per shingle: shorter and idioms count as copies, longer and one changed word hides a sentence."""

_CHUNK_CHARACTERS = 1 << 18  # bounds the temporaries of one text at about 20 MB
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64
_BASE_INVERSE = pow(_BASE, -1, 2**64)
_TABLE_BITS_PER_SHINGLE = 16
_BETWEEN_TEXTS = " \uffff "  # a word that no clean text has, so that no shingle across it is found


def shingles(text: str) -> NDArray[np.uint64]:
    """The hashes of all runs of 8 words of `text` in order, [words - 7]; case and punctuation ignored."""
    words = np.concatenate([_word_hashes(chunk) for chunk in _chunks(text.lower())] or [_NONE])
    count = len(words) - WORDS + 1
    if count < 1:
        return _NONE
    total = np.zeros(count, dtype=np.uint64)
    for place in range(WORDS):
        total = total * np.uint64(_BASE) + words[place : place + count]
    return _mixed(total)


class ShingleIndex:
    """The shingles of some texts, and which of them were seen elsewhere."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._per_text = [np.unique(shingles(text)) for text in texts]
        self._all = np.unique(np.concatenate([*self._per_text, _NONE]))
        self._seen = np.zeros(len(self._all), dtype=bool)
        # A table of bits by the low bits of the hash answers "surely not" for nearly every shingle of the
        # training text with one look, where the search in the sorted hashes takes twenty.
        bits = max(10, int(len(self._all) * _TABLE_BITS_PER_SHINGLE - 1).bit_length())
        self._mask = np.uint64(2**bits - 1)
        self._table = np.zeros(2**bits, dtype=bool)
        self._table[self._all & self._mask] = True

    def mark(self, texts: Iterable[str]) -> None:
        """Remember which indexed shingles stand in `texts`. Short texts are hashed together, for speed."""
        batch: list[str] = []
        size = 0
        for text in texts:
            batch.append(text)
            size += len(text)
            if size >= _CHUNK_CHARACTERS:
                self._mark(_BETWEEN_TEXTS.join(batch))
                batch, size = [], 0
        self._mark(_BETWEEN_TEXTS.join(batch))

    def _mark(self, text: str) -> None:
        found = shingles(text)
        found = found[self._table[found & self._mask]]
        if len(found):
            places = np.minimum(np.searchsorted(self._all, found), len(self._all) - 1)
            self._seen[places[self._all[places] == found]] = True

    def shares(self) -> list[float]:
        """For each text, the share of its distinct shingles that were marked; 0 for fewer than 8 words."""
        return [
            float(self._seen[np.searchsorted(self._all, own)].mean()) if len(own) else 0.0
            for own in self._per_text
        ]


_NONE: NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)


def _chunks(text: str) -> Iterator[str]:
    """`text` in pieces that end between words (a word longer than a piece is cut)."""
    start = 0
    while start < len(text):
        end = min(start + _CHUNK_CHARACTERS, len(text))
        if end < len(text):
            # The furthest white space that fits; newline and space are all that prose has.
            space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
            end = space + 1 if space > start else end
        yield text[start:end]
        start = end


def _word_hashes(text: str) -> NDArray[np.uint64]:
    """One hash per word, [words]: a polynomial over the word's characters from differences of prefix sums."""
    letters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    in_word = np.concatenate(([False], _is_word_character()[np.minimum(letters, 0xFFFF)], [False]))
    edges = np.flatnonzero(in_word[1:] != in_word[:-1])
    starts, ends = edges[0::2], edges[1::2]
    powers, inverses = _powers()
    sums = np.zeros(len(letters) + 1, dtype=np.uint64)
    np.cumsum((letters.astype(np.uint64) + np.uint64(1)) * powers[: len(letters)], out=sums[1:])
    return _mixed((sums[ends] - sums[starts]) * inverses[starts])


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit of each number spread over all of it (the finaliser of splitmix64, Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@functools.cache
def _powers() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Powers of _BASE and of its inverse, modulo 2**64, for every place of a chunk."""
    powers = np.full(_CHUNK_CHARACTERS, _BASE, dtype=np.uint64)
    inverses = np.full(_CHUNK_CHARACTERS, _BASE_INVERSE, dtype=np.uint64)
    powers[0] = inverses[0] = 1
    return np.cumprod(powers), np.cumprod(inverses)


@functools.cache
def _is_word_character() -> NDArray[np.bool_]:
    """For each code point up to U+FFFF, whether it is part of a word; what lies beyond counts as U+FFFF."""
    table = np.array([chr(code).isalnum() for code in range(0x10000)], dtype=bool)
    table[0xFFFF] = True  # emoji, rare scripts, _BETWEEN_TEXTS: as good as letters here
    return table
