"""Exact duplicates, found in a stream with a bounded amount of memory.

Two texts are the same when they are after case and white space are folded. Digests live in a SQLite file in
the building folder, whose page cache is the only memory that is used; 16-byte digests make a false duplicate
less likely than a fault of the machine (1e9 documents: 1e-21).
"""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from types import TracebackType

from workbench.errors import NoSpace
from workbench.files import disk_error

FILE_NAME = "seen.sqlite"
_CACHE_KILOBYTES = 32_000


def folded_digest(text: str) -> bytes:
    """16 bytes that are equal for texts that differ only in case and white space."""
    folded = " ".join(text.casefold().split())
    return hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class SeenTexts:
    """Remembers digests and whose they were. A context manager; its file is gone when it ends.

    Raises NoSpace when the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._database = sqlite3.connect(self._path, isolation_level=None)
        # The file is scratch: no journal and no sync, it dies with the process.
        for setting in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KILOBYTES}"):
            self._database.execute(f"PRAGMA {setting}")
        self._database.execute(
            "CREATE TABLE seen (digest BLOB PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID"
        )
        self._database.execute("BEGIN")

    def first_with(self, digest: bytes, name: str) -> str | None:
        """None, and `name` is remembered, when `digest` is new; else the name it was first seen with."""
        try:
            added = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (digest, name))
            if added.rowcount:
                return None
            row = self._database.execute("SELECT name FROM seen WHERE digest = ?", (digest,)).fetchone()
        except sqlite3.OperationalError as error:
            refused = NoSpace(f"cannot write: {error}", file=self._path, fix="see to the disk")
            raise disk_error(error, self._path) or refused from error
        return str(row[0])

    def __enter__(self) -> SeenTexts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
        self._path.unlink(missing_ok=True)
