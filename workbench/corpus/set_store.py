"""Sets of shingles on disk, and the true Jaccard similarity of pairs of them.

Shapes: N documents, M pairs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.disk_array import disk_array
from workbench.corpus.shingles import Hashes
from workbench.corpus.sketches import ShingleSets
from workbench.files import disk_errors_named

_BYTES = 8
_MOST_PAIRS = 1 << 16  # the pair's number is above the 48 bits of a shingle
_SHINGLE_BITS = np.uint64(48)
_MOST_NUMBERS = 1 << 15  # what is compared at once fits in the cache of a core
_COPIES = 6  # of each set: read, put into place, sorted, compared


class SetStore:
    """Keeps sets by document number, below `limit`, in files of `folder`.

    `memory_bytes` bounds what a comparison holds.
    """

    def __init__(self, folder: Path, *, limit: int, memory_bytes: int) -> None:
        self._path = folder / "sets"
        self._file = self._path.open("w+b")
        self._most = max(min(memory_bytes // (_COPIES * _BYTES), _MOST_NUMBERS), 1)
        self._length = 0
        self._starts = disk_array(folder / "set_starts", dtype=np.int64, length=limit)
        self._counts = disk_array(folder / "set_counts", dtype=np.uint32, length=limit)

    def add(self, numbers: NDArray[np.int64], sets: ShingleSets) -> None:
        """Append the sets of these documents. Raises NoSpace."""
        with disk_errors_named(self._path):
            self._file.write(np.ascontiguousarray(sets.hashes).data)
        ends = self._length + np.cumsum(sets.counts_N)
        self._starts[numbers], self._counts[numbers] = ends - sets.counts_N, sets.counts_N
        self._length = int(ends[-1]) if len(ends) else self._length

    def jaccard(
        self, one_M: NDArray[np.int64], other_M: NDArray[np.int64], *, at_least: float = 0.0
    ) -> NDArray[np.float64]:
        """The similarity of each pair, [M]; 0 for one whose sizes say already that it is below `at_least`."""
        self._file.flush()
        sizes = np.stack((self._counts[one_M], self._counts[other_M]), axis=1).astype(np.int64)
        similar_M = np.zeros(len(one_M), dtype=np.float64)
        possible = np.flatnonzero(sizes.min(axis=1) >= at_least * sizes.max(axis=1))
        for batch in self._batches(possible, sizes.sum(axis=1)):
            similar_M[batch] = self._compared(one_M[batch], other_M[batch], sizes[batch])
        return similar_M

    def _batches(
        self, pairs: NDArray[np.int64], numbers_held: NDArray[np.int64]
    ) -> Iterator[NDArray[np.int64]]:
        """`pairs` in parts whose sets are held together."""
        ends = np.cumsum(numbers_held[pairs])
        start = 0
        while start < len(pairs):
            before = ends[start - 1] if start else 0
            stop = int(np.searchsorted(ends, before + self._most, side="right"))
            stop = min(max(stop, start + 1), start + _MOST_PAIRS)
            yield pairs[start:stop]
            start = stop

    def _compared(
        self, one_M: NDArray[np.int64], other_M: NDArray[np.int64], sizes_M2: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Shingles that both of a pair have stand beside each other once all are sorted by pair and shingle."""
        numbers = np.union1d(one_M, other_M)
        held, starts = self._read(numbers)
        both = sizes_M2.sum(axis=1)
        pairs_M2 = np.stack((one_M, other_M), axis=1)
        sizes, begins = sizes_M2.ravel(), starts[np.searchsorted(numbers, pairs_M2)].ravel()
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        pair_of = np.repeat(np.arange(len(one_M), dtype=np.uint64) << _SHINGLE_BITS, both)
        marked = held[np.repeat(begins, sizes) + within] | pair_of
        marked.sort(kind="stable")  # it is made of sorted runs, which this kind merges
        # Sorting leaves each pair where it was, and the first of a pair is equal to nothing before it.
        repeated = np.zeros(len(marked) + 1, dtype=np.int8)
        np.equal(marked[1:], marked[:-1], out=repeated[1:-1].view(bool))
        intersections = np.add.reduceat(repeated, np.cumsum(both) - both, dtype=np.int64)
        unions = np.maximum(both - intersections, 1)
        return np.asarray(intersections / unions, dtype=np.float64)

    def _read(self, numbers: NDArray[np.int64]) -> tuple[Hashes, NDArray[np.int64]]:
        """The sets of these documents end to end, and where each begins. What lies together is read at once."""
        starts, counts = self._starts[numbers], self._counts[numbers].astype(np.int64)
        ends = starts + counts
        apart = np.flatnonzero(starts[1:] != ends[:-1]) + 1
        firsts, lasts = np.insert(apart, 0, 0).tolist(), [*(apart - 1).tolist(), len(numbers) - 1]
        pieces = [
            os.pread(
                self._file.fileno(), int(ends[last] - starts[first]) * _BYTES, int(starts[first]) * _BYTES
            )
            for first, last in zip(firsts, lasts, strict=True)
        ]
        return np.frombuffer(b"".join(pieces), dtype=np.uint64), np.cumsum(counts) - counts

    def close(self) -> None:
        """Forget everything."""
        self._file.close()
        self._path.unlink(missing_ok=True)
