"""The held-out split: a fact about a key, never a position, so nothing crosses over when data is added."""

from __future__ import annotations

import hashlib

POSITIONS = 2**64


def position(key: str) -> int:
    """Where `key` falls, uniform in 0 … POSITIONS - 1. The same on every machine, for ever."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def is_heldout(key: str, fraction: float) -> bool:
    """Whether `key` falls in the held-out `fraction` of all keys."""
    return position(key) < fraction * POSITIONS
