"""The GPUs that training would use and the power that this machine draws, without loading torch.

Names come from the driver; memory and power limits from NVIDIA's management library where `nvidia-ml-py` is
installed, else they are not known. Power is an upper bound of what is drawn: an estimate, and it says of what.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from pathlib import Path
from typing import Any

from workbench.hardware import gpu_names, has_gpu, usable_cores

RAPL = Path("/sys/class/powercap")
CORE_WATTS = 10.0
"""What a busy core of a server or workstation draws with its share of memory and board, where nothing tells."""
HOST_WATTS = 150.0
"""The rest of a machine whose GPU works."""
GPU_WATTS = 400.0


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """A GPU; None is not known. capability: CUDA's, such as (9, 0)."""

    name: str
    memory_bytes: int | None = None
    power_watts: float | None = None
    capability: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Power:
    """What the machine draws while it trains, at most, and where the figure is from."""

    watts: float
    basis: str


def accelerators() -> list[Accelerator]:
    """The GPUs of this machine; none where they are hidden."""
    if not has_gpu():
        return []
    return _asked_of_nvml() or [Accelerator(name) for name in gpu_names()]


def power(*, gpus: int = 1) -> Power:
    """What this machine draws while it trains on so many of its GPUs, if it has any."""
    if there := accelerators():
        known = there[0].power_watts
        basis = "the GPU's power limit" if known else f"{GPU_WATTS:.0f} W for a GPU, assumed"
        times = f"{gpus} times " if gpus > 1 else ""
        return Power(
            gpus * (known or GPU_WATTS) + HOST_WATTS, f"{times}{basis}, and {HOST_WATTS:.0f} W for the rest"
        )
    if limit := _package_limit_watts():
        return Power(limit, "the processor's power limit")
    return Power(CORE_WATTS * usable_cores(), f"{CORE_WATTS:.0f} W a core, assumed")


def _asked_of_nvml() -> list[Accelerator]:
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # not installed, or it finds no driver: it has many ways to say so
        return []
    found = []
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        name = nvml.nvmlDeviceGetName(handle)
        watts = None
        with contextlib.suppress(Exception):  # some devices have no limit
            watts = nvml.nvmlDeviceGetPowerManagementLimit(handle) / 1000
        capability = None
        with contextlib.suppress(Exception):  # an old library
            major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
            capability = (int(major), int(minor))
        found.append(
            Accelerator(str(name), int(nvml.nvmlDeviceGetMemoryInfo(handle).total), watts, capability)
        )
    return found


def _package_limit_watts() -> float | None:
    """The long-term limit of all processor packages (RAPL); None where the kernel does not tell."""
    limits = []
    for package in sorted(RAPL.glob("intel-rapl:[0-9]")):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int((package / "constraint_0_power_limit_uw").read_text(encoding="ascii")) / 1e6)
    return sum(limits) or None
