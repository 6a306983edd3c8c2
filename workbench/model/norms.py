"""Norms: what keeps the size of activations the same, however deep the model and whatever the weights do."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workbench.model.operations import may_be_pieced, rms_norm
from workbench.model_config import ModelConfig


def norm(config: ModelConfig) -> nn.Module:
    """A norm of the residual stream."""
    if config.norm == "layer":
        return nn.LayerNorm(config.hidden_size, eps=config.rms_norm_eps, bias=config.bias)
    return RMSNorm(config.hidden_size, eps=config.rms_norm_eps)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps) · weight, over the last dimension (Zhang & Sennrich 2019).

    LayerNorm without the mean and the bias: as good, and cheaper. `eps` keeps a row of zeros (padding, a dead
    unit) from dividing by zero; it must be small beside mean(x²), or quiet rows are no longer normalised.
    The mean is taken in float32: in bfloat16, with 8 bits of mantissa, a sum over D squares loses its tail.
    """

    def __init__(self, width: int, *, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """x, its last dimension scaled to a root mean square of 1, then by `weight`.

        In the dtype of x, or that of autocast: what reads it next would cast it anyway, each reader for itself.
        """
        dtype = (
            torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        )
        if may_be_pieced(x, self.weight):
            return rms_norm(x, self.weight, eps=self.eps, dtype=dtype)
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (wide * scale * self.weight).to(dtype)
