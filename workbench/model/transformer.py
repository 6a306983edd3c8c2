"""The decoder, top to bottom: token ids go in, a score for every possible next token comes out.

    ids_BT ─ embedding ─ x_BTD ─┬──────────────── + ─┬─────────────────── + ─ … ─ norm ─ head ─ logits_BTV
                                └ norm ─ attention ┘ └ norm ─ feed-forward ┘
                                └──────── one layer, num_hidden_layers times ────────┘

x_BTD is the residual stream: every layer reads it, thinks, and *adds* what it found. Attention moves
information between positions; the feed-forward works on each position alone; nothing else mixes.
It is the block of Llama (Touvron et al. 2023), with `qk_norm` that of Qwen3 (Qwen Team 2025), and with learned
positions, LayerNorm, GELU and biases that of GPT-2 (Radford et al. 2019): ModelConfig says which part is which.
Attributes carry Hugging Face's names, so that a parameter's path is its name in anybody's checkpoint.

Shapes are part of the names:
    B rows    T new positions    S positions seen (cached and new)    D width of the residual stream
    H query heads    G key/value heads    E width of one head    F width of the feed-forward    V vocabulary

Knows nothing of tokenizers, losses, sampling or files.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.model_config import ModelConfig


class Decoder(nn.Module):
    """A causal language model: `model(ids_BT)` gives logits_BTV, the scores of what follows each position.

    The logits at position t depend on ids[:, : t + 1] only. The weights mean something once `initialise` or
    `load_model` has set them.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        # A vector for every place, added to the token's: GPT-2's way. It cannot look past the last place it learned.
        learned = config.positions == "learned"
        self.embed_positions = (
            nn.Embedding(config.max_position_embeddings, config.hidden_size) if learned else None
        )
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = norm(config)
        # Tied: the vector that stands for a token on the way in also scores it on the way out (Press & Wolf
        # 2017). In a small model the vocabulary is a large share of all parameters.
        self.lm_head = None if config.tie_word_embeddings else linear(config.hidden_size, config.vocab_size)

    def forward(self, ids_BT: Tensor, *, cache: KVCache | None = None) -> Tensor:
        """logits_BTV. With a cache, ids_BT are the tokens that follow what the cache has already seen."""
        return self.head(self.hidden(ids_BT, cache=cache))

    def hidden(
        self, ids_BT: Tensor, *, cache: KVCache | None = None, documents_BT: Tensor | None = None
    ) -> Tensor:
        """x_BTD after the last norm: what `head` turns into logits.

        Apart from `forward` because the head of a small model is its largest matrix: a loss can score only
        the positions it learns from, and generation only the last.
        documents_BT: for rows packed from several documents, which one each token belongs to; a token then
        sees its own document only, as if that stood alone.
        """
        T = ids_BT.shape[1]
        positions_BT = torch.arange(T, device=ids_BT.device)[None] if cache is None else cache.grow(T)
        mask_B1TT = None if documents_BT is None else same_document(documents_BT)
        x_BTD = self.embed_tokens(ids_BT)
        rotation = None
        if self.embed_positions is None:
            rotation = Rotation.at(positions_BT, head_dim=self.config.head_dim, theta=self.config.rope_theta)
        else:  # (a rotation tells distances alone: there, where a document begins does not matter)
            if documents_BT is not None:
                positions_BT = positions_in_documents(documents_BT)
            x_BTD = x_BTD + self.embed_positions(positions_BT)
        for index, layer in enumerate(self.layers):
            memory = Memory(mask_B1TT) if cache is None else Memory(cache=cache, layer=index)
            x_BTD = layer(x_BTD, rotation, memory)
        normed_BTD: Tensor = self.norm(x_BTD)
        return normed_BTD

    def head(self, x_BTD: Tensor) -> Tensor:
        """logits_BTV of hidden states (any leading dimensions)."""
        return F.linear(x_BTD, self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight)


class DecoderLayer(nn.Module):
    """One round of looking around (attention) and thinking (feed-forward), each added to the stream.

    The norm stands before each part, not after: gradients then reach the first layer along the bare
    residual stream, and deep models train without tricks (Xiong et al. 2020).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = norm(config)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = norm(config)
        self.mlp = SwiGLU(config) if config.feed_forward == "swiglu" else FeedForward(config)

    def forward(self, x_BTD: Tensor, rotation: Rotation | None, memory: Memory) -> Tensor:
        """x_BTD after this layer."""
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD), rotation, memory)
        x_BTD = x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))
        return x_BTD


class Attention(nn.Module):
    """Causal self-attention (Vaswani et al. 2017) with grouped heads, rotary positions, optional QK-norm.

    Every position asks with a query, offers a key, and hands over a value. Grouped-query attention lets
    H / G query heads share one key/value head: quality nearly the same, the cache H / G times smaller
    (Ainslie et al. 2023).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        D, E = config.hidden_size, config.head_dim
        H, G = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = E
        self.q_proj, self.k_proj, self.v_proj = (
            linear(D, heads * E, bias=config.bias) for heads in (H, G, G)
        )
        self.o_proj = linear(H * E, D, bias=config.bias)
        # Normalised queries and keys cannot outgrow the softmax: q·k is bounded whatever the learning rate
        # does to the matrices (Dehghani et al. 2023). The gains are shared by all heads, as in Qwen3.
        self.q_norm = RMSNorm(E, eps=config.rms_norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(E, eps=config.rms_norm_eps) if config.qk_norm else None

    def forward(self, x_BTD: Tensor, rotation: Rotation | None, memory: Memory) -> Tensor:
        """y_BTD: for each position, what it gathered from those before it."""
        q_BTHE = self.q_proj(x_BTD).unflatten(-1, (-1, self.head_dim))
        k_BTGE = self.k_proj(x_BTD).unflatten(-1, (-1, self.head_dim))
        v_BTGE = self.v_proj(x_BTD).unflatten(-1, (-1, self.head_dim))
        if self.q_norm is not None and self.k_norm is not None:
            q_BTHE, k_BTGE = self.q_norm(q_BTHE), self.k_norm(k_BTGE)
        if rotation is not None:
            q_BTHE, k_BTGE = rotation.turn(q_BTHE), rotation.turn(k_BTGE)

        y_BTD: Tensor = self.o_proj(attend(q_BTHE, memory.with_new(k_BTGE, v_BTGE)).flatten(-2))
        return y_BTD


class Memory(NamedTuple):
    """What a layer remembers besides the new positions: nothing (with or without a mask), or its cached past."""

    mask_B1TT: Tensor | None = None
    cache: KVCache | None = None
    layer: int = 0

    def with_new(self, k_BTGE: Tensor, v_BTGE: Tensor) -> Seen:
        """All there is to look at once the new keys and values are in."""
        if self.cache is None:
            return Seen(k_BTGE, v_BTGE, self.mask_B1TT)
        return self.cache.write(self.layer, k_BTGE, v_BTGE)


def same_document(documents_BT: Tensor) -> Tensor:
    """mask_B1TT: whether position t may look at position s: earlier, or itself, and of the same document."""
    T = documents_BT.shape[1]
    earlier_TT = torch.ones(T, T, dtype=torch.bool, device=documents_BT.device).tril()
    return (earlier_TT & (documents_BT[:, :, None] == documents_BT[:, None, :]))[:, None]


def positions_in_documents(documents_BT: Tensor) -> Tensor:
    """positions_BT, counted from where the document of each token begins in its row."""
    place_T = torch.arange(documents_BT.shape[1], device=documents_BT.device)
    begins_BT = torch.ones_like(documents_BT, dtype=torch.bool)
    begins_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    return place_T - (place_T * begins_BT).cummax(dim=1).values


class Seen(NamedTuple):
    """What the new positions may look at: keys, values, and a mask; no mask means causal, from position 0."""

    k_BSGE: Tensor
    v_BSGE: Tensor
    mask_B1TS: Tensor | None = None


def attend(q_BTHE: Tensor, seen: Seen) -> Tensor:
    """y_BTHE = softmax(q · kᵀ / sqrt(E)) · v: every query's mix of the values whose keys fit it best.

    Without the 1 / sqrt(E) the sum of E products grows with E, and the softmax would pick one key and stop
    learning (Vaswani et al. 2017).
    """
    q_BHTE, k_BGSE, v_BGSE = (x.transpose(1, 2) for x in (q_BTHE, seen.k_BSGE, seen.v_BSGE))
    from_empty = seen.mask_B1TS is None or q_BHTE.shape[2] == k_BGSE.shape[2]
    if from_empty and q_BHTE.is_cpu and q_BHTE.dtype == torch.bfloat16 and q_BHTE.shape[2] <= 512:
        return attend_short_rows(q_BHTE, k_BGSE, v_BGSE, seen.mask_B1TS).transpose(1, 2)
    y_BHTE = F.scaled_dot_product_attention(
        q_BHTE,
        k_BGSE,
        v_BGSE,
        attn_mask=seen.mask_B1TS,
        is_causal=seen.mask_B1TS is None,
        enable_gqa=q_BHTE.shape[1] != k_BGSE.shape[1],
    )
    return y_BHTE.transpose(1, 2)


def attend_short_rows(
    q_BHTE: Tensor, k_BGTE: Tensor, v_BGTE: Tensor, mask_B1TT: Tensor | None = None
) -> Tensor:
    """The same, causal unless a mask says more, with the T x T scores written out.

    torch's CPU kernel spares that memory but multiplies small tiles: in bfloat16 on rows of 256 it takes more
    than twice as long as this, forward and backward. Long rows are its home.
    """
    T, E = q_BHTE.shape[2:]
    queries_per_key = q_BHTE.shape[1] // k_BGTE.shape[1]
    k_BHTE, v_BHTE = (x.to(q_BHTE.dtype).repeat_interleave(queries_per_key, dim=1) for x in (k_BGTE, v_BGTE))
    hidden = torch.full((T, T), -torch.inf, dtype=q_BHTE.dtype, device=q_BHTE.device).triu(diagonal=1)
    if mask_B1TT is not None:
        hidden = torch.zeros_like(mask_B1TT, dtype=q_BHTE.dtype).masked_fill_(~mask_B1TT, -torch.inf)
    # Autocast would widen the scores to float32 before the softmax and narrow what comes out. The kernel sums in
    # float32 whatever it is given, so the result is the same to the bit, without four passes over T x T.
    with torch.autocast(q_BHTE.device.type, enabled=False):
        scores_BHTT = (q_BHTE * E**-0.5) @ k_BHTE.mT + hidden
        y_BHTE: Tensor = scores_BHTT.softmax(-1) @ v_BHTE
    return y_BHTE


class FeedForward(nn.Module):
    """down(act(up(x))), one position at a time, with the GELU of GPT-2 or a squared ReLU.

    relu(x)² is zero for half of its inputs and cheap; in searches over the decoder it won (Primer, So et al. 2021).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.squared_relu = config.feed_forward == "relu2"
        self.up_proj = linear(width, inner, bias=config.bias)
        self.down_proj = linear(inner, width, bias=config.bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """y_BTD, each position by itself."""
        inner_BTF = self.up_proj(x_BTD)
        active_BTF = (
            F.relu(inner_BTF).square() if self.squared_relu else F.gelu(inner_BTF, approximate="tanh")
        )
        y_BTD: Tensor = self.down_proj(active_BTF)
        return y_BTD


class SwiGLU(nn.Module):
    """SwiGLU: down(silu(gate(x)) · up(x)), one position at a time (Shazeer 2020).

    The gate lets the layer multiply two views of x, which beats a plain ReLU layer of the same cost. It needs
    three matrices instead of two, so F is 8/3 of D where the classic layer has 4: the same parameters.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.gate_proj, self.up_proj = (linear(width, inner, bias=config.bias) for _ in range(2))
        self.down_proj = linear(inner, width, bias=config.bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """y_BTD, each position by itself."""
        y_BTD: Tensor = self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))
        return y_BTD


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
        """x, its last dimension scaled to a root mean square of 1, then by `weight`; in the dtype of x."""
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (wide * scale).to(x.dtype) * self.weight.to(x.dtype)


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


class KVCache:
    """Keys and values of the tokens read so far: a new token then costs one position of work, not all.

    Memory is taken once, for `capacity` positions of `rows` rows. Rows may be of different length: pad the
    prompts on the *right*, run them, and `trim` each row to its true length. Causality kept the padding from
    being seen, and the row's next tokens overwrite it. (Left padding would shift every position instead.)
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        rows: int,
        capacity: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        shape = (config.num_hidden_layers, rows, capacity, config.num_key_value_heads, config.head_dim)
        self.keys_LBSGE = torch.zeros(shape, device=device, dtype=dtype)
        self.values_LBSGE = torch.zeros(shape, device=device, dtype=dtype)
        self.lengths_B = torch.zeros(rows, dtype=torch.int64, device=device)
        self.longest = 0  # = lengths_B.max(), as an int so that no step waits for the device
        self._positions_BT = torch.zeros(rows, 0, dtype=torch.int64, device=device)
        self._mask_B1TS: Tensor | None = None

    def grow(self, count: int) -> Tensor:
        """positions_BT of the next `count` tokens of every row; `write` then fills them, layer by layer."""
        assert self.longest + count <= self.keys_LBSGE.shape[2], "the cache is full"
        from_empty = self.longest == 0
        self._positions_BT = self.lengths_B[:, None] + torch.arange(count, device=self.lengths_B.device)
        self.lengths_B = self.lengths_B + count
        self.longest += count
        # A new token sees every position up to its own. From empty that is plain causal attention.
        seen_S = torch.arange(self.longest, device=self.lengths_B.device)
        self._mask_B1TS = None if from_empty else (seen_S <= self._positions_BT[..., None])[:, None]
        return self._positions_BT

    def write(self, layer: int, k_BTGE: Tensor, v_BTGE: Tensor) -> Seen:
        """Store one layer's keys and values at the positions of the last `grow`; gives all it has seen."""
        keys_BSGE, values_BSGE = self.keys_LBSGE[layer], self.values_LBSGE[layer]
        rows_B1 = torch.arange(len(self.lengths_B), device=self.lengths_B.device)[:, None]
        keys_BSGE[rows_B1, self._positions_BT] = k_BTGE.to(keys_BSGE.dtype)
        values_BSGE[rows_B1, self._positions_BT] = v_BTGE.to(values_BSGE.dtype)
        return Seen(keys_BSGE[:, : self.longest], values_BSGE[:, : self.longest], self._mask_B1TS)

    def trim(self, lengths_B: Tensor) -> None:
        """Say how long each row really is; what lies beyond is forgotten."""
        self.lengths_B = lengths_B.to(self.lengths_B)
        self.longest = int(lengths_B.max())

    def keep(self, rows_N: Tensor) -> None:
        """Keep only these rows, in this order."""
        self.keys_LBSGE = self.keys_LBSGE[:, rows_N]
        self.values_LBSGE = self.values_LBSGE[:, rows_N]
        self.trim(self.lengths_B[rows_N])


def linear(inputs: int, outputs: int, *, bias: bool = False) -> nn.Linear:
    """A matrix, by default without a bias: that changed nothing but stability, for the better (PaLM, 2022)."""
    return nn.Linear(inputs, outputs, bias=bias)
