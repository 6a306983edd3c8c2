"""Adafactor and 8-bit AdamW: torch's own steps, with state that is there from the start, small and plain."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn

from workbench.errors import BadInput, Damaged
from workbench.train.optimizers import Optimizers
from workbench.train.parameter_groups import OptimizerSettings, is_block_matrix, parameter_groups

ADAFACTOR = OptimizerSettings(optimizer="adafactor", learning_rate=0.05, weight_decay=0.1)
ADAMW = OptimizerSettings(optimizer="adamw", learning_rate=0.01, weight_decay=0.1)
ADAMW8BIT = OptimizerSettings(optimizer="adamw8bit", learning_rate=0.01, weight_decay=0.1)


class Net(nn.Module):
    """A table, matrices large enough to be quantised, one that is not, and a gain."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.embed_tokens = nn.Embedding(128, 64)
        self.up_proj, self.down_proj = nn.Linear(64, 96, bias=False), nn.Linear(96, 64, bias=False)
        self.small = nn.Linear(8, 8, bias=False)
        self.norm = nn.Parameter(torch.ones(64))
        for parameter in self.parameters():
            nn.init.normal_(parameter, 0.5, 0.1, generator=generator)


def steps(optimizer: Optimizers | torch.optim.Optimizer, net: nn.Module, numbers: range) -> None:
    for number in numbers:
        for parameter in net.parameters():
            parameter.grad = torch.sin(parameter.detach() * 100 + number)
        optimizer.step()


def equal(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def copies(optimizer: Optimizers) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in optimizer.state_tensors().items()}


def test_adafactor_walks_with_torchs() -> None:
    ours, theirs = Net(), Net()
    optimizer = Optimizers(ours, ADAFACTOR)
    optimizer.set_learning_rate(0.5)
    matrices = [p for name, p in theirs.named_parameters() if is_block_matrix(name, p)]
    others = [p for name, p in theirs.named_parameters() if not is_block_matrix(name, p)]
    reference = torch.optim.Adafactor(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=0.025
    )
    steps(optimizer, ours, range(4))
    steps(reference, theirs, range(4))
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter, theirs.get_parameter(name), rtol=1e-6, atol=1e-7, msg=name)


@pytest.fixture
def adamw8bit() -> OptimizerSettings:
    pytest.importorskip("torchao", reason="torchao is not installed")
    return ADAMW8BIT


@pytest.fixture(params=[ADAFACTOR, ADAMW, ADAMW8BIT], ids=lambda settings: settings.optimizer)
def settings(request: pytest.FixtureRequest) -> OptimizerSettings:
    if request.param is ADAMW8BIT:
        pytest.importorskip("torchao", reason="torchao is not installed")
    return request.param


def test_state_has_one_form_at_every_step(settings: OptimizerSettings) -> None:
    net = Net()
    optimizer = Optimizers(net, settings)
    before = {name: (tensor.shape, tensor.dtype) for name, tensor in optimizer.state_tensors().items()}
    steps(optimizer, net, range(2))
    after = optimizer.state_tensors()
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in after.items()} == before
    assert all(type(tensor) is torch.Tensor for tensor in after.values())
    assert all(tensor.any() for tensor in after.values())  # none is a copy that no step reaches


def test_state_moved_to_another_optimizer_continues_bit_for_bit(settings: OptimizerSettings) -> None:
    net, other = Net(), Net()
    first, second = Optimizers(net, settings), Optimizers(other, settings)
    steps(first, net, range(3))
    other.load_state_dict(net.state_dict())
    second.load_state_tensors(copies(first))
    steps(first, net, range(3, 5))
    steps(second, other, range(3, 5))
    assert equal(net, other)


def test_every_tensor_of_the_state_matters(settings: OptimizerSettings) -> None:
    """Left out it is missed; set to zero it changes the next steps."""
    net = Net()
    optimizer = Optimizers(net, settings)
    steps(optimizer, net, range(3))
    state, weights = copies(optimizer), {name: p.detach().clone() for name, p in net.named_parameters()}
    steps(optimizer, net, range(3, 5))
    for lost in state:
        other = Net()
        other.load_state_dict(weights)
        resumed = Optimizers(other, settings)
        with pytest.raises(Damaged, match=lost):
            resumed.load_state_tensors({name: tensor for name, tensor in state.items() if name != lost})
        resumed.load_state_tensors(state | {lost: torch.zeros_like(state[lost])})
        steps(resumed, other, range(3, 5))
        assert not equal(net, other), lost


def test_state_of_another_type_is_refused(settings: OptimizerSettings) -> None:
    optimizer = Optimizers(Net(), settings)
    state = copies(optimizer)
    name = next(iter(state))
    with pytest.raises(Damaged, match=r"is of torch\.float64"):
        optimizer.load_state_tensors(state | {name: state[name].double()})


@pytest.mark.parametrize(("kind", "least", "most"), [("adamw", 8.0, 8.01), ("adafactor", 0.03, 0.13)])
def test_bytes_per_parameter(kind: str, least: float, most: float) -> None:
    net = Net()
    optimizer = Optimizers(net, OptimizerSettings(optimizer=kind, learning_rate=0.01))  # type: ignore[arg-type]
    assert least <= optimizer.state_bytes / sum(p.numel() for p in net.parameters()) < most


def test_eight_bit_moments_take_a_quarter_and_walk_beside_adamw(adamw8bit: OptimizerSettings) -> None:
    ours, theirs, start = Net(), Net(), Net()
    optimizer, reference = Optimizers(ours, adamw8bit), Optimizers(theirs, ADAMW)
    assert 2.0 < optimizer.state_bytes / sum(p.numel() for p in ours.parameters()) < 2.1
    assert optimizer.implementation == "adamw8bit-eager"
    generator = torch.Generator().manual_seed(3)
    for _ in range(10):
        for parameter, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            other.grad = parameter.grad.clone()
        optimizer.step()
        reference.step()
    for name, parameter in ours.named_parameters():
        walked = theirs.get_parameter(name) - start.get_parameter(name)
        assert (parameter - theirs.get_parameter(name)).norm() < 0.05 * walked.norm(), name


def test_eight_bits_follow_the_rate(adamw8bit: OptimizerSettings) -> None:
    net, start = Net(), Net()
    optimizer = Optimizers(net, adamw8bit)
    optimizer.set_learning_rate(0.0)
    steps(optimizer, net, range(2))
    assert equal(net, start)


def test_without_torchao_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao.optim", None)
    with pytest.raises(BadInput, match=r"needs torchao.*pip install"):
        Optimizers(Net(), ADAMW8BIT)


def test_every_kind_has_its_decay_and_rate(make_model: Callable) -> None:
    settings = OptimizerSettings(
        optimizer="adamw",
        learning_rate=0.01,
        weight_decay=0.1,
        embedding_weight_decay=0.2,
        norm_weight_decay=0.3,
        embedding_learning_rate_factor=2.0,
        norm_learning_rate_factor=0.5,
    )
    start, model = dict(make_model().named_parameters()), make_model()
    groups = parameter_groups(dict(model.named_parameters()), settings, {"norm.weight": 0.5})
    kinds = {name: group.kind for group in groups for name in group.parameters}
    assert kinds.keys() == start.keys()
    assert kinds["embed_tokens.weight"] == "embeddings" and kinds["norm.weight"] == "norms"

    optimizer = Optimizers(model, settings, rate_factors={"norm.weight": 0.5})
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    left = {"matrices": 1 - 0.01 * 0.1, "embeddings": 1 - 0.02 * 0.2, "norms": 1 - 0.005 * 0.3}
    for name, parameter in model.named_parameters():
        share = left[kinds[name]]  # also of "norm.weight": its own factor does not touch its decay
        torch.testing.assert_close(parameter.detach(), start[name].detach() * share, rtol=1e-6, atol=0)
