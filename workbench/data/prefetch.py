"""The next batches, made by one thread while the present one is learned from.

What is made, and in which order, is the same as without it; only the waiting goes away. Knows nothing of batches.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")

AHEAD = 2
"""Items made ahead: one is at hand while the next is in the making. More would only take memory."""


def prefetched(items: Iterable[Item], *, ahead: int = AHEAD) -> Generator[Item, None, None]:
    """Yield `items` in order, with up to `ahead` of them made before they are asked for.

    What making one raises is raised here, in its turn. Whoever stops consuming closes this (contextlib.closing):
    the thread ends with the item it is at.
    """
    source = iter(items)

    def make() -> list[Item]:
        """The next item in a list; an empty one at the end."""
        return list(itertools.islice(source, 1))

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as thread:
        waiting = deque(thread.submit(make) for _ in range(ahead))
        try:
            while made := waiting.popleft().result():
                waiting.append(thread.submit(make))
                yield made[0]
        finally:
            for unmade in waiting:
                unmade.cancel()
