"""Muon and AdamW against PyTorch's own and a float64 reference; groups; state that comes back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.train.conftest import TINY
from workbench.errors import Damaged
from workbench.model.parametrization import is_block_matrix
from workbench.model.transformer import Decoder
from workbench.train import optimizers
from workbench.train.optimizers import Muon, Optimizers, orthogonalise
from workbench.train.parameter_groups import OptimizerSettings
from workbench.training_cost import muon_flops

MUON = OptimizerSettings(optimizer="muon", learning_rate=0.01, matrix_learning_rate=0.02, weight_decay=0.1)
ADAMW = OptimizerSettings(optimizer="adamw", learning_rate=0.01, weight_decay=0.1)


def newton_schulz_float64(matrix: torch.Tensor) -> torch.Tensor:
    """The definition, one matrix at a time."""
    x = matrix.double() / (matrix.double().norm() * optimizers.NORM_MARGIN)
    for a, b, c in optimizers.NEWTON_SCHULZ_NARROW:
        gram = x @ x.T
        x = a * x + b * gram @ x + c * gram @ gram @ x
    return x


@pytest.mark.parametrize("shape", [(16, 16), (12, 40), (40, 12)])
def test_orthogonalise_is_the_quintics_of_every_matrix(shape: tuple[int, int]) -> None:
    stack = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    wanted = torch.stack([newton_schulz_float64(matrix) for matrix in stack])
    torch.testing.assert_close(orthogonalise(stack).double(), wanted, rtol=1e-3, atol=1e-4)
    error = (orthogonalise(stack, dtype=torch.bfloat16).double() - wanted).norm() / wanted.norm()
    assert error < 0.03


@pytest.mark.parametrize("width", [32, 1024], ids=["few rounds", "more rounds"])
def test_the_planner_counts_the_flops_of_muon(width: int) -> None:
    config = dataclasses.replace(TINY, hidden_size=width, intermediate_size=3 * width, head_dim=width // 2)
    with torch.device("meta"):
        model = Decoder(config)
        matrices = {name: p for name, p in model.named_parameters() if is_block_matrix(name, p)}
        for matrix in matrices.values():
            matrix.grad = torch.empty_like(matrix)
        muon = Muon(matrices, MUON)
        with FlopCounterMode(display=False) as counted:
            muon.step()
    assert counted.get_total_flops() == muon_flops(config)


@pytest.mark.parametrize(("width", "smallest", "near"), [(24, 0.03, 0.3), (520, 0.003, 0.15)])
def test_singular_values_come_near_one_and_vectors_stay(width: int, smallest: float, near: float) -> None:
    """`smallest` of the largest: after the division by the norm that is well inside what the rounds promise."""
    u, _, v = torch.linalg.svd(torch.randn(width, width, generator=torch.Generator().manual_seed(1)))
    values = torch.ones(width)
    values[width // 2 :] = torch.logspace(0, math.log10(smallest), width - width // 2)
    norm = values.norm()
    assert smallest / norm > (0.0001 if width > optimizers.NARROW else 0.005)
    x = u @ torch.diag(values) @ v
    straight = (u.T @ orthogonalise(x[None])[0] @ v.T).diagonal()
    promised = values / norm / optimizers.NORM_MARGIN > (0.001 if width > optimizers.NARROW else 0.01)
    assert promised.sum() > width // 2
    assert ((straight[promised] - 1).abs() < near).all()
    assert (straight > 0).all()


def test_muon_with_torchs_quintic_walks_with_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten steps on matrices of three shapes; torch multiplies in bfloat16, so do we here."""
    monkeypatch.setattr(optimizers, "NEWTON_SCHULZ_NARROW", ((3.4445, -4.7750, 2.0315),) * 5)
    monkeypatch.setattr(optimizers, "NORM_MARGIN", 1.0)
    generator = torch.Generator().manual_seed(2)
    shapes = {"a": (16, 16), "b": (32, 16), "c": (16, 32), "d": (16, 16)}
    ours = {name: nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in shapes.items()}
    theirs = {name: nn.Parameter(parameter.detach().clone()) for name, parameter in ours.items()}
    starts = {name: parameter.detach().clone() for name, parameter in ours.items()}
    muon = Muon(ours, dataclasses.replace(MUON, matmul_dtype=torch.bfloat16))
    reference = torch.optim.Muon(list(theirs.values()), lr=0.02, weight_decay=0.1, momentum=0.95)
    for _ in range(10):
        for name, shape in shapes.items():
            ours[name].grad = torch.randn(shape, generator=generator)
            theirs[name].grad = ours[name].grad.clone()
        muon.step()
        reference.step()
    for name in shapes:
        walked = theirs[name].detach() - starts[name]
        assert (ours[name] - theirs[name]).norm() / walked.norm() < 0.02, name


def test_adamw_walks_with_torchs_and_decays_matrices_only(make_model: Callable) -> None:
    model, other = make_model(), make_model()
    optimizer = Optimizers(model, ADAMW)
    matrices = [p for name, p in other.named_parameters() if is_block_matrix(name, p)]
    others = [p for name, p in other.named_parameters() if not is_block_matrix(name, p)]
    reference = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=0.005,
        betas=(0.9, 0.95),
        foreach=False,
    )
    optimizer.set_learning_rate(0.5)
    assert optimizer.learning_rate == 0.005
    for _ in range(3):
        for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
            ours.grad, theirs.grad = torch.sin(ours.detach()), torch.sin(theirs.detach())
        optimizer.step()
        reference.step()
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("settings", [MUON, ADAMW], ids=["muon", "adamw"])
def test_a_rate_factor_is_a_rate_of_its_own(settings: OptimizerSettings, make_model: Callable) -> None:
    """Half the rate by factor is half the rate by setting with twice the decay; the others do not notice."""
    halved = {"embed_tokens.weight", "layers.0.mlp.up_proj.weight", "norm.weight"}
    half = dataclasses.replace(
        settings,
        learning_rate=settings.learning_rate / 2,
        weight_decay=2 * settings.weight_decay,
        matrix_learning_rate=settings.matrix_learning_rate / 2,
    )

    def walked(settings: OptimizerSettings, rate_factors: dict[str, float]) -> dict[str, nn.Parameter]:
        model = make_model()
        optimizer = Optimizers(model, settings, rate_factors=rate_factors)
        for share in (1.0, 0.7):
            optimizer.set_learning_rate(share)
            for number, parameter in enumerate(model.parameters()):
                parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
            optimizer.step()
        return dict(model.named_parameters())

    ours = walked(settings, dict.fromkeys(halved, 0.5))
    whole, half_of_all = walked(settings, {}), walked(half, {})
    for name, parameter in ours.items():
        wanted = half_of_all[name] if name in halved else whole[name]
        torch.testing.assert_close(parameter, wanted, rtol=1e-5, atol=1e-7, msg=name)
        assert not torch.equal(half_of_all[name], whole[name])


def test_embeddings_head_and_norms_are_no_block_matrices(make_model: Callable) -> None:
    model = make_model()
    outside = {name for name, p in model.named_parameters() if not is_block_matrix(name, p)}
    assert "embed_tokens.weight" in outside and "norm.weight" in outside
    assert not any(name.endswith("proj.weight") for name in outside)
    assert not is_block_matrix("lm_head.weight", torch.zeros(300, 32))


@pytest.mark.parametrize("settings", [MUON, ADAMW], ids=["muon", "adamw"])
def test_state_moved_to_another_optimizer_continues_bit_for_bit(
    settings: OptimizerSettings, make_model: Callable
) -> None:
    model, other = make_model(), make_model()
    first, second = Optimizers(model, settings), Optimizers(other, settings)

    def step(model: nn.Module, optimizer: Optimizers) -> None:
        for parameter in model.parameters():
            parameter.grad = torch.cos(parameter.detach())
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(3):
        step(model, first)
    other.load_state_dict(model.state_dict())
    second.load_state_tensors({name: tensor.clone() for name, tensor in first.state_tensors().items()})
    for _ in range(2):
        step(model, first)
        step(other, second)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("settings", [MUON, ADAMW], ids=["muon", "adamw"])
def test_state_that_is_not_this_models_is_refused(settings: OptimizerSettings, make_model: Callable) -> None:
    optimizer = Optimizers(make_model(), settings)
    whole = {name: tensor.clone() for name, tensor in optimizer.state_tensors().items()}
    for name in whole:
        with pytest.raises(Damaged, match=f"lacks {name}"):
            optimizer.load_state_tensors({key: tensor for key, tensor in whole.items() if key != name})
    with pytest.raises(Damaged, match="unknown"):
        optimizer.load_state_tensors(whole | {"adamw.nobody.exp_avg": torch.zeros(1)})
    name = next(key for key in whole if key.endswith("exp_avg"))
    with pytest.raises(Damaged, match="shape"):
        optimizer.load_state_tensors(whole | {name: torch.zeros(3, 3)})
