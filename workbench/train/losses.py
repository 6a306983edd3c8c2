"""Losses as sums: what a micro-batch contributes, and how many items it contributes for.

A loss function returns a *sum* and a *count*, never a mean: sums of micro-batches add up to the sum of the
whole batch, means do not when the masks are uneven. The loop divides once. Knows no optimizer and no step.

Shapes: B rows, T positions, N learned tokens, C of them at a time, D width, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.data.loader import NOT_LEARNED, Batch
from workbench.model.attention import soft_capped
from workbench.model.transformer import Decoder

# Logits alive at once. 2^21 in float32 are 8 MB: they stay in a processor's cache between the passes over them,
# which makes the loss twice as quick as over all logits of a batch. A GPU wants larger products.
_LOGITS_AT_ONCE = {"cpu": 1 << 21, "cuda": 1 << 25}
BACKEND = "inductor"


@dataclasses.dataclass(frozen=True, slots=True)
class LossSum:
    """The loss of one micro-batch, summed.

    total: scalar float32 with a graph, the sum over `count` items (learned tokens; pairs in DPO).
    tokens: tokens learned from, for the log, when an item is not a token.
    extras: further sums over the same items, detached, for the log; the loop reports their means.
    """

    total: Tensor
    count: int
    tokens: int | None = None
    extras: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)

    def of_nobody(self) -> LossSum:
        """The same graph with a gradient of zeros: for rows that are counted elsewhere."""
        extras = {name: torch.zeros_like(figure) for name, figure in self.extras.items()}
        return LossSum(total=self.total * 0, count=0, tokens=0, extras=extras)


def next_token_loss(model: Decoder, batch: Batch, *, z_loss_weight: float = 0.0) -> LossSum:
    """Cross-entropy of the next token, in nats, summed over the learned tokens of `batch`.

    Only learned positions reach the head, the largest matrix of a small model.
    z_loss_weight: of (ln Z)², where Z is the sum that the softmax divides by. Cross-entropy does not care for it, so it
    drifts until bfloat16 can no longer tell logits apart; this keeps it near 1 (PaLM, Chowdhery et al. 2022, 1e-4).
    With a weight `extras` has its mean, as `z_loss`, and the total includes it.
    """
    device = model.embed_tokens.weight.device
    documents_BT = None if batch.documents_BT is None else batch.documents_BT.to(device, non_blocking=True)
    x_BTD = model.hidden(batch.inputs_BT.to(device, non_blocking=True), documents_BT=documents_BT)
    targets_BT = batch.targets_BT.to(device, non_blocking=True)
    learned_BT = targets_BT != NOT_LEARNED
    head_VD = (model.embed_tokens if model.lm_head is None else model.lm_head).weight
    targets_N = targets_BT[learned_BT]
    total, z_loss = summed_cross_entropy(
        x_BTD[learned_BT],
        head_VD,
        targets_N,
        z_loss_weight=z_loss_weight,
        softcap=model.config.final_logit_softcapping,
        compiled=model.loss_compiled,
    )
    extras = {"z_loss": z_loss.detach()} if z_loss_weight else {}
    return LossSum(total=total, count=len(targets_N), extras=extras)


class SummedLoss(NamedTuple):
    """A loss over N tokens: `total` has a graph and includes z_loss_weight · z_loss; z_loss is the sum of (ln Z)²."""

    total: Tensor
    z_loss: Tensor


def summed_cross_entropy(
    x_ND: Tensor,
    head_VD: Tensor,
    targets_N: Tensor,
    *,
    z_loss_weight: float = 0.0,
    softcap: float | None = None,
    compiled: bool = False,
) -> SummedLoss:
    """Sum over N of -log softmax(x_ND head_VD^T)[target], in float32, without ever holding logits_NV.

    The same value and gradients as `F.cross_entropy(F.linear(x, head), targets, reduction="sum")`; products
    are in the autocast type if there is one. For logits that are wanted themselves, use `model.head`.
    softcap: bends the logits, see `workbench.model.attention.soft_capped`.
    compiled: what is done with a chunk of logits for their gradient is one program, compiled at the first.
    """
    device = x_ND.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x_ND.dtype
    if torch.is_grad_enabled():
        return SummedLoss(
            *_SummedCrossEntropy.apply(x_ND, head_VD, targets_N, dtype, z_loss_weight, softcap, compiled)  # type: ignore[no-untyped-call]
        )
    total, z_loss = x_ND.new_zeros(()), x_ND.new_zeros(())
    with torch.autocast(device, enabled=False):
        logits = (F.linear(x_CD.to(dtype), head_VD.to(dtype)) for x_CD in _chunks(x_ND, len(head_VD)))
        losses = []
        for logits_CV, targets_C in zip(logits, _chunks(targets_N, len(head_VD)), strict=True):
            capped_CV = soft_capped(logits_CV.float(), softcap)
            losses.append(F.cross_entropy(capped_CV, targets_C, reduction="sum"))
            if z_loss_weight:
                z_loss = z_loss + capped_CV.logsumexp(-1).square().sum()
        total = torch.stack(losses).sum() if losses else total
    return SummedLoss(total + z_loss_weight * z_loss if z_loss_weight else total, z_loss)


class _SummedCrossEntropy(torch.autograd.Function):
    """The gradient of a sum is the sum of gradients, so each chunk's is taken while its logits are at hand.

    d loss / d logits = softmax - onehot(target), to which weight · (ln Z)² adds 2 · weight · ln Z · softmax; a cap
    multiplies by its slope, 1 - tanh². Nothing of size N x V is kept or computed twice (the idea of Liger Kernel, Hsu
    et al. 2024).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_ND: Tensor,
        head_VD: Tensor,
        targets_N: Tensor,
        dtype: torch.dtype,
        z_loss_weight: float,
        softcap: float | None,
        compiled: bool,
    ) -> tuple[Tensor, Tensor]:
        gradient_of = _fused() if compiled else _gradient_of_logits
        with torch.autocast(x_ND.device.type, enabled=False):
            head = head_VD.to(dtype)
            grad_x_ND, grad_head_VD = torch.empty_like(x_ND), torch.zeros_like(head_VD)
            total, z_loss = (torch.zeros((), device=x_ND.device) for _ in range(2))
            pieces = (_chunks(tensor, len(head)) for tensor in (x_ND, targets_N, grad_x_ND))
            for x_CD, targets_C, grad_x_CD in zip(*pieces, strict=True):
                x_CD = x_CD.to(dtype)
                loss, squares, grad_CV = gradient_of(x_CD @ head.T, targets_C, dtype, z_loss_weight, softcap)
                total += loss
                z_loss += squares
                grad_x_CD.copy_(grad_CV @ head)
                grad_head_VD += grad_CV.T @ x_CD
        ctx.save_for_backward(grad_x_ND, grad_head_VD)
        ctx.mark_non_differentiable(z_loss)
        return (total + z_loss_weight * z_loss if z_loss_weight else total), z_loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        grad_total, _ = grad_outputs
        grad_x_ND, grad_head_VD = ctx.saved_tensors
        return grad_x_ND * grad_total, grad_head_VD * grad_total, None, None, None, None, None


class LogitsGradient(NamedTuple):
    """Of a chunk: its summed loss, the sum of its (ln Z)² where that has a weight, and the gradient of its logits."""

    loss: Tensor
    squares: Tensor | float
    grad_CV: Tensor


def _gradient_of_logits(
    logits_CV: Tensor, targets_C: Tensor, dtype: torch.dtype, z_loss_weight: float, softcap: float | None
) -> LogitsGradient:
    rows_C = torch.arange(len(logits_CV), device=logits_CV.device)
    if softcap is not None:
        logits_CV = soft_capped(logits_CV.float(), softcap)
    p_CV = torch.softmax(logits_CV, dim=-1, dtype=torch.float32)
    # ln p of the target from the largest of its row: p itself may be too small for a float.
    below_C = logits_CV[rows_C, targets_C].float() - logits_CV.amax(-1).float()
    log_largest_C = p_CV.amax(-1).log()
    loss = -(below_C + log_largest_C).sum()
    squares: Tensor | float = 0.0
    grad_CV = p_CV
    if z_loss_weight:
        log_z_C = logits_CV.amax(-1).float() - log_largest_C
        squares = log_z_C.square().sum()
        grad_CV *= 1 + 2 * z_loss_weight * log_z_C[:, None]
    grad_CV[rows_C, targets_C] -= 1
    if softcap is not None:
        grad_CV *= 1 - (logits_CV / softcap).square()
    return LogitsGradient(loss, squares, grad_CV.to(dtype))


def _gradient_in_two_reads(
    logits_CV: Tensor, targets_C: Tensor, dtype: torch.dtype, z_loss_weight: float, softcap: float | None
) -> LogitsGradient:
    """The same as a compiler likes it: every number of the gradient follows from one logit and its row's ln Z.

    Operation by operation that would be more passes over memory; fused it is two, and nothing in float32 is stored.
    """
    logits_CV = soft_capped(logits_CV.float(), softcap)
    log_z_C = logits_CV.logsumexp(-1)
    is_target_CV = torch.arange(logits_CV.shape[1], device=logits_CV.device) == targets_C[:, None]
    loss = (log_z_C - logits_CV.gather(1, targets_C[:, None])[:, 0]).sum()
    grad_CV = (logits_CV - log_z_C[:, None]).exp() * (1 + 2 * z_loss_weight * log_z_C[:, None])
    grad_CV = grad_CV - is_target_CV.float()
    if softcap is not None:
        grad_CV = grad_CV * (1 - (logits_CV / softcap).square())
    squares = log_z_C.square().sum() if z_loss_weight else 0.0
    return LogitsGradient(loss, squares, grad_CV.to(dtype))


@functools.cache
def _fused() -> Callable[..., LogitsGradient]:
    """`_gradient_in_two_reads`, compiled for any number of tokens at once."""
    program = torch.compile(_gradient_in_two_reads, backend=BACKEND)

    def gradient_of(logits_CV: Tensor, targets_C: Tensor, *how: Any) -> LogitsGradient:
        for chunk in (logits_CV, targets_C):
            torch._dynamo.maybe_mark_dynamic(chunk, 0)
        return program(logits_CV, targets_C, *how)

    return gradient_of


def _chunks(tensor: Tensor, vocab_size: int) -> tuple[Tensor, ...]:
    """Views of at most so many rows that their logits fit `_LOGITS_AT_ONCE`."""
    at_once = _LOGITS_AT_ONCE.get(tensor.device.type, 1 << 21)
    return tensor.split(max(16, at_once // vocab_size)) if len(tensor) else ()
