"""`doctor`: the machine in facts, its problems with fixes, and what is measured or honestly not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench import doctor, hardware
from workbench.bench.worth import flash_attention, peaks, worths
from workbench.doctor import examine
from workbench.train.device import prepare_machine

from .conftest import Workbench


def problems(home: Path) -> dict[str, str]:
    found = list(examine(home))
    assert all(bool(each.problem) == bool(each.fix) for each in found)
    return {each.name: each.problem for each in found if each.problem}


def test_it_tells_the_machine_and_measures_nothing_when_asked(workbench: Workbench, home: Path) -> None:
    told = json.loads(workbench("doctor", "--quick", "--json").out)
    names = [finding["name"] for finding in told["findings"]]
    assert {
        "processor",
        "threads",
        "memory",
        "gpu",
        "home",
        "durable write",
        "python",
        "torch",
        "terminal",
    } <= set(names)
    assert told["peaks"] is None and all(use["times"] is None for use in told["uses"])
    assert told["ok"] == (not any(finding["problem"] for finding in told["findings"]))
    out = workbench("doctor", "--quick").out
    assert "not measured" in out and str(home) in out


def test_what_is_measured_is_a_speed() -> None:
    before = torch.get_rng_state()
    machine = prepare_machine("float32")
    figures = peaks(machine, seconds=0.01)
    assert 1e8 < figures["float32_flops"] < 1e15 and 1e7 < figures["memory_bytes_per_second"] < 1e14
    measured = {each.name: each for each in worths(machine, seconds=0.01)}
    assert not measured["bfloat16 products"].active
    assert measured["AdamW in one pass"].active and (measured["AdamW in one pass"].times or 0) > 0.1
    float8 = measured["float8 products"]
    assert not float8.active and float8.times is None and float8.why_not
    if machine.device.type == "cpu":
        assert "need a GPU" in float8.why_not and "TF32 products" not in measured
    assert torch.equal(before, torch.get_rng_state())


def test_flash_attention_is_in_use_for_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's word that it was built with it says nothing about float32, older GPUs, or rows of several documents."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    narrow = dataclasses.replace(
        prepare_machine("float32"), device=torch.device("cuda"), dtype=torch.bfloat16
    )
    for version, in_use in (("2.13.0", [True, True]), ("2.11.0", [True, False])):
        monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion(version))
        uses = list(flash_attention(narrow))
        assert [use.active for use in uses] == in_use == [not use.why_not for use in uses]
    wide = dataclasses.replace(narrow, dtype=torch.float32)
    assert not any(use.active for use in flash_attention(wide))


def test_problems_are_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "9999")
    monkeypatch.setattr(doctor, "available_bytes", lambda: 1 << 20)
    monkeypatch.setattr(doctor, "free_bytes", lambda folder: 1 << 20)
    monkeypatch.setattr(doctor, "_fsync_seconds", lambda folder: 1e-6)
    monkeypatch.setattr(hardware, "cpu_flags", lambda: {"avx2"})
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (1e6, 0.0, 0.0))
    monkeypatch.setattr(doctor.locale, "getpreferredencoding", lambda setlocale: "ANSI_X3.4-1968")
    found = problems(home)
    assert {
        "threads",
        "memory",
        "home",
        "durable write",
        "instructions",
        "load",
        "characters",
    } <= found.keys()
    assert "power cut" in found["durable write"]


def test_a_home_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unwritable(path: Any, mode: int) -> bool:
        return False

    monkeypatch.setattr(doctor.os, "access", unwritable)
    assert problems(tmp_path / "home")["home"] == "cannot be written"


def test_a_hidden_gpu_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "gpu_names", lambda: ["NVIDIA H200"])
    monkeypatch.setattr(doctor, "has_gpu", lambda: False)
    monkeypatch.setattr(doctor, "accelerators", list)
    assert "CUDA_VISIBLE_DEVICES" in problems(home)["gpu"]
