"""Log-likelihood of token sequences under a model: the one place where the evals ask a model for numbers.

Sequences are grouped by length, padded behind their end and scored in batches of bounded size. Attention is
causal, so what stands behind a position changes nothing in it, and no figure depends on the grouping. Knows
token ids only: no text, no chat format, no task.

Shapes: B rows, T positions, N scored positions of a batch, D width, V vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from workbench.model.transformer import Decoder
from workbench.train.ranks import ALONE, Ranks

# Logits held at once, in numbers: 2**22 float32 are 16 MB, whatever the vocabulary.
MAX_LOGITS = 1 << 22
# Tokens in a batch. On a CPU activations should stay in the cache: a 5M model reads 1.4 to 1.6 times as many
# tokens per second in batches of 2,048 as in batches of 8,192. Other devices need much work at once.
BATCH_TOKENS = {"cpu": 2048}
BATCH_TOKENS_ELSEWHERE = 32_768


@dataclass(frozen=True, slots=True)
class Passage:
    """Token ids of which those from `scored_from` on are scored, each given all before it."""

    ids: Sequence[int]
    scored_from: int = 1

    def __post_init__(self) -> None:
        assert self.scored_from >= 1, "the first token has nothing before it"


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens `start:stop` of passage number `passage`, of which `scored_from:stop` are scored."""

    passage: int
    start: int
    stop: int
    scored_from: int

    @property
    def num_inputs(self) -> int:
        """Tokens the model reads: all but the last, which is only predicted."""
        return self.stop - self.start - 1


def token_log_likelihoods(
    model: Decoder,
    passages: Sequence[Passage],
    *,
    context_length: int,
    batch_tokens: int | None = None,
    batch_size: int | None = None,
    dtype: torch.dtype | None = None,
    ranks: Ranks = ALONE,
) -> list[NDArray[np.float64]]:
    """For each passage, ln p of its scored tokens: an array of `len(ids) - scored_from` figures.

    A passage longer than `context_length` inputs is read in overlapping windows (see `windows`). A batch
    holds at most `batch_tokens` tokens, padding included (None: what suits the device), and at most
    `batch_size` rows, but always one row. `dtype` is that of the matrix products (autocast); None leaves the
    weights' own. The `ranks` that share a model share the rows, and all know all figures.
    """
    scores = [np.zeros(max(0, len(p.ids) - p.scored_from)) for p in passages]
    plan = [w for number, p in enumerate(passages) for w in windows(p, number, context_length=context_length)]
    device = next(model.parameters()).device
    batch_tokens = batch_tokens or BATCH_TOKENS.get(device.type, BATCH_TOKENS_ELSEWHERE)
    with torch.no_grad(), _arithmetic(device, dtype):
        for batch in _batches(plan, batch_tokens=batch_tokens, batch_size=batch_size):
            share = ranks.share(batch)
            figures = _score(model, share.rows, passages, device=device)
            for window, part in zip(share.rows if share.counts else (), figures, strict=share.counts):
                first = passages[window.passage].scored_from
                scores[window.passage][window.scored_from - first : window.stop - first] = part
    if not scores:
        return []
    return np.split(ranks.add_up(np.concatenate(scores)), np.cumsum([len(part) for part in scores])[:-1])


def count_inputs(passages: Sequence[Passage], *, context_length: int) -> int:
    """Tokens that `token_log_likelihoods` has a model read, those of overlaps as often as they are read."""
    return sum(w.num_inputs for each in passages for w in windows(each, 0, context_length=context_length))


def windows(passage: Passage, number: int, *, context_length: int) -> Iterator[Window]:
    """Cut a passage so that every scored token is scored once and has much before it.

    Each window has at most `context_length` inputs. The first scores all it can; the following ones move on
    by half a window, so every token has its whole past or at least half a window of it.
    """
    assert context_length >= 2, context_length
    length, at = len(passage.ids), passage.scored_from
    while at < length:
        stop = min(length, max(context_length + 1, at + context_length // 2))
        yield Window(number, max(0, stop - context_length - 1), stop, at)
        at = stop


def _batches(plan: list[Window], *, batch_tokens: int, batch_size: int | None) -> Iterator[list[Window]]:
    """Windows of like length together, the longest first: what memory is needed is needed at once."""
    ordered = sorted(plan, key=lambda window: -window.num_inputs)
    at = 0
    while at < len(ordered):
        rows = max(1, batch_tokens // ordered[at].num_inputs)
        rows = min(rows, batch_size) if batch_size is not None else rows
        yield ordered[at : at + rows]
        at += rows


def _score(
    model: Decoder, batch: list[Window], passages: Sequence[Passage], *, device: torch.device
) -> list[NDArray[np.float64]]:
    """ln p of the scored tokens of each window. Only their positions go through the output head."""
    ids_BT = np.zeros((len(batch), batch[0].num_inputs), dtype=np.int64)
    targets = []
    for row, window in enumerate(batch):
        ids = passages[window.passage].ids
        ids_BT[row, : window.num_inputs] = ids[window.start : window.stop - 1]
        targets.append(np.asarray(ids[window.scored_from : window.stop], dtype=np.int64))
    counts = np.array([len(part) for part in targets])
    rows_N = np.repeat(np.arange(len(batch)), counts)
    columns_N = np.concatenate([np.arange(w.scored_from - 1, w.stop - 1) - w.start for w in batch])

    hidden_BTD = model.hidden(torch.from_numpy(ids_BT).to(device))
    hidden_ND = hidden_BTD[torch.from_numpy(rows_N).to(device), torch.from_numpy(columns_N).to(device)]
    targets_N = torch.from_numpy(np.concatenate(targets)).to(device)
    step = max(1, MAX_LOGITS // model.config.vocab_size)
    parts = [
        _log_likelihood(model.head(hidden_ND[at : at + step]), targets_N[at : at + step])
        for at in range(0, len(targets_N), step)
    ]
    return np.split(torch.cat(parts).double().cpu().numpy(), np.cumsum(counts)[:-1])


def _log_likelihood(logits_NV: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
    return -torch.nn.functional.cross_entropy(logits_NV.float(), targets_N, reduction="none")


def _arithmetic(device: torch.device, dtype: torch.dtype | None) -> contextlib.AbstractContextManager[object]:
    if dtype is None or dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)
