"""Where a token stands, told by turning its queries and keys (RoPE, Su et al. 2021).

Shapes: B rows, T positions, H heads, E width of one head, P = E / 2 pairs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from workbench.model_config import ModelConfig, RopeScaling


class Rotation(NamedTuple):
    """Rotary position embedding, RoPE (Su et al. 2021): where a token stands, told by turning its q and k.

    A head's E numbers are E/2 pairs (p, p + E/2), each a point in a plane. At position t pair p is turned by
    the angle t · theta^(-2p/E), so q·k depends on the *distance* of two tokens, not on where they stand; fast
    pairs tell neighbours apart, slow ones give the far view. It costs no parameters and ends at no position.
    """

    cos_BT1E: Tensor
    sin_BT1E: Tensor  # its first half is negated: see `turn`

    @classmethod
    def at(cls, positions_BT: Tensor, config: ModelConfig) -> Rotation:
        """The rotation at these positions. Always float32: bfloat16 cannot tell position 256 from 257."""
        angles_BT1P = positions_BT[..., None, None] * frequencies(config, positions_BT)
        cos, sin = angles_BT1P.cos(), angles_BT1P.sin()
        if (length := attention_factor(config.rope_scaling)) != 1:
            cos, sin = length * cos, length * sin
        return cls(torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1))

    def turn(self, x_BTHE: Tensor) -> Tensor:
        """(a, b) -> (a cos - b sin, b cos + a sin) for every pair, in the dtype of x."""
        # Rolled by half a head, b stands where a stood and a where b did.
        partner_BTHE = x_BTHE.roll(x_BTHE.shape[-1] // 2, dims=-1)
        return x_BTHE * self.cos_BT1E.to(x_BTHE.dtype) + partner_BTHE * self.sin_BT1E.to(x_BTHE.dtype)


def frequencies(config: ModelConfig, positions_BT: Tensor) -> Tensor:
    """By what angle each pair turns from one position to the next, frequency_P: theta^(-2p/E), scaled if so asked.

    positions_BT: of the row that is read; the dynamic scaling looks at the last. (What a cache holds was turned by the
    base of its own time, here as in transformers.)
    """
    E, theta, scaling = config.head_dim, config.rope_theta, config.rope_scaling
    pair = torch.arange(0, E, 2, dtype=torch.float32, device=positions_BT.device)
    if scaling is not None and scaling.rope_type == "dynamic":
        stretch = max(1.0, (int(positions_BT.max()) + 1) / config.max_position_embeddings)
        theta *= (scaling.factor * stretch - (scaling.factor - 1)) ** (E / (E - 2))
    frequency_P = theta ** (-pair / E)
    if scaling is None or scaling.rope_type == "dynamic":
        return frequency_P
    kept_P = torch.zeros_like(pair)
    if scaling.rope_type == "llama3":
        kept_P = _kept_by_llama3(frequency_P, scaling)
    elif scaling.rope_type == "yarn":
        kept_P = _kept_by_yarn(pair / 2, config, scaling)
    return kept_P * frequency_P + (1 - kept_P) * frequency_P / scaling.factor


def attention_factor(scaling: RopeScaling | None) -> float:
    """How much longer queries and keys become by the turn: YaRN's sharper attention over more tokens."""
    if scaling is None or scaling.rope_type != "yarn":
        return 1.0
    if scaling.attention_factor is not None:
        return scaling.attention_factor
    return 0.1 * math.log(scaling.factor) + 1.0


def _kept_by_llama3(frequency_P: Tensor, scaling: RopeScaling) -> Tensor:
    """1 for pairs that turn often in the original length, 0 for those that hardly do."""
    assert scaling.original_max_position_embeddings is not None
    turns_P = scaling.original_max_position_embeddings * frequency_P / (2 * math.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    return ((turns_P - low) / (high - low)).clamp(0, 1)


def _kept_by_yarn(pair_P: Tensor, config: ModelConfig, scaling: RopeScaling) -> Tensor:
    """The same by the number of the pair, between the pairs that turn beta_fast and beta_slow times."""
    length, E = scaling.original_max_position_embeddings, config.head_dim
    assert length is not None

    def pair_of(turns: float) -> float:
        return E * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(config.rope_theta))

    first = max(math.floor(pair_of(scaling.beta_fast)), 0)
    last = min(math.ceil(pair_of(scaling.beta_slow)), E - 1)
    return 1 - ((pair_P - first) / max(last - first, 0.001)).clamp(0, 1)
