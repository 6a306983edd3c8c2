"""Batches from token shards. What step s sees depends on (seed, s) and the shards alone: resuming needs one
integer.

One epoch lays all documents end to end in an order drawn from (seed, epoch), each behind its bos, cuts that
stream into rows of `context_length`, and draws the order of the rows too, so that a batch is not one long
document. Every token is read exactly once per epoch. Epochs follow each other without a gap, also inside a
batch.
Knows no text and no model; numpy until the last line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from workbench.data.shards import TokenShards
from workbench.errors import BadInput

NOT_LEARNED = -100
"""The target of a position with nothing to predict (PyTorch's `ignore_index`)."""


@dataclass(frozen=True)
class Batch:
    """One step's rows: `targets_BT[b, t]` is the token after `inputs_BT[b, t]`. int64, on the CPU.

    The bos of the next document is a target too: predicting it is how a model learns where a text ends.
    documents_BT numbers the document each input belongs to; None when a row may be read as one text.
    """

    inputs_BT: torch.Tensor
    targets_BT: torch.Tensor
    documents_BT: torch.Tensor | None = None


def batches(
    shards: TokenShards,
    *,
    context_length: int,
    batch_tokens: int,
    seed: int,
    start_step: int = 0,
    isolate_documents: bool = False,
) -> Iterator[Batch]:
    """The batches of step `start_step`, `start_step + 1`, … without end, `batch_tokens` positions each.

    With `isolate_documents` each says which document a token belongs to, for attention to stay inside it.
    Raises BadInput, before the first batch, when the corpus does not fill one.
    """
    assert batch_tokens % context_length == 0, "a batch is whole rows"
    if shards.num_tokens < batch_tokens:
        raise BadInput(
            f"the corpus has {shards.num_tokens} tokens, one batch needs {batch_tokens}",
            fix="add text, or lower [pretrain] batch_tokens",
        )
    rows = _rows(shards, context_length, batch_tokens // context_length, seed, start_step)
    bos_id = int(shards.read(0, 1)[0]) if isolate_documents else None  # every document starts with it
    return (_batch(windows, bos_id) for windows in rows)


def _rows(
    shards: TokenShards, context_length: int, num_rows: int, seed: int, step: int
) -> Iterator[npt.NDArray[np.int64]]:
    rows_per_epoch = -(-shards.num_tokens // context_length)
    epoch: _Epoch | None = None
    while True:
        windows = np.empty((num_rows, context_length + 1), dtype=np.int64)
        for row in range(num_rows):
            number, rank = divmod(step * num_rows + row, rows_per_epoch)
            if epoch is None or epoch.number != number:
                epoch = _Epoch(shards, context_length, seed, number)
            windows[row] = epoch.row(rank)
        yield windows
        step += 1


def _batch(windows: npt.NDArray[np.int64], bos_id: int | None) -> Batch:
    # Only the inputs need a real token where the stream has ended; any will do, as nothing is learned there.
    inputs_BT = np.maximum(windows[:, :-1], 0)
    targets_BT = np.ascontiguousarray(windows[:, 1:])
    documents_BT = None if bos_id is None else torch.from_numpy((inputs_BT == bos_id).cumsum(axis=1))
    return Batch(torch.from_numpy(inputs_BT), torch.from_numpy(targets_BT), documents_BT)


class _Epoch:
    """One pass over all documents: their order, where each starts in it, and the order of the rows."""

    def __init__(self, shards: TokenShards, context_length: int, seed: int, number: int) -> None:
        self.number = number
        self._shards = shards
        self._context_length = context_length
        bounds = np.asarray(shards.bounds)
        self._documents = shuffled(shards.num_documents, key=(seed, number, 0))
        # _starts[i] is where the i-th document of this epoch starts in the epoch's stream.
        lengths = np.diff(bounds)[self._documents]
        self._starts = np.concatenate(([0], np.cumsum(lengths)))
        self._rows = shuffled(-(-shards.num_tokens // context_length), key=(seed, number, 1))

    def row(self, rank: int) -> npt.NDArray[np.int64]:
        """The `rank`-th row: context_length tokens and the next one, NOT_LEARNED beyond the stream's end."""
        start = int(self._rows[rank]) * self._context_length
        window = np.full(self._context_length + 1, NOT_LEARNED, dtype=np.int64)
        tokens = self._stream(start, min(start + len(window), self._shards.num_tokens))
        window[: len(tokens)] = tokens
        return window

    def _stream(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        tokens = np.empty(stop - start, dtype=np.int64)
        position = start
        rank = int(np.searchsorted(self._starts, start, side="right")) - 1
        while position < stop:
            until = min(stop, int(self._starts[rank + 1]))
            offset = int(self._shards.bounds[self._documents[rank]]) - int(self._starts[rank])
            tokens[position - start : until - start] = self._shards.read(position + offset, until + offset)
            position, rank = until, rank + 1
        return tokens


def shuffled(count: int, *, key: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """The numbers 0 to `count` - 1 in an order drawn from `key`.

    Sorted by a hash of (key, number), SplitMix64 (Steele et al. 2014), not by numpy's generator, whose stream
    may change between versions: an order must outlive an upgrade.
    """
    state: npt.NDArray[np.uint64] = np.zeros(1, dtype=np.uint64)
    for part in key:
        state = _mixed(state ^ np.uint64(part))
    numbers = np.arange(count, dtype=np.uint64)
    return np.argsort(_mixed(numbers + state), kind="stable")


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's output function, a bijection on 64 bits; arithmetic wraps."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
