"""The plain way to do each part of a step, as a first program would: what the wins of the ladder are counted from.

Each is the same computation as the one it stands for, to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.data.loader import NOT_LEARNED, Batch
from workbench.model.attention import attend_by_torch, soft_capped
from workbench.model.memory import Seen
from workbench.model.transformer import Decoder
from workbench.train.losses import LossSum


def attend_written_out(
    q_BTHE: Tensor, seen: Seen, *, multiplier: float, softcap: float | None = None
) -> Tensor:
    """y_BTHE by the formula of the paper: scores, a mask, a softmax, a mix of the values."""
    q_BHTE, k_BGSE, v_BGSE = (x.transpose(1, 2) for x in (q_BTHE, seen.k_BSGE, seen.v_BSGE))
    times = q_BHTE.shape[1] // k_BGSE.shape[1]
    k_BHSE, v_BHSE = (x.repeat_interleave(times, dim=1) for x in (k_BGSE, v_BGSE))
    T, S = q_BHTE.shape[2], k_BHSE.shape[2]
    unseen = torch.ones(T, S, dtype=torch.bool, device=q_BHTE.device).triu(diagonal=S - T + 1)
    if seen.mask_B1TS is not None:
        unseen = ~seen.mask_B1TS
    scores_BHTS = soft_capped((q_BHTE @ k_BHSE.mT) * multiplier, softcap)
    return (scores_BHTS.masked_fill(unseen, -torch.inf).softmax(-1) @ v_BHSE).transpose(1, 2)


def attend_all_by_torch(
    q_BTHE: Tensor, seen: Seen, *, multiplier: float, softcap: float | None = None
) -> Tensor:
    """y_BTHE by torch's own kernel wherever it can, short rows too."""
    if softcap is not None:
        return attend_written_out(q_BTHE, seen, multiplier=multiplier, softcap=softcap)
    return attend_by_torch(q_BTHE, seen, multiplier=multiplier)


def never_by_segments(*_: object) -> bool:
    """Documents kept apart by a mask wherever attention is."""
    return False


def never_pieced(*_: Tensor) -> bool:
    """Norms and rotations as torch's single operations, each a pass over memory, wherever they are."""
    return False


def full_logits_loss(model: Decoder, batch: Batch) -> LossSum:
    """Cross-entropy over all logits of the batch at once, in float32."""
    device = model.embed_tokens.weight.device
    logits_BTV = model(batch.inputs_BT.to(device)).float()
    targets_BT = batch.targets_BT.to(device)
    total = F.cross_entropy(
        logits_BTV.flatten(0, 1), targets_BT.flatten(), ignore_index=NOT_LEARNED, reduction="sum"
    )
    return LossSum(total=total, count=int((targets_BT != NOT_LEARNED).sum()))


class LoopedAdamW:
    """AdamW one parameter after the other, a handful of passes each, with the face the training loop asks for."""

    implementation = "adamw-loop"

    def __init__(self, model: Decoder, *, learning_rate: float) -> None:
        self._peak = learning_rate
        self._adamw = torch.optim.AdamW(model.parameters(), lr=learning_rate, foreach=False, fused=False)

    @property
    def learning_rate(self) -> float:
        """The rate in use."""
        return float(self._adamw.param_groups[0]["lr"])

    def set_learning_rate(self, factor: float) -> None:
        """Use `factor` times the peak rate."""
        for group in self._adamw.param_groups:
            group["lr"] = factor * self._peak

    def step(self) -> None:
        """Move every parameter."""
        self._adamw.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self._adamw.zero_grad(set_to_none=True)
