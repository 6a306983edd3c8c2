"""A model with multipliers as the same model without: each is multiplied into weights that follow or precede it.

That makes a model trained by µP one that everybody knows. Logits are equal but for the rounding of the products.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from workbench.model.transformer import Decoder, DecoderLayer


@torch.no_grad()
def fold_multipliers(model: Decoder) -> Decoder:
    """A copy of `model` that scales nothing and gives the same logits.

    The embedding grows by its multiplier. Whatever a head does to its queries after the projection (a gain, a turn) is
    linear in them, so they carry what multiplies their products. What divides the logits goes into the gain
    before the head; so does the embedding's multiplier, taken back, where that is the head too.
    """
    config = model.config
    folded = Decoder(config.without_multipliers())
    folded.load_state_dict(copy.deepcopy(model.state_dict()), assign=True)
    _multiply(folded.embed_tokens, config.embedding_multiplier)
    _multiply(folded.embed_positions, config.embedding_multiplier)
    tied = config.embedding_multiplier if config.tie_word_embeddings else 1.0
    _multiply(folded.norm, 1 / (config.logits_scaling * tied))
    for layer in folded.layers:
        assert isinstance(layer, DecoderLayer)
        attention = layer.self_attn
        queries = (
            1.0 if config.attention_multiplier is None else config.attention_multiplier * config.head_dim**0.5
        )
        _multiply(attention.q_norm or attention.q_proj, queries)
        _multiply(attention.o_proj, config.residual_multiplier)
        _multiply(layer.mlp.down_proj, config.residual_multiplier)
    return folded.train(model.training)


def _multiply(part: nn.Module | None, factor: float) -> None:
    """Weight and bias of `part`, times `factor`."""
    if part is not None and factor != 1:
        tensors: list[Tensor] = list(part.parameters(recurse=False))
        for tensor in tensors:
            tensor.mul_(factor)
