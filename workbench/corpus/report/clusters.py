"""Who is a copy of whom: how large the clusters are, and the largest of them to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHOWN_CLUSTERS = 100
SHOWN_COPIES = 8


@dataclass(frozen=True, slots=True)
class Cluster:
    """A document that is kept, how many are left out for it, and the first few of those."""

    kept: int
    size: int
    """Documents in it, the kept one included."""
    copies: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Clusters:
    """All of them in figures, and the largest, larger ones first."""

    count: int
    sizes: dict[int, int]
    """How many clusters there are of each size, rounded down to a power of two above 8."""
    largest: tuple[Cluster, ...]

    @property
    def documents(self) -> list[int]:
        """Those whose texts are to be shown, in order."""
        return sorted({each for cluster in self.largest for each in (cluster.kept, *cluster.copies)})

    def as_json(self) -> dict[str, Any]:
        """For report.json."""
        return {"count": self.count, "sizes": {str(size): count for size, count in self.sizes.items()}}


def clusters_of(copies: NDArray[np.int64], kept: NDArray[np.int64]) -> Clusters:
    """The clusters of `copies`, each with the document that is `kept` instead of it, [copies] both."""
    order = np.lexsort((copies, kept))
    copies, kept = copies[order], kept[order]
    heads, starts, counts = np.unique(kept, return_index=True, return_counts=True)
    sizes = counts + 1
    rounded = np.where(sizes > 8, 2 ** np.floor(np.log2(np.maximum(sizes, 1))).astype(np.int64), sizes)
    by_size = np.lexsort((heads, -sizes))[:SHOWN_CLUSTERS]
    largest = tuple(
        Cluster(
            int(heads[place]),
            int(sizes[place]),
            tuple(map(int, copies[starts[place] : starts[place] + min(counts[place], SHOWN_COPIES)])),
        )
        for place in by_size
    )
    found, number = np.unique(rounded, return_counts=True)
    return Clusters(len(heads), dict(zip(found.tolist(), number.tolist(), strict=True)), largest)
