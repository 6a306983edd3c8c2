"""muP: activations change by an amount that does not depend on the width; without it they do not."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workbench.model.initialise import initialise
from workbench.model.parametrization import rate_factors
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.train.optimizers import Optimizers
from workbench.train.parameter_groups import OptimizerSettings

WIDTHS = (64, 128, 256, 512)
STEPS = 4
Optimizer = Literal["adamw", "muon", "adafactor"]


def config_of(width: int, *, mup: bool, tied: bool = True, qk_norm: bool = False) -> ModelConfig:
    """Wider by more heads of one size, as models grow."""
    return ModelConfig(
        vocab_size=64,
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=width // 32,
        num_key_value_heads=width // 32,
        head_dim=32,
        intermediate_size=2 * width,
        max_position_embeddings=32,
        tie_word_embeddings=tied,
        qk_norm=qk_norm,
        initializer_range=0.1,
        attention_multiplier=8 / 32 if mup else None,
        logits_scaling=width / 64 if mup else 1.0,
        mup_base_width=64 if mup else None,
    )


def optimizer_of(model: Decoder, optimizer: Optimizer) -> Optimizers:
    settings = OptimizerSettings(
        optimizer=optimizer, learning_rate=0.01, matrix_learning_rate=0.02, weight_decay=0.1
    )
    factors = rate_factors(model.config, model.named_parameters(), optimizer=optimizer)
    return Optimizers(model, settings, rate_factors=factors)


def changes(config: ModelConfig, optimizer: Optimizer) -> dict[str, float]:
    """By how much each activation has changed after a few steps on one batch: the root mean square."""
    model = initialise(Decoder(config), seed=1)
    ids_BT = torch.randint(64, (4, 17), generator=torch.Generator().manual_seed(0))

    def activations() -> dict[str, torch.Tensor]:
        seen: dict[str, torch.Tensor] = {}

        def keep(name: str) -> None:
            part = model.get_submodule(name)
            hook = part.register_forward_hook(lambda _, __, out: seen.update({name: out}))
            hooks.append(hook)

        hooks: list[torch.utils.hooks.RemovableHandle] = []
        for name in ("embed_tokens", "layers.0.self_attn", "layers.1.self_attn", "layers.1.mlp"):
            keep(name)
        with torch.no_grad():
            seen["logits"] = model(ids_BT[:, :-1])
        for hook in hooks:
            hook.remove()
        return seen

    before, steps = activations(), optimizer_of(model, optimizer)
    for _ in range(STEPS):
        loss = F.cross_entropy(model(ids_BT[:, :-1]).flatten(0, 1), ids_BT[:, 1:].flatten())
        loss.backward()
        steps.step()
        steps.zero_grad()
    return {
        name: float((after - before[name]).square().mean().sqrt()) for name, after in activations().items()
    }


def growth(optimizer: Optimizer, widths: tuple[int, ...] = WIDTHS, **shape: bool) -> dict[str, float]:
    """How the change grows from the narrowest to the widest: the exponent of the width, fitted over all."""
    found = [changes(config_of(width, **shape), optimizer) for width in widths]
    x = torch.tensor(widths).log2()
    x -= x.mean()
    return {
        name: float((x * torch.tensor([each[name] for each in found]).log2()).sum() / x.square().sum())
        for name in found[0]
    }


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("qk_norm", [True, False], ids=["qk-norm", "bare"])
def test_activations_change_alike_at_every_width(tied: bool, qk_norm: bool) -> None:
    exponents = growth("adamw", mup=True, tied=tied, qk_norm=qk_norm)
    assert all(abs(exponent) < 0.2 for exponent in exponents.values()), exponents


def test_in_the_standard_parametrization_they_grow_with_the_width() -> None:
    exponents = growth("adamw", mup=False)
    assert exponents["logits"] > 0.4 and exponents["layers.1.mlp"] > 0.4, exponents


@pytest.mark.parametrize("optimizer", ["muon", "adafactor"])
def test_so_they_do_under_other_optimizers(optimizer: Optimizer) -> None:
    exponents = growth(optimizer, WIDTHS[:3], mup=True)
    assert all(abs(exponent) < 0.3 for exponent in exponents.values()), exponents


def test_at_the_base_width_nothing_is_scaled() -> None:
    config = config_of(64, mup=True)
    model = initialise(Decoder(config), seed=1)
    plain = initialise(Decoder(config_of(64, mup=False)), seed=1)
    assert rate_factors(config, model.named_parameters(), optimizer="adamw") == {}
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))


def test_the_rules_are_those_of_table_8() -> None:
    config = config_of(512, mup=True, tied=False)
    model = initialise(Decoder(config), seed=1)
    factors = rate_factors(config, model.named_parameters(), optimizer="adamw")
    for name, parameter in model.named_parameters():
        is_matrix = name.endswith("_proj.weight")
        assert factors.get(name, 1.0) == (1 / 8 if is_matrix else 1.0), name
        if parameter.ndim == 2:
            deep = name.endswith(("o_proj.weight", "down_proj.weight"))
            wanted = 0.1 / (math.sqrt(8) if is_matrix else 1) / (2 if deep else 1)
            assert float(parameter.detach().std()) == pytest.approx(wanted, rel=0.03), name


def test_a_slower_matrix_forgets_as_fast() -> None:
    """Decay goes by the rate without the factor, so with no gradient all matrices shrink alike."""
    for optimizer in ("adamw", "muon"):
        shares = set()
        for factor in (1.0, 0.25):
            layer = nn.ModuleDict({"up_proj": nn.Linear(8, 8, bias=False), "norm": nn.LayerNorm(8)})
            start = layer["up_proj"].weight.detach().clone()
            settings = OptimizerSettings(
                optimizer=optimizer, learning_rate=0.1, matrix_learning_rate=0.1, weight_decay=0.5
            )
            steps = Optimizers(layer, settings, rate_factors={"up_proj.weight": factor})
            layer["up_proj"].weight.grad = torch.zeros(8, 8)
            steps.step()
            shares.add(round(float((layer["up_proj"].weight.detach() / start).mean()), 6))
        assert shares == {0.95}, optimizer
