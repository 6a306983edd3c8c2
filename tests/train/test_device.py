"""The machine: cores, arithmetic, and what makes two environments differ."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from workbench.train import device
from workbench.train.device import (
    compare,
    environment,
    is_fast_at_bfloat16,
    matmul_peak,
    prepare_machine,
    usable_cores,
)


@pytest.fixture
def four_logical_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two physical cores with two threads each; no quota."""
    for cpu in range(4):
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{cpu % 2},{cpu % 2 + 2}\n")
    monkeypatch.setattr(device, "CPU_TOPOLOGY", tmp_path)
    monkeypatch.setattr(device, "CPU_QUOTA", tmp_path / "cpu.max")
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
    monkeypatch.setattr(device, "_cpu_flags", lambda: flags)
    assert is_fast_at_bfloat16(torch.device("cpu")) is fast


def test_float32_needs_no_autocast() -> None:
    assert prepare_machine("float32").autocast is None
    assert prepare_machine("bfloat16").autocast is torch.bfloat16


def test_environments_differ_by_name_and_value() -> None:
    machine = prepare_machine("float32")
    old = environment(
        machine, version="1", optimizer="adamw-fused", working_model="plain", micro_batch_tokens=64
    )
    new = environment(
        machine, version="1", optimizer="adamw-fused", working_model="plain", micro_batch_tokens=32
    )
    assert compare(old, old) == []
    assert compare(old, new) == ["micro_batch_tokens 64 -> 32"]
    assert compare({}, {"threads": 2}) == ["threads unknown -> 2"]


def test_the_peak_is_a_speed_and_leaves_the_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    peak = matmul_peak(prepare_machine("float32"), seconds=0.01, size=128)
    assert peak is not None and 1e8 < peak < 1e15
    assert torch.equal(before, torch.get_rng_state())
