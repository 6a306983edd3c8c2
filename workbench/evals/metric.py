"""One measured figure with its uncertainty: what every eval gives and every scorecard holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure, its standard error (None where there is none, as of a compressor) and the items behind it."""

    value: float
    stderr: float | None
    n: int

    def to_json(self) -> dict[str, Any]:
        """Plain values, six significant digits: more would be noise, fewer would hide a change."""
        stderr = None if self.stderr is None else _rounded(self.stderr)
        return {"value": _rounded(self.value), "stderr": stderr, "n": self.n}


def share(marks: Sequence[float] | Sequence[bool]) -> Metric:
    """The mean p of marks between 0 and 1, with the binomial standard error sqrt(p (1 - p) / n)."""
    assert len(marks) > 0, "there is nothing to measure"
    p = math.fsum(marks) / len(marks)
    return Metric(value=p, stderr=math.sqrt(max(0.0, p * (1 - p)) / len(marks)), n=len(marks))


def mean(values: Sequence[float]) -> Metric:
    """The mean of any values, with its standard error s / sqrt(n)."""
    assert len(values) > 0, "there is nothing to measure"
    n = len(values)
    average = math.fsum(values) / n
    variance = math.fsum((value - average) ** 2 for value in values) / max(1, n - 1)
    return Metric(value=average, stderr=math.sqrt(variance / n), n=n)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
