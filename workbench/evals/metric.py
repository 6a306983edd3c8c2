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
    """The mean p of marks between 0 and 1, with the binomial standard error sqrt(p (1 - p) / n).

    That would be 0 where all marks agree, as if the next one were certain; there p is taken half a mark from the
    end (Jeffreys' estimate, (x + 1/2) / (n + 1)).
    """
    assert len(marks) > 0, "there is nothing to measure"
    n, total = len(marks), math.fsum(marks)
    p = total / n
    careful, count = (p, n) if 0 < p < 1 else ((total + 0.5) / (n + 1), n + 1)
    return Metric(value=p, stderr=math.sqrt(careful * (1 - careful) / count), n=n)


def mean(values: Sequence[float]) -> Metric:
    """The mean of any values, with its standard error s / sqrt(n), which a single value does not have."""
    assert len(values) > 0, "there is nothing to measure"
    n = len(values)
    average = math.fsum(values) / n
    if n == 1:
        return Metric(value=average, stderr=None, n=n)
    variance = math.fsum((value - average) ** 2 for value in values) / (n - 1)
    return Metric(value=average, stderr=math.sqrt(variance / n), n=n)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
