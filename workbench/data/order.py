"""Orders that are drawn from a key and never change: not with the version of a library, not with the machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def shuffled(count: int, *, key: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """The numbers 0 to `count` - 1 in an order drawn from `key`.

    Sorted by a hash of (key, number), SplitMix64 (Steele et al. 2014), not by numpy's generator, whose stream
    may change between versions: an order must outlive an upgrade.
    """
    state: npt.NDArray[np.uint64] = np.zeros(1, dtype=np.uint64)
    for part in key:
        state = _mixed(state ^ np.uint64(part))
    numbers = np.arange(count, dtype=np.uint64)
    return np.argsort(_mixed(numbers + state), kind="stable")


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's output function, a bijection on 64 bits; arithmetic wraps."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
