"""What the GPUs of a worker do just now, as NVIDIA's management library tells it: for the run's status, every second.

A reading costs a millisecond and no memory of the GPU; without `nvidia-ml-py`, or without a GPU, there is none.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from typing import Any

from workbench.hardware import has_gpu

# nvml.h, nvmlClocksEventReasons: what holds the clock down. Idle and the settings of applications are no trouble.
THROTTLES = {
    0x04: "power limit",
    0x08: "hardware slowdown",
    0x10: "other GPUs' clocks",
    0x20: "too hot",
    0x40: "too hot (hardware)",
    0x80: "power brake",
}


class GpuReader:
    """Reads the GPUs that this process may use, again and again. Lives in one thread at a time."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._tried = False

    def read(self) -> list[dict[str, Any]]:
        """A record a GPU: `name`, and what it tells of `busy` (0 to 1), `memory_bytes`, `memory_total_bytes`,
        `watts`, `limit_watts`, `celsius`, `clock_mhz` and `throttle` (why the clock is held down).

        None where nothing can be read.
        """
        if not self._tried:
            self._tried = True
            with contextlib.suppress(Exception):  # not installed, no driver: it has many ways to say so
                if has_gpu():
                    nvml = importlib.import_module("pynvml")
                    nvml.nvmlInit()
                    self._nvml = nvml
        if self._nvml is None:
            return []
        try:
            return [self._of(index) for index in self._indices()]
        except Exception:  # the driver went away: a sign of life must not end with it
            return []

    def _indices(self) -> list[int]:
        """Those that CUDA_VISIBLE_DEVICES names by number; all where it names none so."""
        there = range(self._nvml.nvmlDeviceGetCount())
        wanted = [word.strip() for word in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
        chosen = [index for index in there if str(index) in wanted]
        return chosen or list(there)

    def _of(self, index: int) -> dict[str, Any]:
        handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
        name = self._nvml.nvmlDeviceGetName(handle)
        record: dict[str, Any] = {"name": name.decode() if isinstance(name, bytes) else str(name)}
        for read in (self._busy, self._memory, self._power, self._heat, self._clock):
            with contextlib.suppress(Exception):  # each may be what this device does not tell
                record.update(read(handle))
        return record

    def _busy(self, handle: Any) -> Iterator[tuple[str, Any]]:
        yield "busy", self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100

    def _memory(self, handle: Any) -> Iterator[tuple[str, Any]]:
        memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
        yield "memory_bytes", int(memory.used)
        yield "memory_total_bytes", int(memory.total)

    def _power(self, handle: Any) -> Iterator[tuple[str, Any]]:
        yield "watts", self._nvml.nvmlDeviceGetPowerUsage(handle) / 1000
        yield "limit_watts", self._nvml.nvmlDeviceGetPowerManagementLimit(handle) / 1000

    def _heat(self, handle: Any) -> Iterator[tuple[str, Any]]:
        yield "celsius", int(self._nvml.nvmlDeviceGetTemperature(handle, self._nvml.NVML_TEMPERATURE_GPU))

    def _clock(self, handle: Any) -> Iterator[tuple[str, Any]]:
        yield "clock_mhz", int(self._nvml.nvmlDeviceGetClockInfo(handle, self._nvml.NVML_CLOCK_SM))
        ask = getattr(self._nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)  # newer libraries' name
        held = int((ask or self._nvml.nvmlDeviceGetCurrentClocksThrottleReasons)(handle))
        yield "throttle", ", ".join(word for bit, word in THROTTLES.items() if held & bit)
