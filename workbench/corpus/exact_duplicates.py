"""Documents that are equal after case and white space are folded: the first stays, whatever order they come in.

Digests of 128 bit go through sorted_records.py, so memory is bounded and the disk is read and written in order.
Two different texts have the same digest less likely than a machine errs (1e9 documents: 1e-21).

Shapes: N documents.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.clusters import NUMBER_BITS, number_of
from workbench.corpus.disk_array import disk_array
from workbench.corpus.sorted_records import Records, SortedRecords
from workbench.files import make_folders

Numbers = NDArray[np.int64]

NOT_REMOVED = -1


def folded_digests(texts: Sequence[str]) -> NDArray[np.uint64]:
    """128 bits of each text as two numbers, [N, 2], equal for texts that differ only in case and white space."""
    joined = b"".join(_folded_digest(text) for text in texts)
    return np.frombuffer(joined, dtype="<u8").astype(np.uint64).reshape(-1, 2)


def _folded_digest(text: str) -> bytes:
    folded = " ".join(text.casefold().split())
    return hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class ExactDuplicates:
    """Finds documents whose digests are equal. A context manager; its folder is gone when it ends.

    The document with the lowest number is kept; one that was `seen` before comes before all others. Raises NoSpace.
    """

    def __init__(self, folder: Path, *, memory_bytes: int = 64_000_000) -> None:
        make_folders(folder)
        self._folder = folder
        self._records = SortedRecords(folder, "digests", columns=3, memory_bytes=memory_bytes)
        self._limit = 0

    def __enter__(self) -> ExactDuplicates:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, numbers: Numbers, digests_N2: NDArray[np.uint64], *, seen: bool = False) -> None:
        """Take in documents by their digests, in any order."""
        places = numbers.astype(np.uint64) | (np.uint64(not seen) << NUMBER_BITS)
        self._records.add(np.column_stack((digests_N2, places)))
        self._limit = max(self._limit, int(numbers.max(initial=-1)) + 1)

    def decide(self) -> Iterator[int]:
        """Settles which go; yields how many digests were looked at. After all `add`."""
        self._kept_for = disk_array(self._folder / "kept_for", dtype=np.uint32, length=self._limit)
        first: Records = np.zeros((0, 3), dtype=np.uint64)  # of the digest that may go on in the next chunk
        looked_at = 0
        for chunk in self._records:
            looked_at += len(chunk)
            chunk = np.concatenate((first, chunk))
            opens = np.insert((chunk[1:, :2] != chunk[:-1, :2]).any(axis=1), 0, True)
            first_of = np.flatnonzero(opens)[np.cumsum(opens) - 1]
            copies = np.flatnonzero(~opens)
            copies = copies[chunk[copies, 2] >> NUMBER_BITS != 0]
            self._kept_for[number_of(chunk[copies, 2])] = number_of(chunk[first_of[copies], 2]) + 1
            first = chunk[first_of[-1:]]
            yield looked_at
        self._records.close()

    def kept_for(self, numbers: Numbers) -> Numbers:
        """For each document the one that is kept instead of it, or NOT_REMOVED."""
        known = numbers < self._limit
        kept = np.full(len(numbers), NOT_REMOVED, dtype=np.int64)
        kept[known] = self._kept_for[numbers[known]].astype(np.int64) - 1
        return kept
