"""Averages of weights, against sums in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workbench.train.averaging import WeightAverage


def walk(average: WeightAverage, model: nn.Linear, num_steps: int) -> list[torch.Tensor]:
    """Random weights, one set a step, all taken in; gives them."""
    generator = torch.Generator().manual_seed(0)
    seen = []
    for step in range(1, num_steps + 1):
        with torch.no_grad():
            model.weight.copy_(torch.randn(model.weight.shape, generator=generator))
        average.update(step)
        seen.append(model.weight.detach().double())
    return seen


def published(average: WeightAverage, model: nn.Linear) -> torch.Tensor:
    with average.in_place():
        return model.weight.detach().clone()


@pytest.fixture
def model() -> nn.Linear:
    return nn.Linear(5, 3, bias=False)


@pytest.mark.parametrize("first_step", [0, 4, 11])
def test_the_tail_is_the_mean_of_its_steps(model: nn.Linear, first_step: int) -> None:
    average = WeightAverage(model, first_step=first_step)
    seen = walk(average, model, 12)
    wanted = torch.stack(seen[first_step:]).mean(dim=0)
    torch.testing.assert_close(published(average, model).double(), wanted, atol=1e-6, rtol=0)
    assert [average.holds(step) for step in (first_step, first_step + 1)] == [False, True]


@pytest.mark.parametrize("decay", [0.3, 0.9])
def test_the_exponential_average_forgets_what_it_began_with(model: nn.Linear, decay: float) -> None:
    average = WeightAverage(model, decay=decay)
    seen = walk(average, model, 60)
    wanted = seen[0]
    for taken_in, weights in enumerate(seen[1:], start=2):
        kept = min(decay, (taken_in - 1) / (taken_in + 9))
        wanted = kept * wanted + (1 - kept) * weights
    torch.testing.assert_close(published(average, model).double(), wanted, atol=1e-5, rtol=0)


def test_the_newest_weights_come_back_to_the_bit(model: nn.Linear) -> None:
    average = WeightAverage(model, decay=0.9)
    walk(average, model, 3)
    newest = model.weight.detach().clone()
    storage = model.weight.data_ptr()
    with pytest.raises(RuntimeError), average.in_place():
        assert not torch.equal(model.weight, newest)
        raise RuntimeError
    assert torch.equal(model.weight, newest) and model.weight.data_ptr() == storage


def test_it_can_begin_again_where_the_weights_are(model: nn.Linear) -> None:
    average = WeightAverage(model, decay=0.9)
    walk(average, model, 5)
    average.begin_at_weights()
    assert torch.equal(published(average, model), model.weight)
