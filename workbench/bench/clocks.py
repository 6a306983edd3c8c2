"""Time and memory of this process: two clocks, a stopwatch that can be held, the high-water mark of memory.

`wall` is what a person waits. `cpu` is the processor time of all threads of this process: on a machine that is
shared, and with one thread, it is what the work would take on an otherwise idle core.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Literal

import torch

from workbench.hardware import peak_memory_bytes
from workbench.train import matmul_rate

Clock = Literal["wall", "cpu"]


def now(clock: Clock, device: torch.device) -> float:
    """Seconds on `clock`, once everything asked of `device` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() if clock == "wall" else time.process_time()


class Stopwatch:
    """Counts seconds on one clock from its making on, except while it is held."""

    def __init__(self, clock: Clock, device: torch.device) -> None:
        self._clock, self._device = clock, device
        self._held = 0.0
        self._started = now(clock, device)

    @property
    def seconds(self) -> float:
        """Seconds that count so far."""
        return now(self._clock, self._device) - self._started - self._held

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """What is done inside does not count."""
        began = now(self._clock, self._device)
        yield
        self._held += now(self._clock, self._device) - began


def peak_bytes(device: torch.device) -> int:
    """The most memory this process has had: resident on a CPU, allocated on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_memory_bytes()


def product_rate(clock: Clock, device: torch.device, dtype: torch.dtype, *, seconds: float) -> float:
    """FLOP/s of a large matrix product, the best of as many as fit in `seconds`: what 100 % utilisation means.

    In float32 as torch does it unasked, on every row the same limit, even where a row has found quicker kernels.
    """
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        return matmul_rate.product_rate(device, dtype, seconds=seconds, now=lambda: now(clock, device))
    finally:
        torch.set_float32_matmul_precision(precision)
