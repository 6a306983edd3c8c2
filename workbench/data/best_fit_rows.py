"""Rows that hold documents whole: best-fit packing over token shards.

A document longer than a row is cut into full rows and a rest; every piece goes where packing.py found room for its
length. Which lengths share a row is the same in every epoch, so an epoch always has as many rows; which documents
of a length those are is drawn from (seed, epoch), and so is the order of the rows. Every token is read exactly once
per epoch. Knows no text and no model.

    slot   a place for a piece: slots are numbered from the longest piece to the shortest
    row    the slots _slots[_row_starts[r] : _row_starts[r + 1]]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from workbench.data.order import shuffled
from workbench.data.packed_rows import NOT_LEARNED, Row
from workbench.data.shards import TokenShards
from workbench.packing import Fill, best_fit


class BestFitRows:
    """Rows of `row_length` positions of these documents (all when None). `key`: what orders are drawn from.

    The target of a document's last token is bos, as if the next one followed: predicting it is how a model learns
    where a text ends. Behind the last document of a row is padding, of which nothing is learned.
    """

    def __init__(
        self,
        shards: TokenShards,
        *,
        row_length: int,
        key: tuple[int, ...],
        documents: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self._shards = shards
        self._row_length = row_length
        self._key = key
        self._bos_id = int(shards.read(0, 1)[0])  # every document starts with it
        self._piece_starts, self._piece_lengths = _pieces(shards, documents, row_length)
        counts = np.bincount(self._piece_lengths)
        fills = best_fit({int(n): int(counts[n]) for n in np.flatnonzero(counts)}, row_length=row_length)
        self._slots, self._row_starts = _slots_of_rows(fills, counts)
        self._epoch: _Epoch | None = None

    @property
    def num_tokens(self) -> int:
        """The tokens of all documents together."""
        return int(self._piece_lengths.sum())

    @property
    def rows_per_epoch(self) -> int:
        """How many rows read every document once."""
        return len(self._row_starts) - 1

    def row(self, number: int) -> Row:
        """Row `number`: its documents one behind the other, the longest first, then padding."""
        epoch, rank = divmod(number, self.rows_per_epoch)
        if self._epoch is None or self._epoch.number != epoch:
            self._epoch = _Epoch(self._piece_lengths, self.rows_per_epoch, self._key, epoch)
        place = int(self._epoch.rows[rank])
        slots = self._slots[self._row_starts[place] : self._row_starts[place + 1]]

        inputs_T = np.full(self._row_length, self._bos_id, dtype=np.int64)
        targets_T = np.full(self._row_length, NOT_LEARNED, dtype=np.int64)
        documents_T = np.full(self._row_length, len(slots), dtype=np.int64)
        end = 0
        for document, piece in enumerate(self._epoch.pieces[slots]):
            start, end = end, end + int(self._piece_lengths[piece])
            inputs_T[start:end], targets_T[start:end] = self._read(
                int(self._piece_starts[piece]), end - start
            )
            documents_T[start:end] = document
        return Row(inputs_T, targets_T, documents_T)

    def _read(self, at: int, length: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The tokens of a piece and what follows each: behind a document's last token stands the next one's bos."""
        tokens = np.full(length + 1, self._bos_id, dtype=np.int64)
        stored = self._shards.read(at, min(at + length + 1, self._shards.num_tokens))
        tokens[: len(stored)] = stored
        return tokens[:-1], tokens[1:]


class _Epoch:
    """One pass over all documents: which piece is in which slot, and the order of the rows."""

    def __init__(
        self, piece_lengths: npt.NDArray[np.int64], num_rows: int, key: tuple[int, ...], number: int
    ) -> None:
        self.number = number
        seed, *rest = key
        drawn = shuffled(len(piece_lengths), key=(seed, number, 0, *rest))
        self.pieces = drawn[_longest_first(piece_lengths[drawn])]
        self.rows = shuffled(num_rows, key=(seed, number, 1, *rest))


def _pieces(
    shards: TokenShards, documents: npt.NDArray[np.int64] | None, row_length: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where each piece starts in the shards' stream, and its length."""
    bounds = np.asarray(shards.bounds)
    starts, ends = (
        (bounds[:-1], bounds[1:]) if documents is None else (bounds[documents], bounds[documents + 1])
    )
    num_pieces = -(-(ends - starts) // row_length)
    first_piece = np.cumsum(num_pieces) - num_pieces
    number = np.arange(int(num_pieces.sum())) - np.repeat(
        first_piece, num_pieces
    )  # of a piece in its document
    piece_starts = np.repeat(starts, num_pieces) + number * row_length
    return piece_starts, np.minimum(np.repeat(ends, num_pieces) - piece_starts, row_length)


def _slots_of_rows(
    fills: Sequence[Fill], counts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The slots of all rows one row after the other, and where each row starts among them."""
    longer = (
        counts[::-1].cumsum()[::-1] - counts
    )  # how many pieces are longer than n: the first slot of length n
    next_slot = longer.copy()
    slots, widths = [], []
    for fill in fills:
        columns = []
        for length, times in fill.pieces:
            taken = np.arange(next_slot[length], next_slot[length] + fill.rows * times)
            next_slot[length] += len(taken)
            columns.append(taken.reshape(fill.rows, times))
        slots.append(np.concatenate(columns, axis=1).ravel())
        widths.append(np.full(fill.rows, sum(times for _, times in fill.pieces)))
    row_starts = np.concatenate(([0], np.cumsum(np.concatenate(widths))))
    return np.concatenate(slots), row_starts


def _longest_first(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The order that sorts `lengths` from long to short and leaves equal ones as they are."""
    missing = lengths.max() - lengths
    # numpy sorts 16-bit integers by radix, several times as fast.
    return np.argsort(missing.astype(np.uint16) if missing.max() < 1 << 16 else missing, kind="stable")
