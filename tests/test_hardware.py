"""The machine as its operating system tells it: cores, quotas, memory, and a peak that can be forgotten."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from workbench import accelerators, hardware
from workbench.accelerators import Accelerator, power
from workbench.hardware import (
    available_bytes,
    fingerprint,
    forget_peak_memory,
    give_back_freed_memory,
    granted_cores,
    memory_bytes,
    peak_memory_bytes,
    usable_cores,
)

MB = 1 << 20


@pytest.fixture
def four_logical_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two physical cores with two threads each; no quota."""
    for cpu in range(4):
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{cpu % 2},{cpu % 2 + 2}\n")
    monkeypatch.setattr(hardware, "CPU_TOPOLOGY", tmp_path)
    monkeypatch.setattr(hardware, "CGROUP", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return tmp_path


def test_hyper_threads_do_not_count(four_logical_cpus: Path) -> None:
    assert usable_cores() == 2


def test_affinity_and_quota_bound_the_threads(
    four_logical_cpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (four_logical_cpus / "cpu.max").write_text("max 100000\n")
    assert usable_cores() == 2
    (four_logical_cpus / "cpu.max").write_text("90000 100000\n")
    assert usable_cores() == 1
    (four_logical_cpus / "cpu.max").unlink()
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {1, 3})
    assert usable_cores() == 1


def test_the_person_has_the_last_word_on_threads(
    four_logical_cpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert usable_cores() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    assert usable_cores() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert usable_cores() == 1 and granted_cores() == 2


def test_a_control_group_bounds_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "CGROUP", tmp_path)
    unbound = memory_bytes()
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_bytes() == unbound
    (tmp_path / "memory.max").write_text(f"{64 * MB}\n")
    (tmp_path / "memory.current").write_text(f"{60 * MB}\n")
    assert memory_bytes() == 64 * MB
    assert available_bytes() == 4 * MB


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets")
def test_a_peak_is_seen_and_forgotten() -> None:
    forget_peak_memory()
    before = peak_memory_bytes()
    with mmap.mmap(-1, 64 * MB) as held:  # fresh pages, whatever the C library has kept
        held[:: mmap.PAGESIZE] = bytes(len(held) // mmap.PAGESIZE)  # and no heap that it might keep again
    assert peak_memory_bytes() >= before + 0.9 * 64 * MB
    forget_peak_memory()
    assert peak_memory_bytes() < before + 32 * MB


def test_freed_memory_goes_back_where_the_c_library_can(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Glibc:
        def malloc_trim(self, pad: int) -> int:
            asked.append(pad)
            return 1

    monkeypatch.setattr("ctypes.CDLL", lambda name: Glibc())
    give_back_freed_memory()
    assert asked == [0]
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())  # another C library
    give_back_freed_memory()


def test_another_processor_is_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint()
    assert fingerprint() == before
    monkeypatch.setattr(hardware, "cpu_name", lambda: "another")
    assert fingerprint() != before


def test_a_hidden_gpu_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "information").write_text("Model: \t\t NVIDIA H200\nIRQ: 5\n")
    monkeypatch.setattr(hardware, "NVIDIA_DRIVER", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(accelerators, "_asked_of_nvml", list)
    assert accelerators.accelerators() == [Accelerator("NVIDIA H200")]
    assert "assumed" in power().basis and power().watts > 400
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert accelerators.accelerators() == []


def test_what_the_driver_tells_of_a_gpu_and_what_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pretended = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda _: "NVIDIA H200",
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(total=139 * MB),
        nvmlDeviceGetPowerManagementLimit=lambda _: 700_000,
        nvmlDeviceGetCudaComputeCapability=lambda _: (9, 0),
    )
    monkeypatch.setitem(sys.modules, "pynvml", pretended)
    monkeypatch.setattr(accelerators, "has_gpu", lambda: True)
    assert accelerators.accelerators() == [Accelerator("NVIDIA H200", 139 * MB, 700.0, (9, 0))]
    del pretended.nvmlDeviceGetCudaComputeCapability, pretended.nvmlDeviceGetPowerManagementLimit
    assert accelerators.accelerators() == [Accelerator("NVIDIA H200", 139 * MB)]


def test_power_is_the_packages_limit_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "NVIDIA_DRIVER", tmp_path / "no driver")
    monkeypatch.setattr(accelerators, "RAPL", tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert power().watts == 40 and "assumed" in power().basis
    for package in (0, 1):
        folder = tmp_path / f"intel-rapl:{package}"
        folder.mkdir()
        (folder / "constraint_0_power_limit_uw").write_text("125000000\n")
    assert power().watts == 250 and "assumed" not in power().basis
