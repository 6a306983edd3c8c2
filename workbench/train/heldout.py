"""The loss of examples that are not trained on: the loss function of training, without its gradient.

Knows no optimizer, no step and no files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from workbench.model.transformer import Decoder
from workbench.train.losses import LossSum
from workbench.train.ranks import ALONE, Ranks

MicroBatch = TypeVar("MicroBatch")


@dataclass(frozen=True, slots=True)
class HeldoutLoss:
    """The mean loss over all items (learned tokens; pairs in DPO), and the means of the loss's extras."""

    loss: float
    extras: Mapping[str, float]


def heldout_loss(
    model: Decoder,
    micro_batches: Iterable[MicroBatch],
    *,
    loss_fn: Callable[[Decoder, MicroBatch], LossSum],
    autocast: torch.dtype | None = None,
    ranks: Ranks = ALONE,
) -> HeldoutLoss:
    """The loss of all `micro_batches`, of which there must be at least one, in the arithmetic of training.

    `ranks` share the rows of each, and all know the figures.
    """
    device = model.embed_tokens.weight.device
    model.eval()
    total, count, extras = 0.0, 0, dict[str, float]()
    for micro_batch in micro_batches:
        share = ranks.share(micro_batch)
        with torch.no_grad(), torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
            part = loss_fn(model, share.rows)
        part = part if share.counts else part.of_nobody()
        total += float(part.total)
        count += part.count
        for name, figure in part.extras.items():
            extras[name] = extras.get(name, 0.0) + float(figure)
    total, items, *figures = ranks.add_up(np.array([total, count, *extras.values()])).tolist()
    assert items, "nothing to measure on"
    return HeldoutLoss(
        total / items, {name: each / items for name, each in zip(extras, figures, strict=True)}
    )
