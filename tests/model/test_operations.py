"""Norm and rotation by hand: the values and gradients of the plain formulas, in every type and layout."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from workbench.model import operations
from workbench.model.initialise import initialise
from workbench.model.norms import RMSNorm
from workbench.model.operations import may_be_pieced, rms_norm, turned_rms_norm
from workbench.model.rotation import Rotation
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig, RopeScaling

EPS = 1e-3
HEADS_OF_8 = ModelConfig(
    vocab_size=16,
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=4,
    num_key_value_heads=4,
    intermediate_size=32,
    max_position_embeddings=8,
    head_dim=8,
    rope_theta=10.0,
    rope_scaling=RopeScaling(rope_type="yarn", factor=2.0, original_max_position_embeddings=4),
)
TYPES = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 1.2e-2)], ids=["float32", "bfloat16"]
)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several pieces, the last one smaller."""
    monkeypatch.setattr(operations, "PIECE", 2 * 5 * 4 * 8)


def plain_norm(x: Tensor, gain: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + EPS).sqrt() * gain


def heads(dtype: torch.dtype) -> Tensor:
    """x_BTNE as attention has it: a view of a wider product, for rows that do not divide into pieces."""
    generator = torch.Generator().manual_seed(0)
    wide = torch.randn(3, 5, 2 * 4 * 8, generator=generator).to(dtype)
    return wide[..., :32].unflatten(-1, (4, 8))


def exact(x: Tensor) -> Tensor:
    return x.detach().double().requires_grad_()


def assert_same(mine: list[Tensor], reference: list[Tensor], tolerance: float) -> None:
    for got, wanted in zip(mine, reference, strict=True):
        assert got.shape == wanted.shape
        torch.testing.assert_close(
            got.double(), wanted, rtol=0, atol=tolerance * wanted.detach().abs().max().item()
        )


@TYPES
def test_rms_norm_and_its_gradients_are_those_of_the_formula(dtype: torch.dtype, tolerance: float) -> None:
    x, gain = heads(dtype).requires_grad_(), torch.linspace(0.5, 2, 8, dtype=dtype).requires_grad_()
    y = rms_norm(x, gain, eps=EPS, dtype=dtype)
    assert y.dtype == dtype
    grad_y = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    mine = torch.autograd.grad(y, (x, gain), grad_y)
    reference = exact(x), exact(gain)
    plain = plain_norm(*reference)
    wanted = torch.autograd.grad(plain, reference, grad_y.double())
    assert_same([y, *mine], [plain, *wanted], tolerance)


@TYPES
def test_turned_norm_and_its_gradients_are_those_of_norm_and_rotation(
    dtype: torch.dtype, tolerance: float
) -> None:
    x, gain = heads(dtype).requires_grad_(), torch.linspace(0.5, 2, 8, dtype=dtype).requires_grad_()
    rotation = Rotation.at(torch.arange(5)[None], HEADS_OF_8)
    y = turned_rms_norm(x, gain, rotation.cos_BT1E[0], rotation.sin_BT1E[0], eps=EPS)
    assert y.dtype == dtype and y.transpose(1, 2).is_contiguous()
    grad_y = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    mine = torch.autograd.grad(y, (x, gain), grad_y)
    reference = exact(x), exact(gain)
    plain = Rotation(*(table.double() for table in rotation)).turn(plain_norm(*reference))
    wanted = torch.autograd.grad(plain, reference, grad_y.double())
    assert_same([y, *mine], [plain, *wanted], tolerance)


@pytest.mark.parametrize("qk_norm", [True, False])
def test_what_measures_a_model_gives_the_bits_of_what_trains_it(qk_norm: bool) -> None:
    model = initialise(Decoder(dataclasses.replace(HEADS_OF_8, qk_norm=qk_norm, initializer_range=0.5)), 0)
    ids_BT = torch.arange(12).reshape(3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        learning = model(ids_BT)
        with torch.no_grad():
            assert torch.equal(model(ids_BT), learning)


def test_under_autocast_a_norm_gives_the_type_its_readers_want() -> None:
    norm, x = RMSNorm(8, eps=EPS), heads(torch.float32)
    for learning in (True, False):
        with torch.set_grad_enabled(learning), torch.autocast("cpu", dtype=torch.bfloat16):
            assert norm(x).dtype == torch.bfloat16


def test_only_plain_rows_of_several_positions_are_pieced() -> None:
    class Sharded(Tensor):
        pass

    plain = torch.ones(2, 3, 4)
    assert may_be_pieced(plain, torch.nn.Parameter(plain))
    assert not may_be_pieced(plain.as_subclass(Sharded))
    assert not may_be_pieced(plain, plain.as_subclass(Sharded))
    assert not may_be_pieced(torch.ones(2, 3, 4, device="meta"))
    assert not may_be_pieced(plain[:, :1])
