"""Every document of a corpus in columns on disk: what was decided about it, and the figures that decisions need.

Documents are numbered through all blocks. Columns are appended block by block, then mapped into memory, so a
billion documents cost address space, not memory. Scratch: gone with its folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from workbench.files import disk_errors_named

COLUMNS: Mapping[str, Any] = {
    "reason": np.uint16,
    "figure": np.float64,
    "other": np.int64,
    "characters": np.uint32,
    "bytes": np.uint32,
    "position": np.uint64,
    "heldout": np.int8,
}
"""`reason`: 0 while it stays. `other`: the document that it is a copy of, or -1. The rest as in the layer `facts`."""


class DocumentTable:
    """The columns of COLUMNS, in `columns` once `freeze` was called, and the ids. A context manager."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files: dict[str, BinaryIO] = {
            name: open(folder / name, "w+b")  # noqa: SIM115 - closed by `__exit__`
            for name in (*COLUMNS, "ids", "id_ends")
        }
        self._id_bytes = 0
        self.first_of_block: list[int] = [0]
        """Number of the first document of each block; one more entry than there are blocks."""
        self.columns: dict[str, NDArray[Any]] = {}

    def __len__(self) -> int:
        return self.first_of_block[-1]

    def append(
        self, columns: Mapping[str, NDArray[Any]], id_bytes: NDArray[np.uint8], id_ends: NDArray[np.uint64]
    ) -> None:
        """The documents of the next block. Raises NoSpace when the disk refuses."""
        count = len(id_ends)
        with disk_errors_named(self._folder):
            for name, dtype in COLUMNS.items():
                column = np.ascontiguousarray(columns[name], dtype=dtype)
                assert column.shape == (count,), name
                self._files[name].write(column.tobytes())
            used = int(id_ends[-1]) if count else 0
            self._files["ids"].write(id_bytes[:used].tobytes())
            self._files["id_ends"].write((id_ends + np.uint64(self._id_bytes)).tobytes())
        self._id_bytes += used
        self.first_of_block.append(len(self) + count)

    def freeze(self) -> None:
        """Map the columns into memory: from now on they are read, and changed, in place."""
        for name, file in self._files.items():
            with disk_errors_named(self._folder):
                file.flush()
            dtype = COLUMNS.get(name, np.uint8 if name == "ids" else np.uint64)
            size = self._id_bytes if name == "ids" else len(self)
            # An empty file cannot be mapped.
            self.columns[name] = (
                np.memmap(file, dtype=dtype, mode="r+", shape=(size,)) if size else np.zeros(0, dtype=dtype)
            )

    def block(self, number: int) -> slice:
        """Where the documents of a block stand."""
        return slice(self.first_of_block[number], self.first_of_block[number + 1])

    def blocks_of(self, documents: NDArray[np.int64]) -> NDArray[np.int64]:
        """The block in which each of `documents` stands."""
        return np.searchsorted(np.array(self.first_of_block), documents, side="right").astype(np.int64) - 1

    def ids(self, documents: Sequence[int] | NDArray[np.int64]) -> list[str]:
        """The ids of some documents."""
        ends, data = self.columns["id_ends"], self.columns["ids"]
        found = []
        for document in map(int, documents):
            start = int(ends[document - 1]) if document else 0
            found.append(data[start : int(ends[document])].tobytes().decode("utf-8", "surrogatepass"))
        return found

    def __enter__(self) -> DocumentTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.columns.clear()
        for file in self._files.values():
            file.close()
