"""Rows cut from one stream of documents.

One epoch lays all documents end to end in an order drawn from (seed, epoch), each behind its bos, cuts that
stream into rows, and draws the order of the rows too, so that neighbours are not one long document. Every token is
read exactly once per epoch. Knows no text and no model.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workbench.data.order import shuffled
from workbench.data.packed_rows import NOT_LEARNED, Row
from workbench.data.shards import TokenShards


class StreamRows:
    """Rows of `row_length` tokens of these documents (all when None). `key`: what orders are drawn from.

    The bos of the next document is a target too: predicting it is how a model learns where a text ends.
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
        self._documents = documents
        self._bos_id = int(shards.read(0, 1)[0])  # every document starts with it
        lengths = np.diff(shards.bounds)
        self._num_tokens = int(lengths.sum() if documents is None else lengths[documents].sum())
        self._epoch: _Epoch | None = None

    @property
    def num_tokens(self) -> int:
        """The tokens of all documents together."""
        return self._num_tokens

    @property
    def rows_per_epoch(self) -> int:
        """How many rows read every document once; the last of the stream is filled up."""
        return -(-self._num_tokens // self._row_length)

    def row(self, number: int) -> Row:
        """Row `number`; beyond the end of an epoch's stream nothing is learned."""
        epoch, rank = divmod(number, self.rows_per_epoch)
        if self._epoch is None or self._epoch.number != epoch:
            self._epoch = _Epoch(self._shards, self._documents, self.rows_per_epoch, self._key, epoch)
        start = int(self._epoch.rows[rank]) * self._row_length
        window = np.full(self._row_length + 1, NOT_LEARNED, dtype=np.int64)
        tokens = self._epoch.stream(start, min(start + len(window), self._num_tokens))
        window[: len(tokens)] = tokens
        # Only the inputs need a real token where the stream has ended; any will do, as nothing is learned there.
        inputs_T = np.maximum(window[:-1], 0)
        return Row(inputs_T, window[1:], (inputs_T == self._bos_id).cumsum())


class _Epoch:
    """One pass over all documents: their order, where each starts in it, and the order of the rows."""

    def __init__(
        self,
        shards: TokenShards,
        documents: npt.NDArray[np.int64] | None,
        num_rows: int,
        key: tuple[int, ...],
        number: int,
    ) -> None:
        self.number = number
        self._shards = shards
        seed, *rest = key
        count = shards.num_documents if documents is None else len(documents)
        order = shuffled(count, key=(seed, number, 0, *rest))
        self._documents = order if documents is None else documents[order]
        # _starts[i] is where the i-th document of this epoch starts in the epoch's stream.
        lengths = np.diff(shards.bounds)[self._documents]
        self._starts = np.concatenate(([0], np.cumsum(lengths)))
        self.rows = shuffled(num_rows, key=(seed, number, 1, *rest))

    def stream(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """The tokens `start:stop` of the epoch's stream."""
        tokens = np.empty(stop - start, dtype=np.int64)
        position = start
        rank = int(np.searchsorted(self._starts, start, side="right")) - 1
        while position < stop:
            until = min(stop, int(self._starts[rank + 1]))
            offset = int(self._shards.bounds[self._documents[rank]]) - int(self._starts[rank])
            tokens[position - start : until - start] = self._shards.read(position + offset, until + offset)
            position, rank = until, rank + 1
        return tokens
