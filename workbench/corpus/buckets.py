"""From sorted (bucket, place) records to the pairs of places that share a bucket, never the square of a large one.

Shapes: M records; a pair is (later place, earlier place).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.sorted_records import Records

COMPARED = 4
"""In a bucket each document is compared with the first so many of it, and with so many just before it."""


def pairs_in_buckets(records: Iterable[Records]) -> Iterator[Records]:
    """Pairs of places from chunks of records that are sorted by bucket, then place. A pair comes once per bucket.

    All pairs of a bucket of up to COMPARED + 1; of a larger one those with its first and with the nearest before.
    """
    carried = np.zeros((0, 2), dtype=np.uint64)  # of the bucket that may go on in the next chunk
    for chunk in records:
        rows = np.concatenate((carried, chunk))
        equal = rows[1:, 0] == rows[:-1, 0]
        opens = np.insert(~equal, 0, True)
        shared = np.flatnonzero(np.append(equal, False) | ~opens)
        pairs = _pairs(rows[shared, 1], opens[shared], shared >= len(carried))
        if len(pairs):
            yield pairs
        last = rows[np.flatnonzero(opens)[-1] :]
        carried = last if len(last) <= 2 * COMPARED else np.concatenate((last[:COMPARED], last[-COMPARED:]))


def _pairs(places: NDArray[np.uint64], opens: NDArray[np.bool_], new: NDArray[np.bool_]) -> Records:
    """The pairs whose later place is `new`; `opens` marks the first of each bucket."""
    at = np.arange(len(places))
    first = np.maximum.accumulate(np.where(opens, at, 0))
    found = []
    for back in range(1, COMPARED + 1):
        later = at[new & (at - back >= first)]
        if not len(later):
            break
        found.append(np.stack((places[later], places[later - back]), axis=1))
    else:
        for ahead in range(COMPARED):
            later = at[new & (first + ahead < at - COMPARED)]
            found.append(np.stack((places[later], places[first[later] + ahead]), axis=1))
    if not found:
        return np.zeros((0, 2), dtype=np.uint64)
    pairs: Records = np.concatenate(found)
    different: Records = pairs[pairs[:, 0] != pairs[:, 1]]
    return different
