"""Attention: every position asks those before it, and takes a mix of what they hand over.

The only part of the decoder that moves information between positions; what may be looked at is told by
`memory.py`, where a token stands by `rotation.py`.

Shapes: B rows, T new positions, S positions seen, D width, H query heads, G key/value heads, E width of one head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.model.memory import Memory, Seen
from workbench.model.norms import RMSNorm
from workbench.model.operations import may_be_pieced, turned_rms_norm
from workbench.model.rotation import Rotation
from workbench.model.segments import attend_in_segments
from workbench.model_config import VALUE_GATE_INPUTS, ModelConfig


class Attention(nn.Module):
    """Causal self-attention (Vaswani et al. 2017) with grouped heads, rotary positions, optional QK-norm.

    Every position asks with a query, offers a key, and hands over a value. Grouped-query attention lets
    H / G query heads share one key/value head: quality nearly the same, the cache H / G times smaller
    (Ainslie et al. 2023).
    """

    def __init__(self, config: ModelConfig, *, takes_values: bool = False) -> None:
        super().__init__()
        D, E = config.hidden_size, config.head_dim
        H, G = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = E
        self.multiplier = E**-0.5 if config.attention_multiplier is None else config.attention_multiplier
        self.softcap = config.attn_logit_softcapping
        self.q_proj, self.k_proj, self.v_proj = (
            nn.Linear(D, heads * E, bias=config.bias or config.qkv_bias) for heads in (H, G, G)
        )
        self.o_proj = nn.Linear(H * E, D, bias=config.bias)
        # Normalised queries and keys cannot outgrow the softmax: q·k is bounded whatever the learning rate
        # does to the matrices (Dehghani et al. 2023). The gains are shared by all heads, as in Qwen3.
        self.q_norm = RMSNorm(E, eps=config.rms_norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(E, eps=config.rms_norm_eps) if config.qk_norm else None
        inputs = min(VALUE_GATE_INPUTS, D)
        self.value_gate = nn.Linear(inputs, G, bias=False) if takes_values else None

    def forward(
        self, x_BTD: Tensor, rotation: Rotation | None, memory: Memory, given_BTGE: Tensor | None = None
    ) -> Tensor:
        """y_BTD: for each position, what it gathered from those before it.

        given_BTGE: values looked up for the token, added to the layer's own. Deep in the stream it is hard to tell
        which token once stood at a place; so a position can hand that over whatever the layers made of it (after the
        value residual of ResFormer, Zhou et al. 2024). The gate, 2 sigmoid, starts at 1 and is each head's own.
        """
        q_BTHE, k_BTGE, v_BTGE = (
            project(x_BTD).unflatten(-1, (-1, self.head_dim))
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        q_BTHE = normed_and_turned(q_BTHE, self.q_norm, rotation)
        k_BTGE = normed_and_turned(k_BTGE, self.k_norm, rotation)
        if self.value_gate is not None and given_BTGE is not None:
            gate_BTG = 2 * torch.sigmoid(self.value_gate(x_BTD[..., : self.value_gate.in_features]))
            v_BTGE = v_BTGE + gate_BTG[..., None] * given_BTGE

        seen = memory.with_new(k_BTGE, v_BTGE)
        y_BTHE = attend(q_BTHE, seen, multiplier=self.multiplier, softcap=self.softcap)
        y_BTD: Tensor = self.o_proj(y_BTHE.flatten(-2))
        return y_BTD


def normed_and_turned(x_BTNE: Tensor, norm: RMSNorm | None, rotation: Rotation | None) -> Tensor:
    """The queries or keys of N heads, made of one size where there is a norm, and turned by where they stand."""
    if norm is not None and rotation is not None and may_be_pieced(x_BTNE, norm.weight):
        cos_BT1E, sin_BT1E = rotation
        if len(cos_BT1E) == 1:  # all rows stand alike
            return turned_rms_norm(x_BTNE, norm.weight, cos_BT1E[0], sin_BT1E[0], eps=norm.eps)
    if norm is not None:
        x_BTNE = norm(x_BTNE)
    return x_BTNE if rotation is None else rotation.turn(x_BTNE)


def attend(q_BTHE: Tensor, seen: Seen, *, multiplier: float, softcap: float | None = None) -> Tensor:
    """y_BTHE = softmax(multiplier · q · kᵀ) · v: every query's mix of the values whose keys fit it best.

    The multiplier is 1 / sqrt(E) as a rule. Without it the sum of E products grows with E, and the softmax would
    pick one key and stop learning (Vaswani et al. 2017).
    softcap: bends the products; no fused kernel of torch does that, so the scores are then written out.
    """
    if seen.segments is not None:
        return attend_in_segments(q_BTHE, seen.k_BSGE, seen.v_BSGE, seen.segments, multiplier=multiplier)
    q_BHTE, k_BGSE, v_BGSE = (x.transpose(1, 2) for x in (q_BTHE, seen.k_BSGE, seen.v_BSGE))
    from_empty = seen.mask_B1TS is None or q_BHTE.shape[2] == k_BGSE.shape[2]
    short = from_empty and q_BHTE.is_cpu and q_BHTE.dtype == torch.bfloat16 and q_BHTE.shape[2] <= 1024
    if short or softcap is not None:
        y_BHTE = attend_written_out(
            q_BHTE, k_BGSE, v_BGSE, seen.mask_B1TS, multiplier=multiplier, softcap=softcap
        )
        return y_BHTE.transpose(1, 2)
    return attend_by_torch(q_BTHE, seen, multiplier=multiplier)


def attend_by_torch(q_BTHE: Tensor, seen: Seen, *, multiplier: float) -> Tensor:
    """The same by torch's own kernel, which knows no soft cap; FlashAttention on a GPU where there is no mask."""
    q_BHTE, k_BGSE, v_BGSE = (x.transpose(1, 2) for x in (q_BTHE, seen.k_BSGE, seen.v_BSGE))
    y_BHTE = F.scaled_dot_product_attention(
        q_BHTE,
        k_BGSE,
        v_BGSE,
        attn_mask=seen.mask_B1TS,
        is_causal=seen.mask_B1TS is None,
        scale=multiplier,
        enable_gqa=q_BHTE.shape[1] != k_BGSE.shape[1],
    )
    return y_BHTE.transpose(1, 2)


BLOCK = 256
"""Queries whose scores are written out together: large enough for quick products."""


def attend_written_out(
    q_BHTE: Tensor,
    k_BGSE: Tensor,
    v_BGSE: Tensor,
    mask_B1TS: Tensor | None = None,
    *,
    multiplier: float,
    softcap: float | None = None,
) -> Tensor:
    """The same, causal unless a mask says more, with the T x S scores written out.

    torch's CPU kernel spares that memory but multiplies small tiles: in bfloat16 on rows of 256 it takes more
    than twice as long as this, forward and backward, and on rows of 1,024 nearly twice. Long rows are its home.
    """
    T, S = q_BHTE.shape[2], k_BGSE.shape[2]
    queries_per_key = q_BHTE.shape[1] // k_BGSE.shape[1]
    k_BHSE, v_BHSE = (x.to(q_BHTE.dtype).repeat_interleave(queries_per_key, dim=1) for x in (k_BGSE, v_BGSE))
    q_BHTE = q_BHTE * multiplier
    parts = []
    for first in range(0, T, BLOCK):
        end = min(first + BLOCK, T)
        seen = end if T == S else S  # what comes after the last query of a block none of them sees
        hidden = _hidden(mask_B1TS, first, end, seen, before=S - T, like=q_BHTE)
        # Autocast would widen the scores to float32 before the softmax and narrow what comes out. The kernel sums in
        # float32 whatever it is given, so the result is the same to the bit, without four passes over T x S.
        with torch.autocast(q_BHTE.device.type, enabled=False):
            scores_BHTS = soft_capped(q_BHTE[:, :, first:end] @ k_BHSE[:, :, :seen].mT, softcap) + hidden
            parts.append(scores_BHTS.softmax(-1) @ v_BHSE[:, :, :seen])
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def _hidden(
    mask_B1TS: Tensor | None, first: int, end: int, seen: int, *, before: int, like: Tensor
) -> Tensor:
    """What to add to the scores of queries `first` to `end` and the keys `seen`: -inf where they must not look.

    before: keys that stand before the first query.
    """
    if mask_B1TS is None:
        nothing = torch.full((end - first, seen), -torch.inf, dtype=like.dtype, device=like.device)
        return nothing.triu(diagonal=before + first + 1)
    looks = mask_B1TS[:, :, first:end, :seen]
    return torch.zeros_like(looks, dtype=like.dtype).masked_fill_(~looks, -torch.inf)


def soft_capped(x: Tensor, cap: float | None) -> Tensor:
    """cap · tanh(x / cap): x where it is small beside the cap, never beyond it; x itself without one.

    Logits cannot run away from each other however the weights grow, and still have a slope everywhere (Gemma 2, 2024).
    """
    return x if cap is None else cap * torch.tanh(x / cap)
