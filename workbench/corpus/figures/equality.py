"""What stands more than once: spans of characters by 64-bit hashes, equal numbers brought together, all in numpy.

A span's hash is a polynomial over its characters modulo 2**64, read off prefix sums at its two ends: the cost is
that of the characters, however many spans. Two different spans collide once in 2**64 pairs unless somebody sets
out to make them (Thue-Morse strings of a thousand characters do); nothing worse comes of it than a wrong figure.

Shapes: C characters, S spans, N keys, G groups of equal keys, R keys that are not alone in theirs.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Letters = NDArray[np.uint8] | NDArray[np.uint32]
Places = NDArray[np.int64]
Hashes = NDArray[np.uint64]

_CHUNK = 1 << 16  # characters whose prefix sums lie in cache together
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64
_BASE_INVERSE = pow(_BASE, -1, 2**64)
_MOST = 2**64 - 1


def span_hashes(letters_C: Letters, spans: Sequence[tuple[Places, Places]]) -> list[Hashes]:
    """The hashes of several kinds of spans, [S] each, given as starts and ends, both ascending and below C."""
    powers, inverses = _powers()
    found = [np.empty(len(starts), np.uint64) for starts, _ in spans]
    factors = [np.empty(len(starts), np.uint64) for starts, _ in spans]
    lasts = [np.empty(len(ends), np.uint64) for _, ends in spans]
    cuts = np.arange(0, len(letters_C) + _CHUNK, _CHUNK)
    bounds = [[np.searchsorted(edges, cuts).tolist() for edges in kind] for kind in spans]
    sums = np.zeros(_CHUNK + 1, np.uint64)
    total, power, inverse = 0, 1, 1  # over all chunks before; BASE and its inverse to where this one begins
    for number, begin in enumerate(cuts[:-1].tolist()):
        values = letters_C[begin : begin + _CHUNK].astype(np.uint64)
        values += np.uint64(1)
        values *= powers[: len(values)]
        np.cumsum(values, out=sums[1 : len(values) + 1])
        for kind, (starts, ends) in enumerate(spans):
            first, last = bounds[kind][0][number : number + 2]
            places = starts[first:last] - begin
            found[kind][first:last] = sums[places] * np.uint64(power) + np.uint64(total)
            factors[kind][first:last] = inverses[places] * np.uint64(inverse)
            first, last = bounds[kind][1][number : number + 2]
            lasts[kind][first:last] = sums[ends[first:last] - begin] * np.uint64(power) + np.uint64(total)
        total = (total + power * int(sums[len(values)])) & _MOST
        power = power * pow(_BASE, _CHUNK, 2**64) & _MOST
        inverse = inverse * pow(_BASE_INVERSE, _CHUNK, 2**64) & _MOST
    return [mixed((last - first) * factor) for first, last, factor in zip(found, lasts, factors, strict=True)]


@functools.lru_cache(maxsize=1 << 16)
def text_hash(text: str) -> int:
    """The hash that a span holding `text` has."""
    if not text:
        return int(mixed(np.zeros(1, np.uint64))[0])
    letters = np.frombuffer((text + "\n").encode("utf-32-le", "surrogatepass"), np.uint32)
    hashes = span_hashes(letters, [(np.zeros(1, np.int64), np.array([len(text)]))])[0]
    return int(hashes[0])


def mixed(x: Hashes) -> Hashes:
    """Every bit of each number spread over all of it (the finaliser of splitmix64, Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@functools.cache
def _powers() -> tuple[Hashes, Hashes]:
    """Powers of _BASE and of its inverse, modulo 2**64, for every place of a chunk and its end."""
    powers = np.full(_CHUNK + 1, _BASE, np.uint64)
    inverses = np.full(_CHUNK + 1, _BASE_INVERSE, np.uint64)
    powers[0] = inverses[0] = 1
    return np.cumprod(powers), np.cumprod(inverses)


class Repeated(NamedTuple):
    """The keys that are equal to another one."""

    places_R: Places
    """Where they stand, ascending."""
    groups_R: Places
    """Equal keys have the same number, from 0; different ones have different."""
    firsts_G: Places
    """Where the first of each group stands."""
    counts_G: Places
    """How many are in it."""

    @property
    def groups(self) -> int:
        """G."""
        return len(self.firsts_G)


def repeated(keys_N: Hashes, *, key_bits: int, places_N: Places | None = None) -> Repeated:
    """Which keys are there twice or more. `places_N`, ascending, is what they are called; 0 to N - 1 by default.

    `key_bits`: no key is as large as 2**key_bits.
    """
    order = _order(keys_N, key_bits)
    ordered = keys_N[order]
    begins = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))) if len(order) else order
    counts = np.diff(begins, append=len(order))
    several = counts > 1
    counts = counts[several]
    # Where the members of groups of two and more lie in `order`: each group's begin, and then one after another.
    ends = np.cumsum(counts)
    inside = np.repeat(begins[several] - (ends - counts), counts) + np.arange(ends[-1] if len(ends) else 0)
    group_of = np.full(len(order), -1, np.int64)
    group_of[order[inside]] = np.repeat(np.arange(len(counts)), counts)
    members = np.flatnonzero(group_of >= 0)
    firsts = order[begins[several]]
    return Repeated(
        members if places_N is None else places_N[members],
        group_of[members],
        firsts if places_N is None else places_N[firsts],
        counts,
    )


def _order(keys_N: Hashes, key_bits: int) -> Places:
    """The places of the keys from the smallest to the largest, equal ones as they stand.

    numpy sorts plain numbers many times faster than it finds an order, so the place is packed below the key. Where
    both do not fit, low bits of the key make room; should that bring different keys together, the slow way it is.
    """
    count = len(keys_N)
    place_bits = max(1, (count - 1).bit_length()) if count else 1
    spare = max(0, key_bits + place_bits - 64)
    packed = (keys_N >> np.uint64(spare)) << np.uint64(place_bits)
    packed |= np.arange(count, dtype=np.uint64)
    packed.sort()
    order = (packed & np.uint64((1 << place_bits) - 1)).view(np.int64)
    if spare:
        cut = packed >> np.uint64(place_bits)
        ordered = keys_N[order]
        if np.any((cut[1:] == cut[:-1]) & (ordered[1:] != ordered[:-1])):
            return np.argsort(keys_N, kind="stable")
    return order
