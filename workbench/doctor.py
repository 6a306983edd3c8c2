"""The machine as a place to train on: what it is, and what is wrong with it, each problem with its fix in words.

Asks the operating system and the home's disk; loads no tensors and measures no arithmetic (bench/worth.py does).
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import locale
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from workbench.accelerators import accelerators, power
from workbench.files import free_bytes, human_bytes
from workbench.hardware import (
    available_bytes,
    cpu_flags,
    cpu_name,
    cpu_quota,
    gpu_names,
    has_fast_bfloat16,
    has_gpu,
    logical_cpus,
    memory_bytes,
    usable_cores,
)

FSYNCS = 5
HONEST_FSYNC_SECONDS = 5e-5
"""No disk makes a block durable in less; what returns sooner has only promised it."""
SLOW_FSYNC_SECONDS = 0.1
"""A checkpoint waits for a few of them."""
SMALLEST_MEMORY, SMALLEST_DISK = 2 << 30, 2 << 30
"""What the quickstart takes, and some room."""
SMALLEST_TERMINAL = (80, 24)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One fact about the machine. `problem` is empty when it is as it should be; `fix` says what to do."""

    name: str
    value: str
    problem: str = ""
    fix: str = ""
    refusal: str = ""
    """Why no run can start here while it is so, with what to do, in a line; empty where it could only be better."""


def examine(home: Path) -> Iterator[Finding]:
    """Everything that can be told of this machine without measuring arithmetic."""
    yield from _processor()
    yield from _memory()
    yield from _gpus()
    yield from _home(home)
    yield from _software()
    yield from _terminal()


def obstacles(home: Path) -> tuple[str, ...]:
    """Why no run can start on this machine, whatever its recipe, each in a line: plans and starts are refused so."""
    found = (_home_obstacle(home), _torch_obstacle())
    return tuple(each.refusal for each in found if each is not None)


def _processor() -> Iterator[Finding]:
    yield Finding("processor", cpu_name())
    cores, logical, quota = usable_cores(), len(logical_cpus()), cpu_quota()
    cpus = "CPU" if logical == 1 else "CPUs"
    limits = [f"{logical} logical {cpus}"] + ([f"a quota of {quota}"] if quota else [])
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        limits.append("OMP_NUM_THREADS decides")
    crowded = cores > logical
    yield Finding(
        "threads",
        f"{cores} ({', '.join(limits)})",
        f"OMP_NUM_THREADS = {asked} is more than the CPUs there are" if crowded else "",
        "unset it" if crowded else "",
    )
    load = os.getloadavg()[0]
    busy = load > 1.5 * logical
    yield Finding(
        "load",
        f"{load:.1f} processes want to run on {logical} {cpus}",
        "others use this machine: training, and all that is measured here, is slower than it could be"
        if busy
        else "",
        "wait, or stop what else runs" if busy else "",
    )
    known = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in cpu_flags()]
    slow = not has_fast_bfloat16() and not has_gpu()
    yield Finding(
        "instructions",
        ", ".join(known) or "not told",
        "no instructions for bfloat16: training is in float32, which takes about three times as long"
        if slow
        else "",
        "a CPU with AVX512-BF16 or AMX, or a GPU, would change that" if slow else "",
    )


def _memory() -> Iterator[Finding]:
    total, free = memory_bytes(), available_bytes()
    little = free < SMALLEST_MEMORY
    yield Finding(
        "memory",
        f"{human_bytes(total)}, {human_bytes(free)} available",
        "little is available" if little else "",
        "close what uses it, or train a smaller model: `workbench plan` says what fits" if little else "",
    )


def _gpus() -> Iterator[Finding]:
    for gpu in accelerators():
        size = human_bytes(gpu.memory_bytes) if gpu.memory_bytes else "memory not known"
        unknown = gpu.memory_bytes is None
        yield Finding(
            "gpu",
            f"{gpu.name}, {size}",
            "`plan` cannot tell whether a model fits" if unknown else "",
            "pip install nvidia-ml-py" if unknown else "",
        )
    if gpu_names() and not has_gpu():
        yield Finding(
            "gpu", ", ".join(gpu_names()), "hidden by CUDA_VISIBLE_DEVICES", "unset it to train there"
        )
    if not gpu_names():
        yield Finding("gpu", "none")
    drawn = power()
    yield Finding("power", f"{drawn.watts:.0f} W ({drawn.basis})")


def _home(home: Path) -> Iterator[Finding]:
    if (obstacle := _home_obstacle(home)) is not None:
        yield obstacle
        return
    there = _folder_there(home)
    free = free_bytes(there)
    yield Finding(
        "home",
        f"{home}, {human_bytes(free)} free",
        "little room for checkpoints" if free < SMALLEST_DISK else "",
        "free some space, or choose another --home DIR" if free < SMALLEST_DISK else "",
    )
    seconds = _fsync_seconds(there)
    problem, fix = "", ""
    if seconds < HONEST_FSYNC_SECONDS:
        problem = "returns before anything can be durable: a power cut may lose the last checkpoints"
        fix = "a kill cannot; for power cuts choose a --home on a disk of this machine"
    elif seconds > SLOW_FSYNC_SECONDS:
        problem, fix = "checkpoints wait for a slow disk", "choose a --home on a local disk"
    yield Finding("durable write", f"{1000 * seconds:.2g} ms", problem, fix)


def _home_obstacle(home: Path) -> Finding | None:
    there = _folder_there(home)
    if os.access(there, os.W_OK) and shutil.disk_usage(there).total > 0:  # /proc has no room for files
        return None
    problem, fix = "cannot be written", "choose another with --home DIR or $WORKBENCH_HOME"
    return Finding("home", str(home), problem, fix, f"the home {home} {problem}; {fix}")


def _folder_there(folder: Path) -> Path:
    """`folder`, or the folder in which it will be made."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def _fsync_seconds(folder: Path) -> float:
    """The median time that the disk of `folder` takes to say that 4 kB are durable."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FSYNCS):
            file.write(os.urandom(4096))
            file.flush()
            started = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - started)
    return sorted(taken)[FSYNCS // 2]


def _software() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} at {sys.executable}")
    if (obstacle := _torch_obstacle()) is not None:
        yield obstacle
        return
    version = importlib.metadata.version("torch")
    cpu_build = has_gpu() and "+cpu" in version
    yield Finding(
        "torch",
        version,
        "this build does not see the GPU" if cpu_build else "",
        "install the CUDA build of the same version" if cpu_build else "",
    )


def _torch_obstacle() -> Finding | None:
    try:
        importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        problem, fix = "nothing can be trained", "pip install 'torch>=2.11,<2.14'"
        return Finding("torch", "not installed", problem, fix, f"torch is not installed: {problem}; {fix}")
    return None


def _terminal() -> Iterator[Finding]:
    size = shutil.get_terminal_size()
    is_terminal = sys.stdout.isatty()
    small = is_terminal and (size.columns < SMALLEST_TERMINAL[0] or size.lines < SMALLEST_TERMINAL[1])
    kind = os.environ.get("TERM", "")
    colours = (
        "24-bit"
        if os.environ.get("COLORTERM") in ("truecolor", "24bit")
        else "256"
        if "256" in kind
        else "few"
    )
    if os.environ.get("NO_COLOR"):
        colours = "no"
    where = [
        name
        for name, variable in (("tmux", "TMUX"), ("screen", "STY"), ("SSH", "SSH_CONNECTION"))
        if os.environ.get(variable)
    ]
    what = (
        f"{size.columns} x {size.lines}, {kind or 'of no kind'}, {colours} colours" if is_terminal else "none"
    )
    yield Finding(
        "terminal",
        ", ".join([what, *where]),
        "the app wants 80 columns and 24 lines" if small else "",
        "make it larger" if small else "",
    )
    encoding = locale.getpreferredencoding(False)
    narrow = "utf" not in encoding.lower()
    yield Finding(
        "characters",
        encoding,
        "curves and symbols cannot be drawn" if narrow else "",
        "set LANG to a UTF-8 locale, such as C.UTF-8" if narrow else "",
    )
