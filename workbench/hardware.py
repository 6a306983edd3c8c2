"""What this machine is, as the operating system tells it: cores, memory, instruction sets, and how it calls itself.

Standard library only, answers in milliseconds and measures nothing: how fast the machine is, training finds out.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import math
import os
import platform
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from workbench.errors import BadInput

CPU_TOPOLOGY = Path("/sys/devices/system/cpu")
CPU_INFO = Path("/proc/cpuinfo")
MEMORY_INFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
NVIDIA_DRIVER = Path("/proc/driver/nvidia/gpus")
PROCESS = Path("/proc/self")
LEAST_FLOAT8_CAPABILITY = (8, 9)
"""Ada's, of CUDA; Hopper's is (9, 0)."""


# -- cores -------------------------------------------------------------------------------------------------


def usable_cores() -> int:
    """Physical cores this process may use: its affinity, without hyper-threads, within the container's quota.

    OMP_NUM_THREADS wins. Two threads on one physical core, or more threads than the quota grants, only wait
    for each other at every barrier.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return granted_cores()


def granted_cores() -> int:
    """As `usable_cores`, whatever OMP_NUM_THREADS says: those it leaves unused are free for other work."""
    cores = {_siblings(cpu) for cpu in logical_cpus()}
    return max(1, min(len(cores), cpu_quota() or 1 << 20))


def logical_cpus() -> set[int]:
    """The CPUs that the scheduler may put this process on, hyper-threads counted."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def cpu_quota() -> int | None:
    """Whole CPUs' worth of time the control group grants; None without a limit."""
    try:
        quota, period = (CGROUP / "cpu.max").read_text(encoding="ascii").split()
        return max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no control group, or "max"
        return None


def _siblings(cpu: int) -> str:
    """Names the physical core of a logical CPU; CPUs that share it give the same text."""
    try:
        return (CPU_TOPOLOGY / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text(encoding="ascii")
    except OSError:
        return str(cpu)


def cpu_flags() -> set[str]:
    """The instruction sets of the CPU in the kernel's words; empty where it does not tell."""
    return set(_first_line_of(CPU_INFO, "flags").split())


def cpu_name() -> str:
    """What the CPU calls itself."""
    return _first_line_of(CPU_INFO, "model name") or platform.processor() or platform.machine()


def has_avx512_without_intel() -> bool:
    """Whether the CPU has AVX-512 and is not Intel's, whose BLAS then leaves half of its float32 speed unused."""
    return "avx512f" in cpu_flags() and _first_line_of(CPU_INFO, "vendor_id") != "GenuineIntel"


def has_fast_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16 products: AVX512-BF16 or AMX."""
    return bool({"avx512_bf16", "amx_bf16"} & cpu_flags())


# -- memory ------------------------------------------------------------------------------------------------


def memory_bytes() -> int:
    """All the memory a process here can have: the machine's, or what the control group grants."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(physical, _cgroup_bytes("memory.max") or physical)


def available_bytes() -> int:
    """The memory that can be had now without swapping."""
    told = _first_line_of(MEMORY_INFO, "MemAvailable").split()
    free = int(told[0]) * 1024 if told else memory_bytes()
    limit, used = _cgroup_bytes("memory.max"), _cgroup_bytes("memory.current")
    return free if limit is None else min(free, max(0, limit - (used or 0)))


def resident_bytes() -> int:
    """The memory this process holds now; 0 where the kernel does not tell."""
    told = _first_line_of(PROCESS / "status", "VmRSS").split()
    return int(told[0]) * 1024 if told else 0


def give_back_freed_memory() -> None:
    """Return to the kernel what the C library keeps of freed memory: a stage leaves hundreds of megabytes to none."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def forget_peak_memory() -> None:
    """Count this process's peak from now on, where the kernel lets us; elsewhere it is that of its whole life."""
    with contextlib.suppress(OSError):
        (PROCESS / "clear_refs").write_text("5", encoding="ascii")


def peak_memory_bytes() -> int:
    """The most memory this process has held at once, since it last forgot."""
    told = _first_line_of(PROCESS / "status", "VmHWM").split()
    if told:
        return int(told[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _cgroup_bytes(name: str) -> int | None:
    try:
        return int((CGROUP / name).read_text(encoding="ascii"))
    except (OSError, ValueError):  # no control group, or "max"
        return None


# -- accelerators and identity -----------------------------------------------------------------------------


def gpu_names() -> list[str]:
    """The models of the NVIDIA devices that the driver lists."""
    with contextlib.suppress(OSError):
        folders = sorted(NVIDIA_DRIVER.iterdir())
        return [_first_line_of(folder / "information", "Model") or "NVIDIA GPU" for folder in folders]
    return []


def has_gpu() -> bool:
    """Whether training would run on a GPU here: there is one, and it is not hidden."""
    return bool(gpu_names()) and os.environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1")


def require_float8_of(name: str, capability: tuple[int, int]) -> None:
    """Raise BadInput when a device of that name and CUDA capability, (0, 0) where it has none, has no float8."""
    if capability < LEAST_FLOAT8_CAPABILITY:
        raise BadInput(
            f'dtype = "float8" needs a GPU that has it, and {name} has not', fix='use dtype = "auto"'
        )


def fingerprint() -> str:
    """Names all that speed depends on, as far as the machine tells it; equal on equal machines."""
    facts = [cpu_name(), sorted(cpu_flags()), usable_cores(), memory_bytes() >> 30, gpu_names(), has_gpu()]
    return hashlib.blake2b(repr(facts).encode(), digest_size=6).hexdigest()


def _first_line_of(path: Path, key: str) -> str:
    """What stands behind `key:` in the first line of a /proc file that begins with it."""
    return next(_values_of(path, key), "")


def _values_of(path: Path, key: str) -> Iterator[str]:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            name, colon, value = line.partition(":")
            if colon and name.strip() == key:
                yield value.strip()
