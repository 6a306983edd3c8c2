"""Which documents are removed, given the pairs that may be near and the sets that tell. The rules: near_duplicates.py.

A place is a document's position in the order of keeping; its lower 32 bits are the document's number.
Shapes: M pairs or removals, G documents that are the later one of a pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.disk_array import disk_array
from workbench.corpus.sorted_records import Records

Numbers = NDArray[np.int64]
Similarities = NDArray[np.float64]

NUMBER_BITS = np.uint64(32)
_NUMBER_BITS_SET = 0xFFFFFFFF
_NOBODY = np.zeros(0, dtype=np.int64)
_PAIRS_AT_ONCE = 1 << 15
_OPEN, _KEPT, _REMOVED = 0, 1, 2


class Similarity(Protocol):
    """What can tell how similar two documents are (set_store.py)."""

    def jaccard(self, one_M: Numbers, other_M: Numbers, *, at_least: float = 0.0) -> Similarities:
        """The similarity of each pair; 0 where it is surely below `at_least`."""


@dataclass(frozen=True, slots=True)
class Removals:
    """Documents `removed_M` go, for the `kept_M`, to which they are `jaccard_M` similar. `compared` pairs told so."""

    removed_M: Numbers
    kept_M: Numbers
    jaccard_M: Similarities
    compared: int


def number_of(places: Records) -> Numbers:
    """The documents' numbers."""
    return (places & np.uint64(_NUMBER_BITS_SET)).astype(np.int64)


def is_seen(place: int) -> bool:
    """Whether the place is that of a document that was seen before: they come before all others."""
    return place >> int(NUMBER_BITS) == 0


def cut_chains(
    pairs: Iterable[Records], sets: Similarity, *, jaccard: float, limit: int, scratch: Path
) -> Iterator[Removals]:
    """Removes each document that is near a kept one before it.

    `pairs`: (later, earlier) places, sorted, all different.
    """
    gone = disk_array(scratch / "gone", dtype=np.bool_, length=limit)
    for part in _whole_groups(pairs):
        later, earlier = number_of(part[:, 0]), number_of(part[:, 1])
        found = _Part(later, earlier, gone[earlier]).settle(sets, jaccard)
        gone[found.removed_M] = True
        yield found


class _Part:
    """All pairs of some documents, which are decided together, in order.

    Pairs are compared only when it matters: not those of a document that is removed already, nor with one that is.
    """

    def __init__(self, later: Numbers, earlier: Numbers, earlier_gone: NDArray[np.bool_]) -> None:
        self._later, self._earlier = later, earlier
        opens = np.flatnonzero(np.insert(later[1:] != later[:-1], 0, True))
        self._next = opens.tolist()  # of each document the next pair to look at
        self._ends = [*opens[1:].tolist(), len(later)]
        group_of = {number: group for group, number in enumerate(later[opens].tolist())}
        # A partner of another part was decided there; one without earlier partners of its own is kept.
        self._partner = [group_of.get(number, -1) for number in earlier.tolist()]
        self._partner_gone = earlier_gone.tolist()
        self._state = [_OPEN] * len(opens)
        self._similar: list[float | None] = [None] * len(later)

    def settle(self, sets: Similarity, jaccard: float) -> Removals:
        removed_by: list[int] = []
        compared = 0
        undecided = list(range(len(self._state)))
        while undecided:
            asked: list[int] = []
            undecided = [group for group in undecided if not self._decided(group, jaccard, asked, removed_by)]
            if asked:
                found = sets.jaccard(self._later[asked], self._earlier[asked], at_least=jaccard)
                for pair, similar in zip(asked, found.tolist(), strict=True):
                    self._similar[pair] = similar
                compared += len(asked)
        pairs = np.array(sorted(removed_by), dtype=np.int64)
        similar = np.array([self._similar[pair] for pair in pairs.tolist()], dtype=np.float64)
        return Removals(self._later[pairs], self._earlier[pairs], similar, compared)

    def _decided(self, group: int, jaccard: float, asked: list[int], removed_by: list[int]) -> bool:
        """Whether the document is decided; else either a pair of it is among `asked`, or it waits for a partner."""
        pair, end = self._next[group], self._ends[group]
        while pair < end:
            partner = self._partner[pair]
            state = self._state[partner] if partner >= 0 else _REMOVED if self._partner_gone[pair] else _KEPT
            similar = self._similar[pair]
            if state == _REMOVED or (similar is not None and similar < jaccard):
                pair += 1
                continue
            self._next[group] = pair
            if similar is None:
                asked.append(pair)
                return False
            if state == _OPEN:
                return False
            self._state[group] = _REMOVED
            removed_by.append(pair)
            return True
        self._state[group] = _KEPT
        return True


def whole_chains(
    pairs: Iterable[Records], sets: Similarity, *, jaccard: float, limit: int, scratch: Path
) -> Iterator[Removals]:
    """Removes all that are linked to one before them, over any number of links, but the first of each chain.

    `pairs`: (later, earlier) places, sorted, all different. Tells nothing before it has seen all.
    """
    parents = disk_array(
        scratch / "parents", dtype=np.uint64, length=limit
    )  # places, plus one; the first have 0

    def first_of(place: int) -> int:
        path = []
        while above := int(parents[place & _NUMBER_BITS_SET]):
            path.append(place)
            place = above - 1
        for passed in path[:-1]:
            parents[passed & _NUMBER_BITS_SET] = place + 1
        return place

    for part in _whole_groups(pairs):
        firsts = {place: first_of(place) for place in np.unique(part).tolist()}
        part = part[[firsts[later] != firsts[earlier] for later, earlier in part.tolist()]]
        similar = sets.jaccard(number_of(part[:, 0]), number_of(part[:, 1]), at_least=jaccard)
        for later, earlier in part[similar >= jaccard].tolist():
            one, other = sorted((first_of(later), first_of(earlier)))
            if one != other and not is_seen(other):  # of two that were seen before neither goes for the other
                parents[other & _NUMBER_BITS_SET] = one + 1
        yield Removals(_NOBODY, _NOBODY, similar[:0], compared=len(part))
    for start in range(0, limit, _PAIRS_AT_ONCE):
        numbers = start + np.flatnonzero(parents[start : start + _PAIRS_AT_ONCE])
        kept = [first_of(int(above) - 1) & _NUMBER_BITS_SET for above in parents[numbers].tolist()]
        kept_M = np.array(kept, dtype=np.int64)
        yield Removals(numbers, kept_M, sets.jaccard(numbers, kept_M), compared=len(numbers))


def _whole_groups(pairs: Iterable[Records]) -> Iterator[Records]:
    """The pairs in parts of about _PAIRS_AT_ONCE, never those of one later place in two parts."""
    held = np.zeros((0, 2), dtype=np.uint64)
    for chunk in pairs:
        held = np.concatenate((held, chunk))
        opens = np.flatnonzero(np.insert(held[1:, 0] != held[:-1, 0], 0, True))
        start = 0
        while len(held) - start > _PAIRS_AT_ONCE:
            group = int(np.searchsorted(opens, start + _PAIRS_AT_ONCE, side="right")) - 1
            stop = int(opens[group])
            if stop <= start:
                break  # one document alone has so many, and may have more
            yield held[start:stop]
            start = stop
        held = held[start:]
    if len(held):
        yield held
