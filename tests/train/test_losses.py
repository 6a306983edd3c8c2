"""The summed loss against PyTorch's own cross-entropy: values, gradients, masks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest
import torch
from torch.nn import functional as F

from workbench.data.loader import NOT_LEARNED, Batch
from workbench.model.initialise import initialise
from workbench.model.transformer import Decoder
from workbench.train import losses, working_model
from workbench.train.losses import next_token_loss, summed_cross_entropy
from workbench.train.working_model import WorkingModel

from .conftest import TINY


@pytest.fixture
def quick_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Traces and runs as a program, without the C++ compiler."""
    monkeypatch.setattr(losses, "BACKEND", "aot_eager")
    torch._dynamo.reset()
    fused = losses._fused
    fused.cache_clear()
    yield
    fused.cache_clear()
    torch._dynamo.reset()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("at_once", [16, 61 * 20, 1 << 20])  # many chunks, two, one
@pytest.mark.parametrize(("z_loss_weight", "softcap"), [(0.0, None), (0.05, None), (0.0, 4.0), (0.05, 4.0)])
def test_value_and_gradients_are_those_of_cross_entropy(
    z_loss_weight: float,
    softcap: float | None,
    at_once: int,
    compiled: bool,
    quick_compiler: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(losses._LOGITS_AT_ONCE, "cpu", at_once)
    generator = torch.Generator().manual_seed(3)
    x_ND = torch.randn(37, 24, generator=generator, requires_grad=True)
    head_VD = torch.randn(61, 24, generator=generator, requires_grad=True)
    targets_N = torch.randint(0, 61, (37,), generator=generator)

    more = {"z_loss_weight": z_loss_weight, "softcap": softcap, "compiled": compiled}
    total, z_loss = summed_cross_entropy(x_ND, head_VD, targets_N, **more)
    gradients = torch.autograd.grad(2.5 * total, (x_ND, head_VD))

    x, head = x_ND.detach().double().requires_grad_(), head_VD.detach().double().requires_grad_()
    logits = F.linear(x, head) if softcap is None else softcap * torch.tanh(F.linear(x, head) / softcap)
    log_z_squared = logits.logsumexp(-1).square().sum()
    reference = F.cross_entropy(logits, targets_N, reduction="sum") + z_loss_weight * log_z_squared
    wanted = torch.autograd.grad(2.5 * reference, (x, head))
    torch.testing.assert_close(total.double(), reference, rtol=1e-6, atol=0)
    for gradient, want in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient.double(), want, rtol=1e-5, atol=2e-5)
    with torch.no_grad():
        again = summed_cross_entropy(x_ND, head_VD, targets_N, **more)
    torch.testing.assert_close(again.total, total.detach(), rtol=1e-6, atol=0)
    if z_loss_weight:
        torch.testing.assert_close(z_loss.double(), log_z_squared.detach(), rtol=1e-5, atol=0)
        torch.testing.assert_close(again.z_loss, z_loss.detach(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_program_for_any_number_of_tokens(
    dtype: torch.dtype, quick_compiler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a target so unlikely that its probability is no float any more."""
    monkeypatch.setitem(losses._LOGITS_AT_ONCE, "cpu", 61 * 20)
    programs = torch._dynamo.utils.counters["stats"]
    programs.clear()
    for count in (20, 37, 9, 50):
        generator = torch.Generator().manual_seed(count)
        x_ND = (30 * torch.randn(count, 24, generator=generator)).to(dtype).requires_grad_()
        head_VD = torch.randn(61, 24, generator=generator).to(dtype).requires_grad_()
        targets_N = torch.randint(0, 61, (count,), generator=generator)
        found = []
        for compiled in (False, True):
            total = summed_cross_entropy(
                x_ND, head_VD, targets_N, z_loss_weight=1e-4, compiled=compiled
            ).total
            found.append((total.detach(), *torch.autograd.grad(total, (x_ND, head_VD))))
        for ours, theirs in zip(*found, strict=True):
            tolerance = 1e-5 if dtype == torch.float32 else 0.01
            assert (ours - theirs).norm() <= tolerance * theirs.norm()
    assert programs["unique_graphs"] == 1


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_the_loss_is_compiled_along_with_layers_on_a_gpu(
    quick_compiler: None, make_model: Callable, make_batch: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working_model, "BACKEND", "aot_eager")
    asked: list[int] = []
    monkeypatch.setattr(losses, "_fused", lambda: asked.append(1) or losses._gradient_of_logits)
    kept = make_model()
    working = WorkingModel(kept)
    working.compile_layers()
    next_token_loss(working.model, make_batch(0))
    assert not asked, "on a CPU nothing changes"
    monkeypatch.setattr(WorkingModel, "_is_on_gpu", True)
    working.compile_layers()
    next_token_loss(working.model, make_batch(0))
    next_token_loss(kept, make_batch(0))
    assert asked == [1]
    working.leave_layers_uncompiled()
    next_token_loss(working.model, make_batch(0))
    assert asked == [1]


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("softcap", [None, 15.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_gpu_the_compiled_loss_is_the_same(dtype: torch.dtype, softcap: float | None) -> None:
    torch.manual_seed(0)
    x_ND = torch.randn(700, 64, device="cuda").to(dtype).requires_grad_()
    head_VD = torch.randn(50_000, 64, device="cuda").to(dtype).requires_grad_()
    targets_N = torch.randint(0, 50_000, (700,), device="cuda")
    found = []
    for compiled in (False, True):
        more = {"softcap": softcap, "compiled": compiled, "z_loss_weight": 1e-4}
        total = summed_cross_entropy(x_ND, head_VD, targets_N, **more).total
        found.append((total.detach(), *torch.autograd.grad(total, (x_ND, head_VD))))
    for ours, theirs in zip(*found, strict=True):
        assert (ours - theirs).norm() <= (1e-4 if dtype == torch.float32 else 0.01) * theirs.norm()


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


def test_the_loss_of_a_capped_model_is_that_of_its_logits(make_batch: Callable) -> None:
    config = dataclasses.replace(TINY, final_logit_softcapping=1.0, initializer_range=0.5)
    model, batch = initialise(Decoder(config), seed=0), make_batch(0)
    loss = next_token_loss(model, batch, z_loss_weight=0.1)
    logits = model(batch.inputs_BT)[batch.targets_BT != NOT_LEARNED]
    wanted = F.cross_entropy(logits, batch.targets_BT[batch.targets_BT != NOT_LEARNED], reduction="sum")
    log_z_squared = logits.logsumexp(-1).square().sum()
    torch.testing.assert_close(loss.extras["z_loss"], log_z_squared.detach(), rtol=1e-5, atol=0)
    torch.testing.assert_close(loss.total, wanted + 0.1 * log_z_squared, rtol=1e-5, atol=0)
    assert next_token_loss(model, batch).extras == {}
