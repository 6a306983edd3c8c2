"""First weights that know the corpus's bigrams: embedding and head are fitted to how often each token follows each.

Where every layer begins as the identity, the model is embedding, norm and head: a bigram model of rank D. Its best
weights need no text, only the table of counts, and one step on that is a step on the whole corpus, without noise.
Forty of them take as long as a dozen steps of training and save several times as many; what rare tokens are is
then known from all of the corpus, not from the few occurrences that a short training sees.

Shapes: V vocabulary, D width. Knows no layers, no shards, no schedule.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.model.transformer import Decoder, times

STEPS = 40
PEAK_RATE = 0.03
BETAS = (0.9, 0.95)


def fit_bigrams(
    model: Decoder,
    counts_VV: npt.NDArray[np.int64],
    *,
    autocast: torch.dtype | None = None,
    steps: int = STEPS,
) -> None:
    """Set embedding and head so that the model without its layers predicts the second token of a pair from the first.

    counts_VV: how often column j follows row i. autocast: the type of products, None for float32. The model has a
    head of its own: of one matrix that is both, no asymmetric table can be made.
    """
    assert model.lm_head is not None, "a tied model cannot hold a bigram table"
    tables = (model.embed_tokens.weight, model.lm_head.weight)
    device = tables[0].device
    target_VV = torch.from_numpy(counts_VV).to(device, torch.float32)
    target_VV /= target_VV.sum()
    share_V1 = target_VV.sum(1, keepdim=True)
    optimizer = torch.optim.Adam(tables, lr=PEAK_RATE, betas=BETAS, eps=1e-12, fused=True)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = PEAK_RATE * (1 - step / steps)
        with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
            logits_VV = _logits(model)
        # The gradient of the mean loss, written out: autograd would keep three more tables of V x V.
        gradient_VV = logits_VV.detach().float().softmax(-1).mul_(share_V1).sub_(target_VV)
        logits_VV.backward(gradient_VV.to(logits_VV.dtype))
        optimizer.step()
        for parameter in trained:
            parameter.grad = None


def _logits(model: Decoder) -> Tensor:
    """logits_VV after each token of the vocabulary, by the parts of the model that stand outside of its layers."""
    x_VD = times(model.config.embedding_multiplier, model.embed_tokens.weight)
    return model.head(times(1 / model.config.logits_scaling, model.norm(x_VD)))
