"""First weights from bigrams: what the model says before any training is what the counts say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from workbench.model.initialise import initialise
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.train.bigram_start import fit_bigrams

CONFIG = ModelConfig(
    vocab_size=40,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    intermediate_size=48,
    max_position_embeddings=16,
    head_dim=16,
    tie_word_embeddings=False,
)


def counts() -> np.ndarray:
    """Of 40 tokens: each is followed by three others, the first of which twice as often as the rest."""
    counts_VV = np.zeros((40, 40), dtype=np.int64)
    for token in range(40):
        for weight, step in ((2, 1), (1, 7), (1, 12)):
            counts_VV[token, (token + step) % 40] += weight * (1 + token % 5)
    return counts_VV


def loss_on(model: Decoder, counts_VV: np.ndarray) -> float:
    """Mean nats of the second token of a pair after the first alone."""
    with torch.no_grad():
        log_p_VV = model(torch.arange(40)[:, None])[:, 0].double().log_softmax(-1).numpy()
    return float(-(counts_VV * log_p_VV).sum() / counts_VV.sum())


def fitted(config: ModelConfig, *, autocast: torch.dtype | None = None) -> Decoder:
    model = initialise(Decoder(config), 0, initializer="bigrams")
    fit_bigrams(model, counts(), autocast=autocast, steps=150)
    return model


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
@pytest.mark.parametrize(
    "scaled",
    [{}, {"embedding_multiplier": 3.0, "logits_scaling": 2.0}, {"final_logit_softcapping": 15.0}],
)
def test_the_whole_model_begins_as_the_corpuss_bigrams(
    autocast: torch.dtype | None, scaled: dict[str, float]
) -> None:
    model = fitted(dataclasses.replace(CONFIG, **scaled), autocast=autocast)
    entropy = -(0.5 * np.log(0.5) + 2 * 0.25 * np.log(0.25))  # of what follows a token, in nats
    assert entropy <= loss_on(model, counts()) < entropy + 0.05


def test_only_embedding_and_head_move_and_no_gradient_is_left() -> None:
    before = dict(initialise(Decoder(CONFIG), 0, initializer="zero-residual").named_parameters())
    for name, parameter in fitted(CONFIG).named_parameters():
        assert parameter.grad is None
        moved = name in ("embed_tokens.weight", "lm_head.weight")
        assert torch.equal(parameter, before[name]) != moved, name


def test_equal_counts_give_equal_bits() -> None:
    first, second = fitted(CONFIG).state_dict(), fitted(CONFIG).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_tied_model_is_a_programmers_error() -> None:
    model = initialise(Decoder(dataclasses.replace(CONFIG, tie_word_embeddings=True)), 0)
    with pytest.raises(AssertionError, match="tied"):
        fit_bigrams(model, counts())
