"""Batches from token shards. What step s sees depends on (seed, s) and the shards alone: resuming needs one
integer.

Rows come from a packing (packed_rows.py); a batch is the next so many of them. Epochs follow each other without a
gap, also inside a batch. Knows no text and no model; numpy until the last line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workbench.data.best_fit_rows import BestFitRows
from workbench.data.mixed_rows import MixedRows
from workbench.data.packed_rows import NOT_LEARNED, Row, RowReader, Rows
from workbench.data.shards import TokenShards
from workbench.data.stream_rows import StreamRows
from workbench.errors import BadInput
from workbench.mixing import Phase
from workbench.packing import Packing
from workbench.ramps import BatchSizes, Stretch

__all__ = ["NOT_LEARNED", "Batch", "batches", "micro_batches"]


@dataclass(frozen=True)
class Batch:
    """One step's rows: `targets_BT[b, t]` is the token after `inputs_BT[b, t]`. int64, on the CPU.

    documents_BT numbers the document each input belongs to; None when a row may be read as one text.
    """

    inputs_BT: torch.Tensor
    targets_BT: torch.Tensor
    documents_BT: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs_BT)

    def __getitem__(self, rows: slice) -> Batch:
        """Some of the rows."""
        documents_BT = None if self.documents_BT is None else self.documents_BT[rows]
        return Batch(self.inputs_BT[rows], self.targets_BT[rows], documents_BT)


def batches(
    shards: TokenShards,
    *,
    context_length: int,
    batch_tokens: int,
    seed: int,
    start_step: int = 0,
    isolate_documents: bool = False,
    packing: Packing = "stream",
    phases: Sequence[Phase] = (),
    sizes: BatchSizes | None = None,
) -> Iterator[Batch]:
    """The batches of step `start_step`, `start_step + 1`, … without end, `batch_tokens` positions each.

    With `isolate_documents` each says which document a token belongs to, for attention to stay inside it.
    phases: the weights of the sources, by shares of the tokens of `sizes`; without them all are one corpus.
    sizes: of batches and rows that grow to `batch_tokens` and `context_length`. What is read, and in which order,
    does not depend on it: smaller batches are parts of those to come, shorter rows are pieces of the long ones.

    Raises BadInput, before the first batch, when the corpus does not fill one or cannot be mixed so.
    """
    assert batch_tokens % context_length == 0, "a batch is whole rows"
    sizes = sizes or BatchSizes([Stretch(1, batch_tokens, context_length)])
    rows = _open_rows(shards, packing, context_length, seed, phases, num_rows=sizes.tokens // context_length)
    if rows.num_tokens < batch_tokens:
        raise BadInput(
            f"the corpus has {rows.num_tokens} tokens, one batch needs {batch_tokens}",
            fix="add text, or lower [pretrain] batch_tokens",
        )
    return _batches(rows, sizes, context_length, start_step, isolate_documents)


def micro_batches(batch: Batch, tokens: int) -> list[Batch]:
    """`batch` cut into pieces of whole rows with at most `tokens` tokens each."""
    rows = max(1, tokens // batch.inputs_BT.shape[1])
    return [
        Batch(
            inputs_BT=batch.inputs_BT[start : start + rows],
            targets_BT=batch.targets_BT[start : start + rows],
            documents_BT=None if batch.documents_BT is None else batch.documents_BT[start : start + rows],
        )
        for start in range(0, len(batch.inputs_BT), rows)
    ]


def _open_rows(
    shards: TokenShards,
    packing: Packing,
    row_length: int,
    seed: int,
    phases: Sequence[Phase],
    *,
    num_rows: int,
) -> RowReader:
    packed = StreamRows if packing == "stream" else BestFitRows
    if not phases:
        return packed(shards, row_length=row_length, key=(seed,))
    sources: dict[str, Rows] = {}
    for number, source in _sources_to_mix(shards, phases):
        documents = shards.documents_of(source)
        sources[source] = packed(shards, row_length=row_length, key=(seed, number), documents=documents)
    return MixedRows(sources, phases, num_rows=num_rows, seed=seed)


def _sources_to_mix(shards: TokenShards, phases: Sequence[Phase]) -> list[tuple[int, str]]:
    """Number and name of every source that some phase reads. Raises BadInput when it cannot be done."""
    if shards.source_of is None:
        raise BadInput(
            "these tokens do not say which source a document is from, so they cannot be mixed",
            fix="make them again: `workbench run RECIPE --force pack`",
        )
    for name in (name for phase in phases for name, weight in phase.weights.items() if weight):
        if name not in shards.sources:
            raise BadInput(f"no training document is from {name!r}", fix="give it the weight 0")
    for phase in phases:
        if not any(phase.weights.get(source, 1.0) for source in shards.sources):
            raise BadInput("every source with documents has the weight 0", fix="give one more")
    return [
        (number, source)
        for number, source in enumerate(shards.sources)
        if any(phase.weights.get(source, 1.0) for phase in phases)
    ]


def _batches(
    rows: RowReader, sizes: BatchSizes, row_length: int, step: int, isolate_documents: bool
) -> Iterator[Batch]:
    while True:
        size = sizes.at(step)
        first, behind = (sizes.tokens_before(each) // row_length for each in (step, step + 1))
        batch = [rows.row(number) for number in range(first, behind)]
        yield _batch(batch, size.context_length, isolate_documents)
        step += 1


def _batch(rows: list[Row], context_length: int, isolate_documents: bool) -> Batch:
    inputs_BT, targets_BT, documents_BT = (
        torch.from_numpy(np.stack(each).reshape(-1, context_length)) for each in zip(*rows, strict=True)
    )
    return Batch(inputs_BT, targets_BT, documents_BT if isolate_documents else None)
