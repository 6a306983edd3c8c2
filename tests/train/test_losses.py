"""The summed loss against PyTorch's own cross-entropy: values, gradients, masks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from workbench.data.loader import NOT_LEARNED, Batch
from workbench.model.transformer import Decoder
from workbench.train import losses
from workbench.train.losses import next_token_loss, summed_cross_entropy


@pytest.mark.parametrize("at_once", [16, 61 * 20, 1 << 20])  # many chunks, two, one
def test_value_and_gradients_are_those_of_cross_entropy(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(losses._LOGITS_AT_ONCE, "cpu", at_once)
    generator = torch.Generator().manual_seed(3)
    x_ND = torch.randn(37, 24, generator=generator, requires_grad=True)
    head_VD = torch.randn(61, 24, generator=generator, requires_grad=True)
    targets_N = torch.randint(0, 61, (37,), generator=generator)

    total = summed_cross_entropy(x_ND, head_VD, targets_N)
    gradients = torch.autograd.grad(2.5 * total, (x_ND, head_VD))

    x, head = x_ND.detach().double().requires_grad_(), head_VD.detach().double().requires_grad_()
    reference = F.cross_entropy(F.linear(x, head), targets_N, reduction="sum")
    wanted = torch.autograd.grad(2.5 * reference, (x, head))
    torch.testing.assert_close(total.double(), reference, rtol=1e-6, atol=0)
    for gradient, want in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient.double(), want, rtol=1e-5, atol=1e-5)


def test_without_gradients_the_value_is_the_same(make_model: Callable, make_batch: Callable) -> None:
    model, batch = make_model(), make_batch(0)
    with torch.no_grad():
        measured = next_token_loss(model, batch)
    torch.testing.assert_close(
        measured.total, next_token_loss(model, batch).total.detach(), rtol=1e-6, atol=0
    )


def test_masked_positions_do_not_count(make_model: Callable, make_batch: Callable) -> None:
    model: Decoder = make_model()
    batch: Batch = make_batch(0)
    loss = next_token_loss(model, batch)
    wanted = F.cross_entropy(
        model(batch.inputs_BT).flatten(0, 1),
        batch.targets_BT.flatten(),
        ignore_index=NOT_LEARNED,
        reduction="sum",
    )
    assert loss.count == sum(range(2, 8))
    torch.testing.assert_close(loss.total, wanted, rtol=1e-5, atol=0)


def test_nothing_to_learn_is_a_sum_of_nothing(make_model: Callable, make_batch: Callable) -> None:
    batch: Batch = make_batch(0)
    batch.targets_BT.fill_(NOT_LEARNED)
    loss = next_token_loss(make_model(), batch)
    loss.total.backward()
    assert (float(loss.total.detach()), loss.count) == (0.0, 0)


def test_bfloat16_products_stay_near_float32(make_model: Callable, make_batch: Callable) -> None:
    model, batch = make_model(), make_batch(0)
    exact = float(next_token_loss(model, batch).total.detach())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = next_token_loss(model, batch)
    assert loss.total.dtype == torch.float32
    assert float(loss.total.detach()) == pytest.approx(exact, rel=1e-2)
