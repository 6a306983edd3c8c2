"""The speed of matrix products: of a size that fills the device, and the same for a run and for `bench`."""

from __future__ import annotations

from itertools import count

import pytest
import torch

from workbench.bench import clocks
from workbench.train.device import prepare_machine
from workbench.train.matmul_rate import PRODUCT_SIZES, matmul_peak, product_rate

CPU = torch.device("cpu")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Products are of 96 x 96 matrices here; gives the shapes that were multiplied."""
    multiplied: list[tuple[int, ...]] = []
    true_product = torch.mm

    def mm(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        multiplied.append((*a.shape, *b.shape))
        return true_product(a, b)

    monkeypatch.setitem(PRODUCT_SIZES, "cpu", 96)
    monkeypatch.setattr(torch, "mm", mm)
    return multiplied


def test_a_run_and_a_benchmark_multiply_the_same(small: list[tuple[int, ...]]) -> None:
    matmul_peak(prepare_machine("float32"), seconds=0.0)
    of_a_run = small.copy()
    small.clear()
    clocks.product_rate("cpu", CPU, torch.float32, seconds=0.0)
    assert small == of_a_run == [(96, 96, 96, 96)] * 2, "one to warm up, one to measure"


def test_a_large_gpu_is_filled() -> None:
    """8,192: 1.1 TFLOP a product, over a millisecond on any GPU there is; 1,024 takes microseconds."""
    assert 2 * PRODUCT_SIZES["cuda"] ** 3 > 1e-3 * 1e15


def test_the_best_counts_and_the_first_does_not(small: list[tuple[int, ...]]) -> None:
    readings = iter([0.0, 1.0, 4.0, 4.0, 6.0, 6.0, 11.0])  # products of 3, 2 and 5 seconds
    rate = product_rate(CPU, torch.float32, seconds=10.0, now=lambda: next(readings))
    assert rate == 2 * 96**3 / 2 and len(small) == 4


def test_it_leaves_the_random_numbers_alone(small: list[tuple[int, ...]]) -> None:
    before = torch.get_rng_state()
    ticks = count()
    assert product_rate(CPU, torch.bfloat16, seconds=0.0, now=lambda: next(ticks)) > 0
    assert torch.equal(before, torch.get_rng_state())


def test_a_device_without_room_has_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "randn", full)
    assert matmul_peak(prepare_machine("bfloat16")) is None
