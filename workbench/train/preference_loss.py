"""Direct preference optimisation: the loss of a batch of pairs (Rafailov et al. 2023).

    reward(reply) = beta * (log p_policy(reply | prompt) - log p_reference(reply | prompt))
    loss          = -log sigmoid(reward(chosen) - reward(rejected)) + w * (-log p_policy(chosen) per token)

log p of a reply is the sum over its tokens, its stop token included. The second term (Pang et al. 2024) keeps
the chosen reply likely while the margin grows. The reference never learns, so what it thinks of every pair is
computed once and kept. Knows no optimizer.

Shapes: B rows, T positions, N learned tokens, P pairs; a batch of pairs has B = 2P rows, the chosen first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F

from workbench.data.lessons import PairBatch
from workbench.data.loader import NOT_LEARNED, Batch
from workbench.files import write_atomic
from workbench.model.transformer import Decoder
from workbench.train.losses import LossSum
from workbench.train.ranks import ALONE, Ranks


class ReplyLikelihoods(NamedTuple):
    """Of each row the log-likelihood of its learned tokens, summed, and how many they are."""

    log_p_B: Tensor
    num_tokens_B: Tensor


def reply_likelihoods(model: Decoder, batch: Batch) -> ReplyLikelihoods:
    """log p of the learned tokens of each row in nats, float32. Only their positions go through the head."""
    device = model.embed_tokens.weight.device
    targets_BT = batch.targets_BT.to(device, non_blocking=True)
    learned_BT = targets_BT != NOT_LEARNED
    x_ND = model.hidden(batch.inputs_BT.to(device, non_blocking=True))[learned_BT]
    log_p_N = -F.cross_entropy(model.head(x_ND).float(), targets_BT[learned_BT], reduction="none")
    # Rows are summed on a grid: adding up by row number is not deterministic on every device.
    log_p_BT = torch.zeros(learned_BT.shape, dtype=torch.float32, device=device)
    log_p_BT = log_p_BT.masked_scatter(learned_BT, log_p_N)
    return ReplyLikelihoods(log_p_BT.sum(dim=1), learned_BT.sum(dim=1))


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """What the frozen model thinks: log p of the chosen and of the rejected reply of each pair, by place."""

    chosen: Tensor
    rejected: Tensor

    @classmethod
    def unasked(cls, num_pairs: int, *, device: torch.device) -> Reference:
        """All NaN, so that a pair that was never asked about cannot be learned from unnoticed."""
        return cls(*(torch.full((num_pairs,), torch.nan, device=device) for _ in range(2)))

    @classmethod
    def of_anything(cls, num_pairs: int, *, device: torch.device) -> Reference:
        """Zeros: for a loss that is computed to see whether it fits, and forgotten."""
        return cls(*(torch.zeros(num_pairs, device=device) for _ in range(2)))

    def knows(self, places_P: Tensor) -> bool:
        """Whether the reference was asked about all of these pairs."""
        asked = self.rejected[places_P].isfinite() & self.chosen[places_P].isfinite()
        return bool(asked.all())


def reference_likelihoods(
    model: Decoder,
    batches: Iterable[PairBatch],
    *,
    into: Reference,
    autocast: torch.dtype | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[int]:
    """Ask the frozen model about every pair of `batches`, but not again; yields after each how many are done.

    In the batches and the arithmetic of training policy and reference agree at step 0. `ranks` share the pairs of
    each batch; `into` must be the same on all of them, and stays so.
    """
    device = model.embed_tokens.weight.device
    model.eval()
    done = 0
    for batch in batches:
        places_P = torch.from_numpy(batch.places).to(device)
        if not into.knows(places_P):
            share = ranks.share(batch)
            with torch.no_grad(), torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
                log_p_B = reply_likelihoods(model, share.rows.rows).log_p_B
            answers_2P = np.zeros((2, len(batch)))
            if share.counts:
                answers_2P[:, share.start : share.start + len(share.rows)] = log_p_B.view(2, -1).cpu()
            told_2P = torch.tensor(ranks.add_up(answers_2P.ravel()), device=device).float().view(2, -1)
            into.chosen[places_P], into.rejected[places_P] = told_2P
        done += len(batch.places)
        yield done


def preference_loss(
    model: Decoder, batch: PairBatch, *, reference: Reference, beta: float, chosen_nll_weight: float = 0.0
) -> LossSum:
    """The DPO loss summed over pairs, in float32, with the sums of the field's four figures as extras.

    rewards/chosen, rewards/rejected: beta times how much likelier than the reference. rewards/margins: their
    difference. rewards/accuracies: pairs whose margin is positive. Besides, the two terms of the loss:
    dpo_loss, which is ln 2 while the policy is the reference, and nll, of the chosen reply per token.
    """
    log_p_B, num_tokens_B = reply_likelihoods(model, batch.rows)
    chosen_P, rejected_P = log_p_B.chunk(2)
    places_P = torch.from_numpy(batch.places).to(log_p_B.device)
    reward_chosen_P = beta * (chosen_P - reference.chosen[places_P])
    reward_rejected_P = beta * (rejected_P - reference.rejected[places_P])
    margin_P = reward_chosen_P - reward_rejected_P
    nll_P = -chosen_P / num_tokens_B.chunk(2)[0]
    dpo_loss_P = -F.logsigmoid(margin_P)
    loss_P = dpo_loss_P + chosen_nll_weight * nll_P
    figures = {
        "rewards/chosen": reward_chosen_P,
        "rewards/rejected": reward_rejected_P,
        "rewards/accuracies": (margin_P > 0).float(),
        "rewards/margins": margin_P,
        "dpo_loss": dpo_loss_P,
        "nll": nll_P,
    }
    return LossSum(
        total=loss_P.sum(),
        count=len(batch.places),
        tokens=int(num_tokens_B.sum()),
        extras={name: figure_P.detach().sum() for name, figure_P in figures.items()},
    )


# -- what the reference thinks, kept -----------------------------------------------------------------


def save_reference(reference: Reference, file: Path) -> None:
    """Write down what was asked so far, whole or not at all. Raises NoSpace, DiskFull."""
    content = safetensors.torch.save({"chosen": reference.chosen.cpu(), "rejected": reference.rejected.cpu()})
    write_atomic(file, content, durable=False)


def load_reference(file: Path, num_pairs: int, *, device: torch.device) -> Reference:
    """What `save_reference` wrote; nothing asked yet where there is no such file, or one of something else."""
    try:
        kept = safetensors.torch.load_file(file, device=str(device))
    except (OSError, SafetensorError):
        kept = {}
    if {name: tensor.shape for name, tensor in kept.items()} != dict.fromkeys(
        ("chosen", "rejected"), torch.Size([num_pairs])
    ):
        return Reference.unasked(num_pairs, device=device)
    return Reference(kept["chosen"], kept["rejected"])
