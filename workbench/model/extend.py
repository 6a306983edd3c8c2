"""A trained model made to hold more: rows for new tokens, a longer context. Knows no tokenizer and no file."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig

CONTEXT = ("max_position_embeddings", "rope_theta", "rope_scaling")
ROWS_OF_TOKENS = ("embed_tokens.", "lm_head.", "value_embeds.")


def extended(model: Decoder, config: ModelConfig) -> Decoder:
    """`model` under the numbers of `config`, which may differ in vocab_size (not smaller), context and rotary base.

    A new token's row is the mean of all others: its logit is then that of an average token, and the distribution over
    the old ones hardly moves, where small random rows may outscore them all (Hewitt 2021).
    """
    old = model.config
    changeable = {key: getattr(config, key) for key in ("vocab_size", *CONTEXT)}
    assert config == dataclasses.replace(old, **changeable), "another model"
    assert config.vocab_size >= old.vocab_size, "rows are added, never taken away"
    if config == old:
        return model
    new_rows = config.vocab_size - old.vocab_size
    state = {
        name: with_mean_rows(tensor, new_rows) if name.startswith(ROWS_OF_TOKENS) else tensor
        for name, tensor in model.state_dict().items()
    }
    with torch.device("meta"):  # shapes without memory
        grown = Decoder(config)
    grown.load_state_dict(state, assign=True)
    return grown.train(model.training)


def with_mean_rows(x_VD: Tensor, count: int) -> Tensor:
    """x_VD with `count` rows more, each the mean of those that were there."""
    return torch.cat((x_VD, x_VD.mean(dim=0, keepdim=True).expand(count, -1))) if count else x_VD
