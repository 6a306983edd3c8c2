"""What became of the files of sources between the moment they were looked up and the end of their reading.

Whoever reads them tells it here; whoever names what was made of them asks: a name must not claim a file that nobody
could read, nor one that was another when it was read.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path


class SourceWatch:
    """Files that could not be read as they were when they were looked up; holds 8 bytes for each that could."""

    def __init__(self) -> None:
        self.unread: dict[tuple[str, Path], int] = {}
        """Files that could not be read, or not to the end, for a reason that is not in them: (source, file) -> bytes
        of text that came before."""
        self.changed: list[tuple[str, Path]] = []
        """Files that were written to meanwhile."""
        self._marks: dict[str, array[int]] = {}

    def looked_up(self, source: str, files: Sequence[Path], refused: Sequence[Path] = ()) -> None:
        """These are the files of `source` from now on; what is `refused` will not even be opened."""
        self._marks[source] = array("q", map(_mark, files))
        self.unread.update(((source, file), 0) for file in refused)

    def begins(self, source: str, number: int, file: Path) -> None:
        """The file of that number is about to be read."""
        now = _mark(file)
        if now not in (self._marks[source][number], GONE):
            self.changed.append((source, file))

    def failed(self, source: str, file: Path, reason: str, num_bytes: int) -> None:
        """Reading broke off after `num_bytes` of text, for a reason of `workbench.data.byte_stream`."""
        if reason in ("cannot_be_read", "vanished"):
            self.unread[source, file] = num_bytes
        elif reason == "changed":
            self.changed.append((source, file))


GONE = 0


def _mark(file: Path) -> int:
    """A number that is another once somebody wrote to `file` or put another in its place."""
    try:
        facts = file.stat()
    except OSError:
        return GONE
    return hash((facts.st_size, facts.st_mtime_ns, facts.st_ino))
