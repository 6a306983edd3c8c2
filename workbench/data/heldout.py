"""The held-out side of a corpus while it is chosen, never larger than allowed."""

from __future__ import annotations

import heapq

from workbench.data.documents import Document


class HeldOut:
    """Keeps the documents at the lowest positions whose UTF-8 bytes fit into `max_bytes` together.

    Which ones stay depends on their positions (split.py) and not on the order they come in, except between
    equal positions. Memory: `max_bytes` of text.
    """

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._heap: list[tuple[int, int, int, Document]] = []  # highest position first; arrival breaks ties
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, document: Document, position: int) -> list[Document]:
        """Take `document` in; gives back those that no longer fit, which may be itself."""
        size = len(document.text.encode())
        self._arrivals += 1
        heapq.heappush(self._heap, (-position, -self._arrivals, size, document))
        self._bytes += size
        surplus = []
        while self._bytes > self._max_bytes:
            _, _, freed, loser = heapq.heappop(self._heap)
            self._bytes -= freed
            surplus.append(loser)
        return surplus

    def documents(self) -> list[Document]:
        """All of them, lowest position first: any first few are a fair sample of the whole."""
        return [entry[3] for entry in sorted(self._heap, key=lambda entry: (-entry[0], -entry[1]))]
