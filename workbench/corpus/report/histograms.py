"""How the figures of all documents are spread: exact counts in fine bins that add up block by block, then a few bars.

A fine bin is a float32 without the lower bits of its mantissa: 32 bins to every doubling, so a value is known to 3 %,
whatever its size, and no pass over the data is needed to find the range.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

BARS = 24
OUTLIERS = 0.005
"""Share of the documents at either end that the outermost bars gather, so that one giant does not flatten the rest."""
_DROPPED_BITS = 18  # of the 23 bits of the mantissa
_MANY_DOUBLINGS = 16.0  # a range this wide is shown on a logarithmic scale


class Histogram:
    """Counts of one figure."""

    def __init__(self) -> None:
        self._fine: Counter[int] = Counter()
        self._least, self._most = float("inf"), float("-inf")

    def add(self, values: NDArray[Any]) -> None:
        """The figures of some documents. What is not finite is not counted."""
        values = values[np.isfinite(values)].astype(np.float32) + np.float32(0)  # no minus zero
        if not len(values):
            return
        self._least = min(self._least, float(values.min()))
        self._most = max(self._most, float(values.max()))
        bins, counts = np.unique(values.view(np.uint32) >> np.uint32(_DROPPED_BITS), return_counts=True)
        self._fine.update(dict(zip(bins.tolist(), counts.tolist(), strict=True)))

    def as_json(self) -> dict[str, Any]:
        """`edges`, one more than there are `counts`; the least and the most value."""
        if not self._fine:
            return {"edges": [], "counts": []}
        codes = np.array(list(self._fine), dtype=np.uint32) << np.uint32(_DROPPED_BITS)
        values = codes.view(np.float32).astype(np.float64)
        order = np.argsort(values)
        values, counts = values[order], np.array(list(self._fine.values()))[order]
        edges = _edges(values, counts, self._least, self._most)
        places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
        bars = np.bincount(places, weights=counts, minlength=len(edges) - 1).astype(np.int64)
        return {
            "edges": [float(f"{edge:.6g}") for edge in edges],
            "counts": bars.tolist(),
            "least": self._least,
            "most": self._most,
        }


def _edges(
    values: NDArray[np.float64], counts: NDArray[Any], least: float, most: float
) -> NDArray[np.float64]:
    """The ends of the bars, between the quantiles of OUTLIERS; evenly apart, or evenly in doublings."""
    shares = np.cumsum(counts) / counts.sum()
    low = float(values[int(np.searchsorted(shares, OUTLIERS))])
    high = float(values[min(int(np.searchsorted(shares, 1 - OUTLIERS)), len(values) - 1)])
    if high <= low:
        return np.array([least, np.nextafter(most, np.inf)]) if most <= least else np.array([least, most])
    if low > 0 and high / low > _MANY_DOUBLINGS:
        inner = np.geomspace(low, high, BARS + 1)
    else:
        inner = np.linspace(low, high, BARS + 1)
    inner[0], inner[-1] = min(least, low), max(most, high)
    return inner
