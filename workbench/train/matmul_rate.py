"""How fast this machine multiplies large matrices: 100 % utilisation, as a run's MFU and `bench` both mean it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch

from workbench.train.device import Machine

PRODUCT_SIZES = {"cpu": 1024, "cuda": 8192}
"""Sides of the matrices by kind of device: a product is long beside the clock's own cost, and fills the device. One of
1,024 leaves most of a large GPU idle: its MFU would look near 1."""


def product_rate(
    device: torch.device, dtype: torch.dtype, *, seconds: float, now: Callable[[], float]
) -> float:
    """FLOP/s of a large matrix product in `dtype`, the best of as many as fit in `seconds`, one at least.

    now: reads a clock in seconds once everything asked of `device` is done. Raises RuntimeError where the device has
    no room for three such matrices, or no such product.
    """
    size = PRODUCT_SIZES.get(device.type, PRODUCT_SIZES["cpu"])
    own = torch.Generator(device).manual_seed(0)  # the global one belongs to the training
    a, b = torch.randn(2, size, size, device=device, dtype=dtype, generator=own)
    torch.mm(a, b)  # the first makes the kernel
    best, until = math.inf, now() + seconds
    while True:
        began = now()
        torch.mm(a, b)
        ended = now()
        best = min(best, ended - began)
        if ended >= until:
            return 2 * size**3 / best


def matmul_peak(machine: Machine, *, seconds: float = 0.2) -> float | None:
    """FLOP/s of large matrix products in `machine.dtype`, of all ranks together; None when it cannot be measured.

    The memory it took is given back: what it measures for is about to fill the device.
    """

    def now() -> float:
        if machine.device.type == "cuda":
            torch.cuda.synchronize(machine.device)
        return time.perf_counter()

    try:
        rate = product_rate(machine.device, machine.dtype, seconds=seconds, now=now)
    except RuntimeError:  # torch.OutOfMemoryError is one
        return None
    finally:
        if machine.device.type == "cuda":
            torch.cuda.empty_cache()
    return machine.ranks.count * rate
