"""Records of whole numbers in sorted order, however many there are: what does not fit memory lies in sorted runs.

The one piece of machinery under exact duplicates, near duplicates and repeated paragraphs: things that are equal
stand beside each other once they are sorted, whatever order they came in.

Shapes: M records, C columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from workbench.files import disk_errors_named

Records = NDArray[np.uint64]

_BYTES_PER_NUMBER = 8
_SORT_COPIES = 4  # the records, their order, and what sorting needs besides
_SMALLEST_READ = 1 << 10
MOST_RUNS = 200
"""Runs that are merged at once: a process may open about a thousand files."""


class SortedRecords:
    """Takes records in any order and gives them back sorted, by the first column, then the second, and so on.

    `memory_bytes` bounds what is held at a time. Runs are files `NAME-*` of `folder`, gone after `close`; with
    `unique` equal records are given once. Raises NoSpace when the disk refuses.
    """

    def __init__(
        self, folder: Path, name: str, *, columns: int, memory_bytes: int, unique: bool = False
    ) -> None:
        self._stem = folder / name
        self._columns = columns
        self._most = max(memory_bytes // (_SORT_COPIES * columns * _BYTES_PER_NUMBER), _SMALLEST_READ)
        self._unique = unique
        self._waiting: list[Records] = []
        self._count = 0
        self._runs: list[Path] = []
        self._written = 0

    def add(self, records_MC: Records) -> None:
        """Take records in, [M, C]."""
        for start in range(0, len(records_MC), self._most):
            part = records_MC[start : start + self._most]
            if self._count + len(part) > self._most:
                self._write_run()
            self._waiting.append(part)
            self._count += len(part)

    def __iter__(self) -> Iterator[Records]:
        """All records in order, in chunks; can be asked again, also after more were added."""
        if not self._runs:
            if self._count:
                self._waiting = [self._sorted_waiting()]
                self._count = len(self._waiting[0])
                yield self._waiting[0]
            return
        if self._count:
            self._write_run()
        while len(self._runs) > MOST_RUNS:
            merging, self._runs = self._runs[:MOST_RUNS], self._runs[MOST_RUNS:]
            self._write(self._merged(merging))
            for run in merging:
                run.unlink()
        yield from self._merged(self._runs)

    def close(self) -> None:
        """Forget everything."""
        self._waiting, self._count = [], 0
        for run in self._runs:
            run.unlink(missing_ok=True)
        self._runs = []

    def _sorted_waiting(self) -> Records:
        return sort_records(np.concatenate(self._waiting), unique=self._unique)

    def _write_run(self) -> None:
        self._write([self._sorted_waiting()])
        self._waiting, self._count = [], 0

    def _write(self, chunks: Iterable[Records]) -> None:
        """A new run of sorted chunks."""
        path = self._stem.with_name(f"{self._stem.name}-{self._written:06d}")
        self._written += 1
        with disk_errors_named(path), path.open("wb") as file:
            for chunk in chunks:
                file.write(np.ascontiguousarray(chunk).data)
        self._runs.append(path)

    def _merged(self, runs: Sequence[Path]) -> Iterator[Records]:
        """Chunks up to a bound that no unread record is below: the least last record of all runs' heads."""
        at_once = max(self._most // len(runs), _SMALLEST_READ)
        heads = [_Run(path, self._columns, at_once) for path in runs]
        try:
            last: Records | None = None
            while heads := [head for head in heads if head.fill()]:
                bound = min(tuple(head.records[-1].tolist()) for head in heads)
                merged = sort_records(
                    np.concatenate([head.take_up_to(bound) for head in heads]), unique=self._unique
                )
                if self._unique and last is not None and bool((merged[0] == last).all()):
                    merged = merged[1:]
                if len(merged):
                    last = merged[-1]
                    yield merged
        finally:
            for head in heads:
                head.close()


class _Run:
    """A sorted file, read piece by piece."""

    def __init__(self, path: Path, columns: int, at_once: int) -> None:
        self._file: BinaryIO = path.open("rb")
        self._columns = columns
        self._at_once = at_once
        self.records: Records = np.zeros((0, columns), dtype=np.uint64)

    def fill(self) -> bool:
        """Whether there is a record left; reads the next ones if none is at hand."""
        if not len(self.records):
            data = self._file.read(self._at_once * self._columns * _BYTES_PER_NUMBER)
            self.records = np.frombuffer(data, dtype=np.uint64).reshape(-1, self._columns)
            if not len(self.records):
                self._file.close()
        return len(self.records) > 0

    def take_up_to(self, bound: tuple[int, ...]) -> Records:
        """The records at hand that are not above `bound`."""
        count = _count_up_to(self.records, bound)
        taken, self.records = self.records[:count], self.records[count:]
        return taken

    def close(self) -> None:
        self._file.close()


def _count_up_to(records_MC: Records, bound: tuple[int, ...]) -> int:
    """How many of the sorted records come before `bound` or are it."""
    low, high = 0, len(records_MC)
    for column, value in enumerate(bound):
        values = np.ascontiguousarray(records_MC[low:high, column])
        key = np.uint64(value)
        low, high = (
            low + int(np.searchsorted(values, key, side="left")),
            low + int(np.searchsorted(values, key, side="right")),
        )
        if low == high:
            break
    return high


def sort_records(records_MC: Records, *, unique: bool = False) -> Records:
    """A sorted copy. Only records whose first numbers are equal need a look at the others, and they are few."""
    first = np.ascontiguousarray(records_MC[:, 0])
    records_MC = records_MC[np.argsort(first)]
    equal = records_MC[1:, 0] == records_MC[:-1, 0]
    if equal.any() and records_MC.shape[1] > 1:
        tied = np.flatnonzero(np.append(equal, False) | np.insert(equal, 0, False))
        among = records_MC[tied]
        records_MC[tied] = among[np.lexsort(among.T[::-1])]
    if unique and len(records_MC):
        new = (records_MC[1:] != records_MC[:-1]).any(axis=1)
        records_MC = records_MC[np.insert(new, 0, True)]
    return records_MC
