"""Layers of blocks on disk, found by what they were made of, not by when or for whom.

    HOME/cache/corpus/text/3f/3f09…     a layer: its folder says which, its name digests everything it follows from

Written whole or not at all, checked when it is read: a damaged or missing one is made again, so the folder may be
deleted at any time. What was not used for longest goes first when it is larger than allowed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from numpy.typing import NDArray

from workbench.corpus.layers import Arrays, packed, unpacked
from workbench.files import TEMPORARY_PREFIX, write_atomic

ABANDONED_SECONDS = 3600.0


def key_of(*parts: Any) -> str:
    """32 hex characters that digest `parts`: strings, numbers, bytes, and lists and dicts of them."""
    plain = [part.hex() if isinstance(part, bytes) else part for part in parts]
    data = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class LayerCache:
    """The layers in one folder. Any number of processes may read and write it at once."""

    folder: Path

    def get(self, layer: str, key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays of a layer, marked as used now; None when it is not there or damaged."""
        path = self.path(layer, key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        arrays = unpacked(data)
        if arrays is None:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return arrays

    def put(self, layer: str, key: str, arrays: Arrays) -> None:
        """Keep a layer. Raises NoSpace when the disk refuses."""
        path = self.path(layer, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not synced: a layer that a power cut damages is made again.
        write_atomic(path, packed(arrays), durable=False)

    def drop(self, layer: str, key: str) -> None:
        """Delete a layer that nobody needs any more."""
        self.path(layer, key).unlink(missing_ok=True)

    def has(self, layer: str, key: str) -> bool:
        """Whether a layer of that key lies there, whole or not."""
        return self.path(layer, key).is_file()

    def num_bytes(self) -> int:
        """What all layers take on disk."""
        return sum(entry.num_bytes for entry in self._entries())

    def shrink(self, *, to_bytes: int, unused_since: float) -> int:
        """Delete what was used longest ago until no more than `to_bytes` are left; gives the bytes deleted.

        What was used at or after `unused_since`, a time, is spared: somebody is about to read it.
        """
        entries = sorted(self._entries(), key=lambda entry: entry.used_at)
        total, deleted = sum(entry.num_bytes for entry in entries), 0
        for entry in entries:
            is_abandoned = entry.path.name.startswith(TEMPORARY_PREFIX)
            if is_abandoned and entry.used_at > time.time() - ABANDONED_SECONDS:
                continue
            if not is_abandoned and (total - deleted <= to_bytes or entry.used_at >= unused_since):
                continue
            with contextlib.suppress(OSError):
                entry.path.unlink()
                deleted += entry.num_bytes
        return deleted

    def path(self, layer: str, key: str) -> Path:
        """Where a layer lies, or would."""
        return self.folder / layer / key[:2] / key

    def _entries(self) -> Iterator[_Entry]:
        for root, _, names in os.walk(self.folder):
            for name in names:
                path = Path(root) / name
                with contextlib.suppress(OSError):
                    facts = path.stat()
                    yield _Entry(path, facts.st_size, facts.st_mtime)


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Path
    num_bytes: int
    used_at: float
