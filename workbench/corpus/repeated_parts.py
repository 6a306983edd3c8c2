"""Paragraphs or lines that stand in many documents: menus, notices, licences. The first copies stay, later ones go.

    parts.add(numbers, part_digests(texts, settings))     for every block, in any order
    for _ in parts.decide(): ...
    for number, indices in parts.repeated(): ...          what goes, by document in order of number
    without_parts(text, unit, indices)

Case and white space are folded before parts are compared. Parts shorter than `min_characters` always stay: a
heading, a closing brace, "Yes." mean something where they stand (CCNet takes paragraphs, Wenzek et al. 2020).

Shapes: N texts, K parts that are long enough.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.sorted_records import Records, SortedRecords
from workbench.files import make_folders

Unit = Literal["paragraph", "line"]

_BETWEEN_PARAGRAPHS = re.compile(r"(\n[ \t]*\n\s*)")
_BETWEEN_LINES = re.compile(r"(\n)")


@dataclass(frozen=True, slots=True)
class PartSettings:
    """What a part is, how long it must be to count, and how many copies of one stay in the corpus."""

    unit: Unit = "paragraph"
    min_characters: int = 40
    copies: int = 1


@dataclass(frozen=True, slots=True)
class PartDigests:
    """Of each long enough part of N texts: a digest and which part of its text it is; and how many each text has."""

    digests_K: NDArray[np.uint64]
    indices_K: NDArray[np.int64]
    counts_N: NDArray[np.int64]


def part_digests(texts: Sequence[str], settings: PartSettings) -> PartDigests:
    """What `RepeatedParts.add` takes of `texts`."""
    digests: list[bytes] = []
    indices: list[int] = []
    counts: list[int] = []
    for text in texts:
        before = len(indices)
        for index, part in enumerate(_split(text, settings.unit)[::2]):
            if len(part) >= settings.min_characters:
                folded = " ".join(part.casefold().split()).encode("utf-8", "surrogatepass")
                digests.append(hashlib.blake2b(folded, digest_size=8).digest())
                indices.append(index)
        counts.append(len(indices) - before)
    return PartDigests(
        np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64),
        np.array(indices, dtype=np.int64),
        np.array(counts, dtype=np.int64),
    )


def without_parts(text: str, unit: Unit, indices: Sequence[int]) -> str:
    """`text` without the parts at `indices` and what stands behind each."""
    pieces = _split(text, unit)
    for index in indices:
        for place in (2 * index, 2 * index + 1):
            if place < len(pieces):
                pieces[place] = ""
    return "".join(pieces).strip("\n")


def _split(text: str, unit: Unit) -> list[str]:
    """Parts and what is between them, in turn."""
    return (_BETWEEN_PARAGRAPHS if unit == "paragraph" else _BETWEEN_LINES).split(text)


class RepeatedParts:
    """Finds parts that are repeated across documents, and cuts them out. A context manager; its folder is scratch."""

    def __init__(self, folder: Path, settings: PartSettings, *, memory_bytes: int = 64_000_000) -> None:
        make_folders(folder)
        self._folder = folder
        self._settings = settings
        self._parts = SortedRecords(folder, "parts", columns=3, memory_bytes=memory_bytes)
        self._repeated = SortedRecords(folder, "repeated", columns=2, memory_bytes=memory_bytes)

    def __enter__(self) -> RepeatedParts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, numbers: NDArray[np.int64], parts: PartDigests) -> None:
        """Take in the parts of documents. Raises NoSpace."""
        owners_K = np.repeat(numbers, parts.counts_N).astype(np.uint64)
        self._parts.add(np.stack((parts.digests_K, owners_K, parts.indices_K.astype(np.uint64)), axis=1))

    def decide(self) -> Iterator[int]:
        """Settles which parts go; yields how many were looked at. After all `add`."""
        copies = self._settings.copies
        carried: Records = np.zeros((0, 3), dtype=np.uint64)  # the first copies of the digest that may go on
        looked_at = 0
        for chunk in self._parts:
            looked_at += len(chunk)
            rows = np.concatenate((carried, chunk))
            opens = np.insert(rows[1:, 0] != rows[:-1, 0], 0, True)
            at = np.arange(len(rows))
            place = at - np.maximum.accumulate(np.where(opens, at, 0))
            self._repeated.add(rows[(place >= copies) & (at >= len(carried)), 1:])
            carried = rows[np.flatnonzero(opens)[-1] :][:copies]
            yield looked_at
        self._parts.close()

    def repeated(self) -> Iterator[tuple[int, list[int]]]:
        """By document, in order of number, which of its parts go. Can be asked again."""
        held = np.zeros((0, 2), dtype=np.uint64)
        for chunk in self._repeated:
            held = np.concatenate((held, chunk))
            opens = np.flatnonzero(np.insert(held[1:, 0] != held[:-1, 0], 0, True))
            for each in np.split(held, opens[1:])[:-1]:
                yield int(each[0, 0]), each[:, 1].tolist()
            held = held[opens[-1] :]
        if len(held):
            yield int(held[0, 0]), held[:, 1].tolist()
