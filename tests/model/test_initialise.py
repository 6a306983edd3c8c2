from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch

from workbench.model.initialise import initialise
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig


def test_the_seed_decides_and_torchs_own_randomness_is_left_alone(config: ModelConfig) -> None:
    first, same, other = Decoder(config), Decoder(config), Decoder(config)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    initialise(first, 7)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    initialise(same, 7)
    initialise(other, 8)
    for (name, a), b, c in zip(first.named_parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b), name
        assert a.ndim == 1 or not a.any() or not torch.equal(a, c), name


def test_matrices_have_the_asked_spread_and_residual_projections_less() -> None:
    config = ModelConfig(
        vocab_size=500,
        hidden_size=128,
        num_hidden_layers=8,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=256,
        max_position_embeddings=32,
        head_dim=64,
        initializer_range=0.03,
    )
    for name, parameter in initialise(Decoder(config), 0).named_parameters():
        if parameter.ndim == 1:
            assert (parameter == 1).all(), name
            continue
        residual = "o_proj" in name or "down_proj" in name
        assert float(parameter.detach().std()) == pytest.approx(0.03 / 4 if residual else 0.03, rel=0.05), (
            name
        )


@torch.no_grad()
@pytest.mark.parametrize("layers", [1, 12])
def test_training_starts_from_knowing_nothing(
    layers: int, config: ModelConfig, random_ids: Callable[..., torch.Tensor]
) -> None:
    model = initialise(
        Decoder(dataclasses.replace(config, num_hidden_layers=layers, initializer_range=0.02)), 0
    )
    ids_BT = random_ids(8, 33)
    logits_BTV = model(ids_BT[:, :-1])
    loss = torch.nn.functional.cross_entropy(logits_BTV.flatten(0, 1), ids_BT[:, 1:].flatten())
    assert float(loss) == pytest.approx(math.log(97), abs=0.05)


def test_litgpts_spread_and_zero_residuals() -> None:
    config = ModelConfig(
        vocab_size=500,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=256,
        max_position_embeddings=32,
        head_dim=64,
        value_embeddings=True,
    )
    plain = dict(initialise(Decoder(config), 0).named_parameters())
    zero = dict(initialise(Decoder(config), 0, initializer="zero-residual").named_parameters())
    bigrams = dict(initialise(Decoder(config), 0, initializer="bigrams").named_parameters())
    assert all(torch.equal(bigrams[name], parameter) for name, parameter in zero.items())
    for name, parameter in initialise(Decoder(config), 0, initializer="litgpt").named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            assert float(parameter.detach().std()) == pytest.approx(1 / (128**0.5 * 4), rel=0.05), name
            assert not zero[name].any()
            continue
        assert torch.equal(zero[name], plain[name]), name
        if name.endswith("value_gate.weight"):
            assert not parameter.any() and not zero[name].any()
        elif parameter.ndim == 2:
            assert float(parameter.detach().std()) == pytest.approx((2 / 5 / 128) ** 0.5, rel=0.05), name


@torch.no_grad()
def test_a_model_with_zero_residuals_begins_as_the_identity(
    llama: Decoder, random_ids: Callable[..., torch.Tensor]
) -> None:
    model = initialise(Decoder(llama.config), 0, initializer="zero-residual")
    ids_BT = random_ids(2, 9)
    assert torch.equal(model.hidden(ids_BT), model.norm(model.embed_tokens(ids_BT)))
