"""Norm and rotation in few passes over memory, derivatives by hand; norms.py and rotation.py tell what they are.

A small model's step on a CPU waits for memory as long as it multiplies: a norm of plain operations writes a tensor
of the size of the batch a dozen times, forward and backward, and each goes out to main memory and back. Here a
piece of the batch that fits the cache takes all operations before the next piece is touched. Sums and products are
in float32 whatever goes in; what comes out is rounded once.

On a GPU, under torch.compile, for sharded tensors and for one new token the plain operations are used: `may_be_pieced`.

Shapes: B rows, T positions, N heads, E width of one head, P = E / 2; R rows of any leading dimensions, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

PIECE = 1 << 18
"""Numbers in a piece: 1 MB in float32, of which a handful is alive at a time in a core's cache of a few MB."""


def may_be_pieced(x_BT: Tensor, *weights: Tensor) -> bool:
    """Whether these are plain tensors of a CPU, and x has more than one position a row: nothing else gains.

    Whether anything is learned makes no difference: what measures a model has to give the bits of what trains it.
    """
    return (
        x_BT.ndim > 2
        and x_BT.shape[1] > 1
        and not torch.compiler.is_compiling()
        and all(tensor.is_cpu and type(tensor) in (Tensor, nn.Parameter) for tensor in (x_BT, *weights))
    )


def rms_norm(x: Tensor, gain_D: Tensor, *, eps: float, dtype: torch.dtype) -> Tensor:
    """x / sqrt(mean(x²) + eps) · gain over the last dimension, in `dtype`."""
    y: Tensor = _RMSNorm.apply(x, gain_D, eps, dtype)  # type: ignore[no-untyped-call]
    return y


def turned_rms_norm(
    x_BTNE: Tensor, gain_E: Tensor, cos_T1E: Tensor, sin_T1E: Tensor, *, eps: float
) -> Tensor:
    """Every head's RMS norm, turned by where it stands: y_BTNE in the dtype of x, laid out head by head.

    cos_T1E, sin_T1E: as in Rotation, the first half of the sines negated.
    """
    y: Tensor = _TurnedRMSNorm.apply(x_BTNE, gain_E, cos_T1E, sin_T1E, eps)  # type: ignore[no-untyped-call]
    return y


class _RMSNorm(torch.autograd.Function):
    """With n = x · s, s = 1 / sqrt(mean(x²) + eps) and g the gradient of y = n · gain:

    dx = s · (g·gain - n · mean(g·gain·n)), dgain = Σ g·n.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain_D: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        x_RD = x.reshape(-1, x.shape[-1])
        y_RD, scale_R1 = (
            x_RD.new_empty(x_RD.shape, dtype=dtype),
            x_RD.new_empty(len(x_RD), 1, dtype=torch.float32),
        )
        for x_piece, y_piece, scale_piece in _pieces(x_RD, y_RD, scale_R1):
            wide = x_piece.float()
            y_piece.copy_((wide * _inverse_rms(wide, eps, out=scale_piece)).mul_(gain_D))
        ctx.save_for_backward(x_RD, gain_D, scale_R1)
        return y_RD.view(x.shape)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (grad_y,) = grad_outputs
        x_RD, gain_D, scale_R1 = ctx.saved_tensors
        D = x_RD.shape[-1]
        wide_gain_D = gain_D.float()
        grad_x_RD, grad_gain_D = torch.empty_like(x_RD), torch.zeros_like(wide_gain_D)
        for grad, x_piece, scale, grad_x in _pieces(grad_y.reshape(-1, D), x_RD, scale_R1, grad_x_RD):
            normed, grad = x_piece.float() * scale, grad.float()
            product = grad * normed
            grad_gain_D += product.sum(0)
            along_R1 = (product @ wide_gain_D).div_(-D)[:, None]
            grad_x.copy_((grad * gain_D).addcmul_(normed, along_R1).mul_(scale))
        return grad_x_RD.view(grad_y.shape), grad_gain_D.to(gain_D.dtype), None, None


class _TurnedRMSNorm(torch.autograd.Function):
    """The same for heads, and y = (n · gain) turned. A turn is undone by turning back: so goes the gradient."""

    @staticmethod
    def forward(
        ctx: Any, x_BTNE: Tensor, gain_E: Tensor, cos_T1E: Tensor, sin_T1E: Tensor, eps: float
    ) -> Tensor:
        B, T, N, E = x_BTNE.shape
        y_BNTE = x_BTNE.new_empty(B, N, T, E)  # attention multiplies head by head
        scale_BTN1 = x_BTNE.new_empty(B, T, N, 1, dtype=torch.float32)
        for x, y, scale in _pieces(x_BTNE, y_BNTE.transpose(1, 2), scale_BTN1):
            wide = x.float()
            normed = (wide * _inverse_rms(wide, eps, out=scale)).mul_(gain_E)
            y.copy_(_turned(normed, cos_T1E, sin_T1E))
        ctx.save_for_backward(x_BTNE, gain_E, scale_BTN1, cos_T1E, sin_T1E)
        return y_BNTE.transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        (grad_y_BTNE,) = grad_outputs
        x_BTNE, gain_E, scale_BTN1, cos_T1E, sin_T1E = ctx.saved_tensors
        E = x_BTNE.shape[-1]
        grad_x_BTNE = torch.empty(x_BTNE.shape, dtype=x_BTNE.dtype, device=x_BTNE.device)
        wide_gain_E = gain_E.float()
        grad_gain_E = torch.zeros_like(wide_gain_E)
        for grad_y, x, scale, grad_x in _pieces(grad_y_BTNE, x_BTNE, scale_BTN1, grad_x_BTNE):
            grad = _turned(grad_y.float(), cos_T1E, -sin_T1E)
            normed = x.float() * scale
            product_RE = (grad * normed).flatten(0, 2)
            grad_gain_E += product_RE.sum(0)
            along = (product_RE @ wide_gain_E).div_(-E).view(scale.shape)
            grad_x.copy_(grad.mul_(gain_E).addcmul_(normed, along).mul_(scale))
        return grad_x_BTNE, grad_gain_E.to(gain_E.dtype), None, None, None


def _pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The tensors cut alike along their first dimension, the first into pieces of at most PIECE numbers."""
    rows = max(1, PIECE // max(1, tensors[0][0].numel())) if len(tensors[0]) else 1
    return zip(*(tensor.split(rows) for tensor in tensors), strict=True)


def _inverse_rms(x: Tensor, eps: float, *, out: Tensor) -> Tensor:
    """1 / sqrt(mean(x²) + eps) over the last dimension, kept, in `out`."""
    torch.linalg.vector_norm(x, dim=-1, keepdim=True, out=out)
    return out.square_().div_(x.shape[-1]).add_(eps).rsqrt_()


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x · cos + (x with its halves swapped) · sin, without a swapped copy."""
    half = x.shape[-1] // 2
    y = x * cos
    y[..., :half].addcmul_(x[..., half:], sin[..., :half])
    y[..., half:].addcmul_(x[..., :half], sin[..., half:])
    return y
