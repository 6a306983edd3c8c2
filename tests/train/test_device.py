"""The machine: its arithmetic, and what makes two environments differ."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import torch

from workbench import hardware
from workbench.errors import BadInput
from workbench.train import device
from workbench.train.device import (
    Machine,
    compare,
    environment,
    has_spare_core,
    is_fast_at_bfloat16,
    keep_freed_memory,
    prepare_machine,
)
from workbench.train.float8 import require_float8


@pytest.mark.parametrize(
    ("capability", "flags", "fast"),
    [
        ("AVX512", {"avx512_bf16"}, True),
        ("AVX512", {"amx_bf16"}, True),
        ("AVX512", {"avx512f"}, False),
        ("AVX2", {"avx512_bf16"}, False),  # ATEN_CPU_CAPABILITY=avx2 on a machine that could
    ],
)
def test_bfloat16_only_where_the_cpu_has_instructions_for_it(
    capability: str, flags: set[str], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(hardware, "cpu_flags", lambda: flags)
    assert is_fast_at_bfloat16(torch.device("cpu")) is fast


def test_float8_where_there_is_none_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match=r'float8.*the CPU has not; use dtype = "auto"'):
        prepare_machine("float8")


@pytest.mark.parametrize(("capability", "has"), [((8, 0), False), ((8, 9), True), ((9, 0), True)])
def test_float8_begins_with_ada(
    capability: tuple[int, int], has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A100")
    with contextlib.nullcontext() if has else pytest.raises(BadInput, match="A100 has not"):
        require_float8(torch.device("cuda"))


def test_float32_products_are_exact_unless_allowed_to_round() -> None:
    """What torch makes of `medium` is the device's affair; it never rounds coarser than bfloat16."""
    a, b = torch.randn(2, 256, 256, generator=torch.Generator().manual_seed(0))
    try:
        products = {}
        for precision in ("medium", "highest"):
            machine = prepare_machine("float32", float32_matmul_precision=precision)  # type: ignore[arg-type]
            assert machine.float32_matmul_precision == precision
            products[precision] = a @ b
    finally:
        prepare_machine("float32")
    error = {name: ((c - (a.double() @ b.double())).norm() / c.norm()).item() for name, c in products.items()}
    assert error["highest"] < 1e-6
    assert error["medium"] < 1e-2


def test_onednn_multiplies_float32_only_where_it_does_not_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_avx512_without_intel", lambda: True)
    torch.set_float32_matmul_precision("highest")
    monkeypatch.setattr(device, "LARGEST_FLOAT32_ERROR", 0.0)
    assert not device.multiply_by_onednn() and torch.get_float32_matmul_precision() == "highest"
    assert prepare_machine("float32").float32_products == "torch's choice"
    monkeypatch.setattr(device, "LARGEST_FLOAT32_ERROR", 1.0)
    machine = prepare_machine("float32")
    assert machine.float32_products == "oneDNN" and torch.get_float32_matmul_precision() == "medium"
    assert prepare_machine("bfloat16").float32_products == "torch's choice"
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.fixture
def in_any_order_again() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("in_any_order_again")
def test_one_order_of_adding_is_asked_for_and_the_next_training_is_free_of_it() -> None:
    prepare_machine("float32", deterministic=True)
    assert torch.are_deterministic_algorithms_enabled()
    prepare_machine("float32")
    assert not torch.are_deterministic_algorithms_enabled()


def test_torch_is_told_of_the_order_only_when_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would load its compiler each time: most of a second."""
    monkeypatch.setattr(torch, "use_deterministic_algorithms", None)
    prepare_machine("float32")
    with pytest.raises(TypeError):
        prepare_machine("float32", deterministic=True)


@pytest.mark.usefixtures("in_any_order_again")
@pytest.mark.parametrize(
    ("kind", "asked", "exact"), [("cpu", False, True), ("cuda", False, False), ("cuda", True, True)]
)
def test_results_are_exact_on_a_cpu_and_where_one_order_is_asked_for(
    kind: str, asked: bool, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H200")
    torch.use_deterministic_algorithms(asked)
    found = environment(
        Machine(device=torch.device(kind), dtype=torch.float32, threads=1),
        version="1",
        optimizer="adamw",
        working_model="plain",
        compiled=False,
        micro_batch_tokens=64,
    )
    assert found["deterministic"] is exact


def test_float32_needs_no_autocast() -> None:
    assert prepare_machine("float32").autocast is None
    assert prepare_machine("bfloat16").autocast is torch.bfloat16


def test_environments_differ_by_name_and_value() -> None:
    machine = prepare_machine("float32")
    old = environment(
        machine,
        version="1",
        optimizer="adamw-fused",
        working_model="plain",
        compiled=False,
        micro_batch_tokens=64,
    )
    new = environment(
        machine,
        version="1",
        optimizer="adamw-fused",
        working_model="plain",
        compiled=False,
        micro_batch_tokens=32,
    )
    assert compare(old, old) == []
    assert compare(old, new) == ["micro_batch_tokens 64 -> 32"]
    assert compare({}, {"threads": 2}) == ["threads unknown -> 2"]


def test_freed_memory_is_kept_where_the_c_library_can(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    class Glibc:
        def mallopt(self, option: int, value: int) -> int:
            asked.append((option, value))
            return 1

    monkeypatch.setattr("ctypes.CDLL", lambda name: Glibc())
    keep_freed_memory()
    assert {option for option, _ in asked} == {
        -1,
        -2,
        -3,
    }  # malloc.h: TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())  # another C library
    keep_freed_memory()


@pytest.mark.parametrize(
    ("kind", "threads", "local_ranks", "cores", "spare"),
    [
        ("cpu", 2, 1, 2, False),
        ("cpu", 1, 1, 2, True),  # OMP_NUM_THREADS=1
        ("cpu", 1, 2, 2, False),
        ("cpu", 1, 2, 3, True),
        ("cuda", 8, 1, 8, True),  # a thread keeps it busy
        ("cuda", 8, 1, 1, False),
    ],
)
def test_a_core_is_spare_when_no_thread_trains_on_it(
    kind: str, threads: int, local_ranks: int, cores: int, spare: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "granted_cores", lambda: cores)
    machine = Machine(device=torch.device(kind), dtype=torch.float32, threads=threads)
    assert has_spare_core(machine, local_ranks=local_ranks) is spare
