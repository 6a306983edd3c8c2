"""The machine training runs on: which device, which arithmetic, how many threads.

`environment` is what the last bits of a result depend on besides the recipe. Two equal ones resume bit for
bit; `compare` says what differs. Knows no model and no files of ours.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Literal

import torch

from workbench.hardware import granted_cores, has_avx512_without_intel, has_fast_bfloat16, usable_cores
from workbench.train.crowding import watch_for_crowds
from workbench.train.float8 import require_float8
from workbench.train.ranks import ALONE, Ranks

# oneDNN generates code for every shape of matrix product it meets and keeps 1,024 of them, near a megabyte each.
# Fine-tuning meets more shapes than that; pretraining needs about 40. Read once, at the first product.
KERNELS_KEPT = 128
# Options of glibc's mallopt(3), as in malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_KERNEL_CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")


Dtype = Literal["auto", "bfloat16", "float32", "float8"]
Float32MatmulPrecision = Literal["highest", "high", "medium"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where, in what arithmetic and with whom to train.

    dtype: of matrix products; weights are float32. float8: of the layers' products, where `dtype` is bfloat16.
    float32_matmul_precision: what torch may do inside of products that are float32; see `prepare_machine`.
    float32_products: which kernels do them; oneDNN's, see `multiply_by_onednn`, round as float32 does all the same.
    """

    device: torch.device
    dtype: torch.dtype
    threads: int
    float8: bool = False
    float32_matmul_precision: Float32MatmulPrecision = "highest"
    float32_products: Literal["torch's choice", "oneDNN"] = "torch's choice"
    ranks: Ranks = ALONE

    @property
    def autocast(self) -> torch.dtype | None:
        """What `train` takes: the type to cast matrix products to, None when they are float32."""
        return None if self.dtype == torch.float32 else self.dtype


def prepare_machine(
    dtype: Dtype = "auto",
    *,
    float32_matmul_precision: Float32MatmulPrecision = "highest",
    deterministic: bool = False,
    local_rank: int = 0,
    local_ranks: int = 1,
) -> Machine:
    """Pick the device and its arithmetic, and set torch's threads, precision and determinism for this process.

    float32_matmul_precision: `high` lets a GPU multiply in TF32 (10 bits of mantissa), `medium` in bfloat16; on a CPU
    `medium` means oneDNN's kernels, which may round too.
    deterministic: every kernel adds in one order, those that torch compiles too, or raises RuntimeError. On a GPU
    cuBLAS must have been told before its first product (CUBLAS_WORKSPACE_CONFIG).
    local_rank: which of the `local_ranks` processes that share this machine; each takes a device of its own, or
    its part of the cores.
    Raises BadInput when float8 is asked for where there is none.
    """
    keep_freed_memory()
    for cache in _KERNEL_CACHES:
        os.environ.setdefault(cache, str(KERNELS_KEPT))
    device = torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")
    threads = max(1, usable_cores() // local_ranks)
    torch.set_num_threads(threads)
    if device.type == "cpu":
        watch_for_crowds()
    torch.set_float32_matmul_precision(float32_matmul_precision)
    if deterministic != torch.are_deterministic_algorithms_enabled():  # being told, torch loads its compiler
        torch.use_deterministic_algorithms(deterministic)
    if dtype == "float8":
        require_float8(device)
    if dtype == "auto":
        dtype = "bfloat16" if is_fast_at_bfloat16(device) else "float32"
    by_onednn = (
        device.type == "cpu"
        and dtype == "float32"
        and float32_matmul_precision == "highest"
        and multiply_by_onednn()
    )
    return Machine(
        device=device,
        dtype=torch.float32 if dtype == "float32" else torch.bfloat16,
        threads=threads,
        float8=dtype == "float8",
        float32_matmul_precision=float32_matmul_precision,
        float32_products="oneDNN" if by_onednn else "torch's choice",
    )


def has_spare_core(machine: Machine, *, local_ranks: int = 1) -> bool:
    """Whether a core is left for a thread beside those that train: what it computes then holds up no step.

    `local_ranks` processes train on this machine, each with the threads of `machine` on a CPU, and with the one that
    keeps its device busy elsewhere.
    """
    threads = machine.threads if machine.device.type == "cpu" else 1
    return local_ranks * threads < granted_cores()


LARGEST_FLOAT32_ERROR = 1e-5
"""Of a product of 256 terms, relative; float32 makes 3e-7, bfloat16 inside 2e-3."""


def multiply_by_onednn() -> bool:
    """Let oneDNN do float32 products on a CPU where that is quicker and as exact; gives whether it does.

    torch gives them to its BLAS, and the one it ships runs AVX2 code on AMD's processors with AVX-512: 112 GFLOP/s a
    core where oneDNN makes 240. torch takes oneDNN when it is allowed to round to bfloat16, but oneDNN does so only
    where there are instructions for it (AMX); a product is looked at to be sure that it is not done here.
    """
    if not has_avx512_without_intel():
        return False
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    own = torch.Generator().manual_seed(0)  # the global one belongs to the training
    a, b = torch.randn(2, 256, 256, generator=own)
    exact = a.double() @ b.double()
    is_exact = float((a @ b - exact).norm() / exact.norm()) < LARGEST_FLOAT32_ERROR
    if not is_exact:
        torch.set_float32_matmul_precision(before)
    return is_exact


def keep_freed_memory() -> None:
    """Let the C library keep what tensors give back, for the next ones, instead of returning it to the kernel.

    A step frees and takes the same megabytes over and over. glibc hands pieces of that size back at once, and the
    kernel zeroes them again, page by page, at the next touch: 3 to 7 % of a step. Elsewhere nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        for option, value in (
            (_M_MMAP_THRESHOLD, 1 << 30),
            (_M_TRIM_THRESHOLD, 1 << 30),
            (_M_TOP_PAD, 1 << 26),
        ):
            mallopt(option, value)


def is_fast_at_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 products have their own instructions here.

    On a CPU that means AVX512-BF16 or AMX (4.6 times float32 on Zen 5); without them torch converts back and
    forth and is slower than float32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capability = (
        torch.backends.cpu.get_cpu_capability()
    )  # what this process uses; ATEN_CPU_CAPABILITY lowers it
    return capability.startswith("AVX512") and has_fast_bfloat16()


def environment(
    machine: Machine,
    *,
    version: str,
    optimizer: str,
    working_model: str,
    compiled: bool | str | None,
    micro_batch_tokens: int,
) -> dict[str, Any]:
    """What the last bits of a training result depend on besides recipe and data, as plain values.

    version: ours. optimizer: what computes its step. working_model: what computes the gradient.
    compiled: whether its layers are, or "graphs" where they are replayed as CUDA graphs too; None when that is still
    to be decided.
    """
    on_gpu = machine.device.type == "cuda"
    return {
        "workbench": version,
        "torch": torch.__version__,
        "device": device_name(machine.device),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": machine.threads,
        "float32_matmul_precision": machine.float32_matmul_precision,
        "float32_products": machine.float32_products,
        "dtype": str(machine.dtype).removeprefix("torch."),
        "optimizer": optimizer,
        "working_model": working_model,
        "compiled": compiled,
        "micro_batch_tokens": micro_batch_tokens,
        "ranks": str(machine.ranks),
        # eager CPU kernels always add in one order; CUDA ones only when told to
        "deterministic": not on_gpu or torch.are_deterministic_algorithms_enabled(),
    }


def device_name(device: torch.device) -> str:
    """What a device is called in an environment: its maker's name for a GPU, else `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The differing fields of two environments, as `threads 2 -> 1`; none when results are equal to the bit."""
    return [
        f"{field} {old.get(field, 'unknown')} -> {new.get(field, 'unknown')}"
        for field in sorted(old.keys() | new.keys())
        if old.get(field) != new.get(field)
    ]
