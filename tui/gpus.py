"""The GPUs of a run as its worker's status tells them: several are told as one. Pure; knows no widget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.safe_text import one_line


@dataclass(frozen=True, slots=True)
class GpusSeen:
    """`count` GPUs: how busy on average (0 to 1), memory and watts of all, the hottest, the slowest clock.

    None is not known. `throttle`: why the clock of any is held down; empty when none is.
    """

    count: int
    name: str
    busy: float | None
    memory_bytes: float | None
    memory_total_bytes: float | None
    watts: float | None
    limit_watts: float | None
    celsius: float | None
    clock_mhz: float | None
    throttle: str


def gpus_of(status: Mapping[str, Any]) -> GpusSeen | None:
    """What a status says of GPUs; None where it says nothing of use."""
    told = status.get("gpus")
    gpus = [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []
    if not gpus:
        return None

    def of(name: str) -> list[float]:
        values = [each.get(name) for each in gpus]
        numbers = [float(value) for value in values if isinstance(value, int | float)]
        return numbers if len(numbers) == len(gpus) else []

    def total(name: str) -> float | None:
        return sum(of(name)) if of(name) else None

    held = dict.fromkeys(word for each in gpus if (word := one_line(str(each.get("throttle") or ""), 60)))
    return GpusSeen(
        count=len(gpus),
        name=one_line(str(gpus[0].get("name") or ""), 40),
        busy=sum(of("busy")) / len(gpus) if of("busy") else None,
        memory_bytes=total("memory_bytes"),
        memory_total_bytes=total("memory_total_bytes"),
        watts=total("watts"),
        limit_watts=total("limit_watts"),
        celsius=max(of("celsius"), default=None),
        clock_mhz=min(of("clock_mhz"), default=None),
        throttle=", ".join(held),
    )
