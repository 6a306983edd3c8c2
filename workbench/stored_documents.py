"""The documents of a published corpus, page by page: no file is read further than a page needs.

A place is a file and a line in it. The files are zstandard streams, so reading begins at the start of a file (half a
second for a whole shard) and goes on from where the last page ended. Texts are handed out cut to MOST_CHARACTERS.
Paper: the layout of the folder is told in workbench/data/corpus_folder.py, and a test holds the two together.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import zstandard

from workbench.errors import Damaged

Part = Literal["train", "heldout", "rejected"]
FILES: dict[Part, str] = {
    "train": "train-*.jsonl.zst",
    "heldout": "heldout.jsonl.zst",
    "rejected": "rejected.jsonl.zst",
}
CLUSTERS_FILE = "clusters.jsonl.zst"
MOST_CHARACTERS = 20_000
"""Of a text that is shown; `characters` says how long it is."""
_PACKED_BYTES = 1 << 15
_LINES_A_LOOK = 2_000


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a document stands: number of the file, number of the line, both from 0."""

    file: int = 0
    line: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """One document; a rejected one with its reason, the figure that decided, and what it is a copy of."""

    place: Place
    id: str
    source: str
    text: str
    characters: int
    reason: str = ""
    figure: Any = None
    copy_of: str = ""


class StoredDocuments:
    """One part of a corpus folder, read in pages. Not for two threads at once."""

    def __init__(self, folder: Path, part: Part, *, reason: str = "", source: str = "") -> None:
        """reason: of the rejected, only those left out for it. source: only those from there."""
        self.files = sorted(folder.glob(FILES[part]))
        wanted = {"reason": reason, "source": source}
        self._needles = [needle(name, value) for name, value in wanted.items() if value]
        self._next = Place()
        self._cursor: Iterator[tuple[Place, bytes]] | None = None

    def page(self, start: Place, count: int) -> list[Stored]:
        """Up to `count` documents from `start` on; fewer at the end. Raises Damaged where a file is cut or altered."""
        if self._cursor is None or start != self._next:
            self._cursor = self._lines(start)
        documents: list[Stored] = []
        for place, line in self._cursor:
            if self._wants(line):
                documents.append(_stored(place, line, self.files[place.file]))
                self._next = Place(place.file, place.line + 1)
                if len(documents) == count:
                    return documents
        self._cursor = None
        return documents

    def find(self, text: str, start: Place) -> Iterator[Place | None]:
        """The places from `start` on whose record holds `text`, however its ASCII letters are written.

        Yields None now and then, so that whoever waits can give up.
        """
        sought = json.dumps(text, ensure_ascii=False)[1:-1].encode(errors="replace").lower()
        for number, (place, line) in enumerate(self._lines(start)):
            if self._wants(line) and sought in line.lower():
                yield place
            elif number % _LINES_A_LOOK == 0:
                yield None

    def _wants(self, line: bytes) -> bool:
        return all(needle in line for needle in self._needles)

    def at(self, share: float) -> Place:
        """A document about `share` (0 to 1) of the way through all bytes. Reads one file up to there."""
        sizes = [file.stat().st_size for file in self.files]
        left = share * sum(sizes)
        for number, size in enumerate(sizes):
            if left < size or number == len(sizes) - 1:
                return self._at(number, min(left, size), share)
            left -= size
        return Place()

    def _at(self, number: int, packed: float, share: float) -> Place:
        lines = ends = 0
        for block, read in _blocks(self.files[number]):
            lines, ends = lines + ends, block.count(b"\n")
            if read >= packed and ends:
                return Place(number, lines + min(int(share * ends), ends - 1))
        return Place(number, 0)

    def _lines(self, start: Place) -> Iterator[tuple[Place, bytes]]:
        for number in range(start.file, len(self.files)):
            skip = start.line if number == start.file else 0
            line = 0
            held: list[bytes] = []
            for block, _ in _blocks(self.files[number]):
                if line < skip:
                    ends = block.count(b"\n")
                    if line + ends < skip:
                        line += ends
                        continue
                    position = 0
                    while line < skip:
                        position = block.index(b"\n", position) + 1
                        line += 1
                    block = block[position:]
                *ended, rest = block.split(b"\n")
                for piece in ended:
                    yield Place(number, line), b"".join([*held, piece])
                    line, held = line + 1, []
                if rest:
                    held.append(rest)


def needle(name: str, value: str) -> bytes:
    """What stands in the line of a record whose `name` is `value`, and in no text: there quotes are escaped."""
    return f'"{name}":{json.dumps(value, ensure_ascii=False)}'.encode(errors="replace")


def read_clusters(folder: Path, most: int) -> list[dict[str, Any]]:
    """The largest clusters of copies, largest first: `kept`, `size`, `copies`. Raises Damaged."""
    path = folder / CLUSTERS_FILE
    if not path.is_file():
        return []
    found: list[dict[str, Any]] = []
    held = b""
    for block, _ in _blocks(path):
        *ended, held = (held + block).split(b"\n")
        found += [_record(line, path) for line in ended[: most - len(found)]]
        if len(found) >= most:
            break
    return found


def _blocks(path: Path) -> Iterator[tuple[bytes, int]]:
    """What a file unpacks to, block by block, with the packed bytes read so far. Raises Damaged after what is whole."""
    unpacker = zstandard.ZstdDecompressor()
    frame = None
    read = 0
    try:
        with path.open("rb") as file:
            while packed := file.read(_PACKED_BYTES):
                read += len(packed)
                while packed:
                    frame = frame or unpacker.decompressobj()
                    yield frame.decompress(packed), read
                    packed = frame.unused_data
                    if frame.eof:
                        frame = None
    except zstandard.ZstdError as error:
        raise _damaged(path) from error
    if frame is not None:
        raise _damaged(path)


def _stored(place: Place, line: bytes, file: Path) -> Stored:
    record = _record(line, file)
    text = str(record.get("text", ""))
    characters = record.get("characters")
    return Stored(
        place=place,
        id=str(record.get("id", "")),
        source=str(record.get("source", "")),
        text=text[:MOST_CHARACTERS],
        characters=characters if isinstance(characters, int) else len(text),
        reason=str(record.get("reason", "")),
        figure=record.get("figure"),
        copy_of=str(record.get("copy_of", "")),
    )


def _record(line: bytes, file: Path) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise _damaged(file) from None
    if not isinstance(record, dict):
        raise _damaged(file)
    return record


def _damaged(path: Path) -> Damaged:
    return Damaged("is damaged", file=path, fix="delete the artifact and run again")
