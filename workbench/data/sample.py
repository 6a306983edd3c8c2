"""A bounded sample of a stream of texts, spread evenly over it. Does not know where the texts come from."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable

MAX_SHARE = 8
"""No text takes more than one MAX_SHARE-th of the sample: one giant file must not be all of it."""


def spread_sample(texts: Iterable[str], *, max_bytes: int) -> list[str]:
    """The texts with the lowest hashes, as many as `max_bytes` of UTF-8 hold, in order of hash.

    Which texts are taken depends on the texts alone, not on their order or number; equal texts count once.
    A text longer than an eighth of `max_bytes` counts with its beginning only. Memory: the sample.
    """
    limit = max(1, max_bytes // MAX_SHARE)
    heap: list[tuple[int, str, int]] = []  # (-hash, text, bytes): the highest hash on top
    taken: set[int] = set()
    total = 0
    bar = 1 << 64  # once a hash was too high, so is every higher one
    for text in texts:
        data = text.encode("utf-8", "replace")[:limit]
        rank = int.from_bytes(hashlib.blake2b(data, digest_size=8, person=b"sample").digest(), "big")
        if rank >= bar or rank in taken or not data:
            continue
        heapq.heappush(heap, (-rank, data.decode("utf-8", "ignore"), len(data)))
        taken.add(rank)
        total += len(data)
        while total > max_bytes:
            highest, _, size = heapq.heappop(heap)
            bar = -highest
            taken.discard(bar)
            total -= size
    return [text for _, text, _ in sorted(heap, reverse=True)]
