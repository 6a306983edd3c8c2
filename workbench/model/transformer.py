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

The parts have rooms of their own: attention.py, memory.py (the KV cache and masks), segments.py (documents without a
mask), rotation.py (RoPE), norms.py, bigrams.py.
Knows nothing of tokenizers, losses, sampling or files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.model.attention import Attention, soft_capped
from workbench.model.bigrams import rows_of_bigrams, tokens_before
from workbench.model.memory import KVCache, Memory, positions_in_documents, visible
from workbench.model.norms import norm
from workbench.model.rotation import Rotation
from workbench.model_config import ModelConfig


class Decoder(nn.Module):
    """A causal language model: `model(ids_BT)` gives logits_BTV, the scores of what follows each position.

    The logits at position t depend on ids[:, : t + 1] only. The weights mean something once `initialise` or
    `load_model` has set them.
    """

    loss_compiled = False
    """Whether torch compiles what a loss does with the logits too (`workbench/train/working_model.py`)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        # A cache asks for it: fewer than the config's where several processes slice the model.
        self.num_key_value_heads = config.num_key_value_heads
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        # A vector for every place, added to the token's: GPT-2's way. It cannot look past the last place it learned.
        learned = config.positions == "learned"
        self.embed_positions = (
            nn.Embedding(config.max_position_embeddings, config.hidden_size) if learned else None
        )
        # A vector for two tokens in a row, added to the second one's: what often follows a pair need not be worked
        # out by layers. Pairs share the rows, as a hash has it (modded-nanogpt).
        bigram_rows = config.bigram_embedding_rows
        self.embed_bigrams = nn.Embedding(bigram_rows, config.hidden_size) if bigram_rows else None
        with_values = config.layers_with_value_embeddings
        self.layers = nn.ModuleList(
            DecoderLayer(config, takes_values=layer in with_values)
            for layer in range(config.num_hidden_layers)
        )
        # A second vector for every token, which goes straight into the values of its layer: see Attention.
        values_width = config.num_key_value_heads * config.head_dim
        self.value_embeds = nn.ModuleDict(
            {str(layer): nn.Embedding(config.vocab_size, values_width) for layer in with_values}
        )
        self.norm = norm(config)
        # Tied: the vector that stands for a token on the way in also scores it on the way out (Press & Wolf
        # 2017). In a small model the vocabulary is a large share of all parameters.
        self.lm_head = (
            None
            if config.tie_word_embeddings
            else nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        )

    def forward(self, ids_BT: Tensor, *, cache: KVCache | None = None) -> Tensor:
        """logits_BTV. With a cache, ids_BT are the tokens that follow what the cache has already seen."""
        return self.head(self.hidden(ids_BT, cache=cache))

    def hidden(
        self, ids_BT: Tensor, *, cache: KVCache | None = None, documents_BT: Tensor | None = None
    ) -> Tensor:
        """x_BTD after the last norm, scaled: what `head` turns into logits.

        Apart from `forward` because the head of a small model is its largest matrix: a loss can score only
        the positions it learns from, and generation only the last.
        documents_BT: for rows packed from several documents, which one each token belongs to; a token then
        sees its own document only, as if that stood alone.
        """
        T = ids_BT.shape[1]
        positions_BT = torch.arange(T, device=ids_BT.device)[None] if cache is None else cache.grow(T)
        x_BTD = self.embedded(ids_BT, positions_BT, cache=cache, documents_BT=documents_BT)
        # Where a position may look and how far it is turned is the same in every layer; a cache knows where by itself.
        sight = None if cache is not None else visible(x_BTD, documents_BT, self.config)
        rotation = Rotation.at(positions_BT, self.config) if self.embed_positions is None else None
        count = len(self.layers)
        memories = [
            Memory(sight) if cache is None else Memory(cache=cache, layer=layer) for layer in range(count)
        ]
        values = (self.values_of(ids_BT, layer) for layer in range(count))
        x_BTD = self.through_layers(x_BTD, rotation, memories, values)
        # The logits are divided here already, where a position has D numbers and not V.
        return times(1 / self.config.logits_scaling, self.norm(x_BTD))

    def through_layers(
        self,
        x_BTD: Tensor,
        rotation: Rotation | None,
        memories: Sequence[Memory],
        values: Iterable[Tensor | None],
    ) -> Tensor:
        """x_BTD after the last layer. Each has its memory, and its values of the tokens if it looks any up."""
        for layer, memory, given_BTGE in zip(self.layers, memories, values, strict=True):
            x_BTD = layer(x_BTD, rotation, memory, given_BTGE)
        return x_BTD

    def embedded(
        self, ids_BT: Tensor, positions_BT: Tensor, *, cache: KVCache | None, documents_BT: Tensor | None
    ) -> Tensor:
        """x_BTD as the first layer reads it: what a token is, what pair it makes with the one before, where it stands.

        A rotation, which tells distances alone, has no part in it; a learned place counts from the document's first.
        """
        x_BTD = self.embed_tokens(ids_BT)
        if self.embed_bigrams is not None:
            before_BT = tokens_before(ids_BT, documents_BT) if cache is None else cache.tokens_before(ids_BT)
            rows_BT = rows_of_bigrams(before_BT, ids_BT, self.config.bigram_embedding_rows)
            x_BTD = x_BTD + self.embed_bigrams(rows_BT)
        if self.embed_positions is not None:
            if documents_BT is not None:
                positions_BT = positions_in_documents(documents_BT)
            if cache is None:  # padding may stand where no place was learned; nobody looks there
                positions_BT = positions_BT.clamp(max=self.embed_positions.num_embeddings - 1)
            x_BTD = x_BTD + self.embed_positions(positions_BT)
        return times(self.config.embedding_multiplier, x_BTD)

    def values_of(self, ids_BT: Tensor, layer: int) -> Tensor | None:
        """given_BTGE: the values that `layer` looks up for its tokens; None in a layer that does not."""
        if str(layer) not in self.value_embeds:
            return None
        given_BTGE: Tensor = self.value_embeds[str(layer)](ids_BT).unflatten(-1, (-1, self.config.head_dim))
        return given_BTGE

    def head(self, x_BTD: Tensor) -> Tensor:
        """logits_BTV of hidden states (any leading dimensions)."""
        logits_BTV = F.linear(
            x_BTD, self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        )
        return soft_capped(logits_BTV, self.config.final_logit_softcapping)


class DecoderLayer(nn.Module):
    """One round of looking around (attention) and thinking (feed-forward), each added to the stream.

    The norm stands before each part, not after: gradients then reach the first layer along the bare
    residual stream, and deep models train without tricks (Xiong et al. 2020).
    """

    def __init__(self, config: ModelConfig, *, takes_values: bool = False) -> None:
        super().__init__()
        self.residual_multiplier = config.residual_multiplier
        self.input_layernorm = norm(config)
        self.self_attn = Attention(config, takes_values=takes_values)
        self.post_attention_layernorm = norm(config)
        self.mlp = SwiGLU(config) if config.feed_forward == "swiglu" else FeedForward(config)

    def forward(
        self, x_BTD: Tensor, rotation: Rotation | None, memory: Memory, given_BTGE: Tensor | None = None
    ) -> Tensor:
        """x_BTD after this layer."""
        attended_BTD = self.self_attn(self.input_layernorm(x_BTD), rotation, memory, given_BTGE)
        x_BTD = x_BTD + times(self.residual_multiplier, attended_BTD)
        thought_BTD = self.mlp(self.post_attention_layernorm(x_BTD))
        return x_BTD + times(self.residual_multiplier, thought_BTD)


class FeedForward(nn.Module):
    """down(act(up(x))), one position at a time, with the GELU of GPT-2 or a squared ReLU.

    relu(x)² is zero for half of its inputs and cheap; in searches over the decoder it won (Primer, So et al. 2021).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.squared_relu = config.feed_forward == "relu2"
        self.up_proj = nn.Linear(width, inner, bias=config.bias)
        self.down_proj = nn.Linear(inner, width, bias=config.bias)

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
        self.gate_proj = nn.Linear(width, inner, bias=config.bias)
        self.up_proj = nn.Linear(width, inner, bias=config.bias)
        self.down_proj = nn.Linear(inner, width, bias=config.bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """y_BTD, each position by itself."""
        y_BTD: Tensor = self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))
        return y_BTD


def times(multiplier: float, x: Tensor) -> Tensor:
    """multiplier · x; x itself, without a pass over memory, when there is nothing to multiply."""
    return x if multiplier == 1 else multiplier * x
