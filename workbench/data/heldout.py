"""The held-out side of a corpus while it is chosen, never larger than allowed."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

from workbench.data.split import POSITIONS

Item = TypeVar("Item")


class HeldOut(Generic[Item]):
    """Keeps the documents, or what stands for them, at the lowest positions, as many as fit into `max_bytes` together.

    Which ones stay depends on their positions (split.py) and not on the order they come in: once one had to
    leave, none above it comes in. A document larger than `max_bytes` alone is never in. Memory: `max_bytes`.
    """

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._ceiling = POSITIONS
        self._heap: list[tuple[int, int, int, Item]] = []  # highest position first; arrival breaks ties
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, document: Item, position: int, size: int) -> list[Item]:
        """Take in `document` of `size` bytes; gives back those that no longer fit, which may be itself."""
        if size > self._max_bytes or position >= self._ceiling:
            return [document]
        self._arrivals += 1
        heapq.heappush(self._heap, (-position, -self._arrivals, size, document))
        self._bytes += size
        surplus = []
        while self._bytes > self._max_bytes:
            negative, _, freed, loser = heapq.heappop(self._heap)
            self._ceiling = -negative
            self._bytes -= freed
            surplus.append(loser)
        return surplus

    def documents(self) -> list[Item]:
        """All of them, lowest position first: any first few are a fair sample of the whole."""
        return [entry[3] for entry in sorted(self._heap, key=lambda entry: (-entry[0], -entry[1]))]
