"""Looking up millions of hashes in a set of some, nearly all of which are not there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.shingles import Hashes

_BITS_PER_HASH = 16
_SLICE_HASHES = 1 << 16
_BITS = np.left_shift(1, np.arange(8)).astype(np.uint8)


class HashLookup:
    """A set of hashes in order.

    A table by their low bits, one bit each, says "surely not" with one look, where a search takes twenty.
    """

    def __init__(self, hashes: Hashes) -> None:
        in_order = bool((hashes[1:] > hashes[:-1]).all())
        self.hashes = hashes if in_order else np.unique(hashes)  # which copies them twice
        bits = max(10, int(len(self.hashes) * _BITS_PER_HASH - 1).bit_length())
        self._mask = np.uint64(2**bits - 1)
        self._table = np.zeros(2 ** (bits - 3), dtype=np.uint8)
        for start in range(0, len(self.hashes), _SLICE_HASHES):
            places, bits_of_places = self._look(self.hashes[start : start + _SLICE_HASHES])
            np.bitwise_or.at(self._table, places, bits_of_places)

    def find(self, hashes: Hashes) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Which of `hashes` are in the set, by their place, and the place in `self.hashes` of each of those."""
        places_of_bits, bits = self._look(hashes)
        at = np.flatnonzero(self._table[places_of_bits] & bits)
        if not len(at):
            return at, at
        places = np.minimum(np.searchsorted(self.hashes, hashes[at]), len(self.hashes) - 1)
        same = self.hashes[places] == hashes[at]
        return at[same], places[same]

    def _look(self, hashes: Hashes) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
        """Where in the table each hash has its bit: the byte, and the bit in it."""
        low = (hashes & self._mask).astype(np.intp)
        return low >> 3, _BITS[low & 7]
