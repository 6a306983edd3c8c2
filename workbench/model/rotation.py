"""Where a token stands, told by turning its queries and keys (RoPE, Su et al. 2021).

Shapes: B rows, T positions, H heads, E width of one head, P = E / 2 pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Rotation(NamedTuple):
    """Rotary position embedding, RoPE (Su et al. 2021): where a token stands, told by turning its q and k.

    A head's E numbers are E/2 pairs (p, p + E/2), each a point in a plane. At position t pair p is turned by
    the angle t · theta^(-2p/E), so q·k depends on the *distance* of two tokens, not on where they stand; fast
    pairs tell neighbours apart, slow ones give the far view. It costs no parameters and ends at no position.
    """

    cos_BT1E: Tensor
    sin_BT1E: Tensor  # its first half is negated: see `turn`

    @classmethod
    def at(cls, positions_BT: Tensor, *, head_dim: int, theta: float) -> Rotation:
        """The rotation at these positions. Always float32: bfloat16 cannot tell position 256 from 257."""
        pair = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions_BT.device)
        angles_BT1P = positions_BT[..., None, None] * theta ** (-pair / head_dim)
        cos, sin = angles_BT1P.cos(), angles_BT1P.sin()
        return cls(torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1))

    def turn(self, x_BTHE: Tensor) -> Tensor:
        """(a, b) -> (a cos - b sin, b cos + a sin) for every pair, in the dtype of x."""
        # Rolled by half a head, b stands where a stood and a where b did.
        partner_BTHE = x_BTHE.roll(x_BTHE.shape[-1] // 2, dims=-1)
        return x_BTHE * self.cos_BT1E.to(x_BTHE.dtype) + partner_BTHE * self.sin_BT1E.to(x_BTHE.dtype)
