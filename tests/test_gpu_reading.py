"""GPUs are read through a library that this machine need not have: a pretended one stands in."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from workbench import gpu_reading
from workbench.gpu_reading import GpuReader


class NotSupportedError(Exception):
    """What the library raises for what a device does not tell."""


def refuse(*_: Any) -> Any:
    raise NotSupportedError


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Two H200s, the second too hot."""
    pretended = SimpleNamespace(
        NVML_TEMPERATURE_GPU=0,
        NVML_CLOCK_SM=1,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda _: b"NVIDIA H200",
        nvmlDeviceGetUtilizationRates=lambda index: SimpleNamespace(gpu=98 - index),
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(used=61_400_000_000, total=139_000_000_000),
        nvmlDeviceGetPowerUsage=lambda _: 640_000,
        nvmlDeviceGetPowerManagementLimit=lambda _: 700_000,
        nvmlDeviceGetTemperature=lambda index, _: 61 + 30 * index,
        nvmlDeviceGetClockInfo=lambda *_: 1980,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda index: 0x24 if index else 0x1,
    )
    monkeypatch.setitem(sys.modules, "pynvml", pretended)
    monkeypatch.setattr(gpu_reading, "has_gpu", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return pretended


def test_every_figure_of_every_gpu_is_read(nvml: SimpleNamespace) -> None:
    first, second = GpuReader().read()
    assert first == {
        "name": "NVIDIA H200", "busy": 0.98, "memory_bytes": 61_400_000_000, "memory_total_bytes": 139_000_000_000,
        "watts": 640.0, "limit_watts": 700.0, "celsius": 61, "clock_mhz": 1980, "throttle": "",
    }  # fmt: skip
    assert second["throttle"] == "power limit, too hot" and second["celsius"] == 91


def test_only_the_gpus_that_training_may_use(nvml: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    [only] = GpuReader().read()
    assert only["celsius"] == 91


def test_what_a_device_does_not_tell_is_left_out(nvml: SimpleNamespace) -> None:
    nvml.nvmlDeviceGetPowerManagementLimit = nvml.nvmlDeviceGetUtilizationRates = refuse
    first, _ = GpuReader().read()
    assert first["watts"] == 640.0 and not {"limit_watts", "busy"} & set(first)


@pytest.mark.parametrize("missing", ["library", "driver", "gpu"])
def test_without_gpus_there_is_nothing_to_read(
    nvml: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "library":
        monkeypatch.setitem(sys.modules, "pynvml", None)
    elif missing == "driver":
        nvml.nvmlInit = refuse
    else:
        monkeypatch.setattr(gpu_reading, "has_gpu", lambda: False)
    assert GpuReader().read() == []


def test_a_driver_that_goes_away_ends_nothing(nvml: SimpleNamespace) -> None:
    reader = GpuReader()
    assert len(reader.read()) == 2
    nvml.nvmlDeviceGetCount = refuse
    assert reader.read() == []
