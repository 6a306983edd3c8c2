"""Sources cut into blocks: about 8 MB of raw bytes each, in a fixed order, whatever works on them.

    source ─ file ─ block 0 │ block 1 │ …      a block ends where a record ends: at a line of .jsonl, between two
                                               documents of a text file, after a row of a table, between small files

Cutting is the cheap part (reading, unpacking, counting lines) and is done by one process; what is in a block is
the work of many (extracting.py). A block's digest says what it holds, so its layers are found again in the cache
wherever it stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

BLOCK_BYTES = 8_000_000
"""About what one block holds: small enough that ten fit into memory, large enough that handing it over is nothing."""
BLOCK_PIECES = 256
"""At most so many small files go into one block."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a file: the lines of many records, or one document."""

    name: str
    """What the ids of its documents begin with, or are: the file, relative to the recipe."""
    line: int
    """The line of the file (row, record) that `content` begins with, from 1."""
    content: bytes
    file: str = ""
    """The file as it is shown to a person who has to mend it."""
    heldout: bool | None = None
    """As in Document: where the source itself decides."""
    bad: tuple[str, str] | None = None
    """Reason and detail, for a record that could not even be cut out; `content` is then empty."""


@dataclass(frozen=True, slots=True)
class Block:
    """Pieces of one source that are worked on together."""

    source: str
    """The entry of `sources` it came from."""
    format: str
    """How pieces become documents: see extracting.py."""
    pieces: tuple[Piece, ...]
    number: int = 0
    """Its place in the corpus, from 0. Set by `numbered`."""
    done_bytes: int = 0
    """Bytes on disk that the files of all sources have given up to the end of this block, for progress."""
    is_reference: bool = field(default=False)
    """Whether its documents are only compared with: they belong to a corpus that is there already."""

    @property
    def num_bytes(self) -> int:
        """Raw bytes in it."""
        return sum(len(piece.content) for piece in self.pieces)

    @property
    def file(self) -> str:
        """The first file in it, to name it by."""
        return next((piece.file or piece.name for piece in self.pieces), self.source)

    def digest(self) -> bytes:
        """16 bytes that differ when anything differs that its documents are made of; not where it stands."""
        digest = hashlib.blake2b(self.format.encode(), digest_size=16)
        for piece in self.pieces:
            bad = "\0".join(piece.bad or ())
            head = f"\n{piece.name}\n{piece.line} {piece.heldout} {len(piece.content)} {bad}\n"
            digest.update(head.encode("utf-8", "surrogatepass"))
            digest.update(piece.content)
        return digest.digest()


def gathered(
    source: str,
    kind: str,
    pieces: Iterable[Piece],
    *,
    block_bytes: int = BLOCK_BYTES,
    most_pieces: int = BLOCK_PIECES,
) -> Iterator[Block]:
    """Blocks of consecutive pieces: at most `block_bytes` and `most_pieces` in each, but always one."""
    held: list[Piece] = []
    size = 0
    for piece in pieces:
        if held and (size + len(piece.content) > block_bytes or len(held) >= most_pieces):
            yield Block(source, kind, tuple(held))
            held, size = [], 0
        held.append(piece)
        size += len(piece.content)
    if held:
        yield Block(source, kind, tuple(held))
