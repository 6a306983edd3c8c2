"""float8 products: the same parameters, rounding of 8 bits and no more; on a GPU that has it, for real."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn

from workbench.errors import BadInput
from workbench.train.float8 import use_float8
from workbench.train.losses import next_token_loss
from workbench.train.working_model import WorkingModel


def test_rounding_of_eight_bits_in_value_and_gradient(make_model: Callable, make_batch: Callable) -> None:
    pytest.importorskip("torchao", reason="torchao is not installed")
    plain, rounded = make_model(), make_model()
    names = [name for name, _ in rounded.named_parameters()]
    use_float8(rounded.layers, emulate=True)
    assert [name for name, _ in rounded.named_parameters()] == names
    losses = []
    for model in (plain, rounded):
        loss = next_token_loss(model, make_batch(0)).total
        loss.backward()
        losses.append(loss.item())
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.02)
    for name, parameter in rounded.named_parameters():
        reference = plain.get_parameter(name).grad
        similarity = nn.functional.cosine_similarity(parameter.grad.flatten(), reference.flatten(), dim=0)
        assert similarity > 0.97, name


def test_matrices_whose_sides_do_not_fit_stay_as_they_are() -> None:
    pytest.importorskip("torchao", reason="torchao is not installed")
    layers = nn.Sequential(nn.Linear(16, 24), nn.Linear(32, 48))
    use_float8(layers, emulate=True)
    assert [type(layer).__name__ for layer in layers] == ["Linear", "Float8Linear"]


def test_without_torchao_one_line_says_what_to_install(
    make_model: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchao.float8", None)
    with pytest.raises(BadInput, match=r"needs torchao.*pip install"):
        WorkingModel(make_model(), float8=True)


@pytest.mark.gpu
def test_on_a_gpu_gradients_reach_the_kept_model(make_model: Callable, make_batch: Callable) -> None:
    kept = make_model().to("cuda")
    before = copy.deepcopy(kept.state_dict())
    working = WorkingModel(kept, float8=True)
    assert working.implementation == "float8 products"
    with torch.autocast("cuda", dtype=torch.bfloat16):
        next_token_loss(working.model, make_batch(0)).total.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in kept.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in kept.state_dict().items())
