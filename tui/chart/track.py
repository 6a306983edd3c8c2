"""What one stage drew: its metrics over steps, tokens, seconds and FLOPs, what was measured beside, and what happened.

Grown by the feed in its thread and read by the charts in theirs: columns only grow, and a resume that repeats some
steps puts shorter copies in their place. Knows no event and no widget.
"""

from __future__ import annotations

import operator
import re
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tui.chart.series import NAN, Series

X_AXES = ("step", "tokens", "time", "flops")
MOST_METRICS = 40
MOST_STEP = 2**31 - 1
WARMUP, DECAY = PHASES = ("warmup", "decay")
"""Kinds of marks: where a warmup of the learning rate ends, where its decay begins; as a training meets them."""
_NAME = re.compile(r"[A-Za-z0-9_/.@-]{1,40}")


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a step: `kind` is checkpoint, resume, rollback, warmup (its end) or decay (begins)."""

    step: int
    kind: str


class Broken(NamedTuple):
    """The steps at which a metric was not a number."""

    first: int
    last: int
    times: int

    def __str__(self) -> str:
        if self.times == 1:
            return f"at step {self.last:,}"
        return f"at {self.times:,} steps, {self.first:,} to {self.last:,}"


class Track:
    """A table that grows by rows: the four ways to measure x, and a Series for each metric."""

    def __init__(self) -> None:
        self.steps: array[int] = array("i")
        self.tokens: array[float] = array("d")
        self.seconds: array[float] = array("f")
        self.metrics: dict[str, Series] = {}
        self.broken: dict[str, Broken] = {}
        """By the names of the metrics that were once not a number."""

    def __len__(self) -> int:
        return len(self.steps)

    def add(self, step: int, tokens: float, seconds: float, values: Mapping[str, float]) -> None:
        """Append a row. A step seen before replaces what came after it; names that are no metric's are passed over."""
        if not 0 <= step <= MOST_STEP:
            return
        if self.steps and step <= self.steps[-1]:
            self._cut(step)
        row = len(self.steps)
        for name, value in values.items():
            series = self._series(name)
            if series is None:
                continue
            if len(series.raw) < row:
                series.pad_to(row)
            series.append(value)
            if not -3e38 < value < 3e38:
                self._break(name, [step])
        # x never goes back, whatever a run says.
        self.tokens.append(max(tokens, self.tokens[-1]) if row else tokens)
        self.seconds.append(max(seconds, self.seconds[-1]) if row else seconds)
        self.steps.append(step)  # last: whoever reads goes by their number

    def extend(
        self,
        steps: Sequence[int],
        tokens: Sequence[float],
        seconds: Sequence[float],
        columns: Mapping[str, Sequence[float]],
    ) -> None:
        """Append rows at once, a column a metric: as `add` would one by one.

        None of steps, tokens and seconds goes back, and the first of them lies behind what is there.
        """
        rows = len(self.steps)
        for name, values in columns.items():
            series = self._series(name)
            if series is None:
                continue
            series.pad_to(rows)
            if not series.extend(values):
                broken = [step for step, value in zip(steps, values, strict=True) if not -3e38 < value < 3e38]
                self._break(name, broken)
        self.tokens.extend(array("d", tokens))
        self.seconds.extend(array("f", seconds))
        self.steps.extend(array("i", steps))  # last: whoever reads goes by their number

    def takes(self, steps: Sequence[int], tokens: Sequence[float], seconds: Sequence[float]) -> bool:
        """Whether these rows may be appended at once: nothing in them goes back, nor behind what is there."""
        grows = all(map(operator.lt, steps, steps[1:])) and steps[0] >= 0 and steps[-1] <= MOST_STEP
        stands = all(map(operator.le, tokens, tokens[1:])) and all(map(operator.le, seconds, seconds[1:]))
        if not self.steps or not (grows and stands):
            return grows and stands
        return self.steps[-1] < steps[0] and self.tokens[-1] <= tokens[0] and self.seconds[-1] <= seconds[0]

    def _series(self, name: str) -> Series | None:
        """The column of a metric; None for a name that is no metric's."""
        series = self.metrics.get(name)
        if series is None and _NAME.fullmatch(name) and len(self.metrics) < MOST_METRICS:
            series = self.metrics[name] = Series()
        return series

    def _break(self, name: str, steps: Sequence[int]) -> None:
        """Remember these steps, some of which may have been taken before."""
        if not steps:
            return
        before = self.broken.get(name, Broken(steps[0], steps[0], 0))
        first, last = min(before.first, steps[0]), max(before.last, steps[-1])
        self.broken[name] = Broken(first, last, before.times + len(steps))

    def _cut(self, step: int) -> None:
        rows = bisect_left(self.steps, step)
        self.steps, self.tokens, self.seconds = self.steps[:rows], self.tokens[:rows], self.seconds[:rows]
        self.metrics = {name: series.cut(rows) for name, series in self.metrics.items()}

    def at_step(self, step: int) -> tuple[float, float]:
        """Tokens and seconds when `step` was taken; of the nearest step before, zero before the first."""
        row = min(bisect_left(self.steps, step), len(self.steps) - 1)
        return (self.tokens[row], self.seconds[row]) if row >= 0 else (0.0, 0.0)


class StageCurves:
    """The training's own track, the one of what was measured on held-out data, and marks under the axis."""

    def __init__(self, *, flops_per_token: float = 0.0) -> None:
        self.training = Track()
        self.measured = Track()
        self.marks: list[Mark] = []
        self.flops_per_token = flops_per_token

    def mark(self, kind: str, step: int | None = None) -> None:
        """Remember that something happened, by default at the newest step. Marks of steps to be taken again go."""
        if step is None:
            step = self.training.steps[-1] if len(self.training) else 0
        if 0 <= step <= MOST_STEP:
            self.marks.append(Mark(step, kind))

    def column(self, track: Track, axis: str) -> tuple[array[float] | array[int], float]:
        """The column of an axis, and what its entries are to be multiplied by."""
        if axis == "tokens":
            return track.tokens, 1.0
        if axis == "time":
            return track.seconds, 1.0
        return (track.tokens, self.flops_per_token) if axis == "flops" else (track.steps, 1.0)

    def x_of(self, step: int, axis: str) -> float:
        """Where a step lies on an axis."""
        if axis == "step":
            return step
        tokens, seconds = self.training.at_step(step)
        return seconds if axis == "time" else tokens * (self.flops_per_token if axis == "flops" else 1.0)

    def end(self, axis: str) -> float:
        """The newest x."""
        found = [
            column[-1] * factor
            for track in (self.training, self.measured)
            for column, factor in [self.column(track, axis)]
            if column
        ]
        return max(found, default=0.0)

    def axes(self) -> tuple[str, ...]:
        """The axes that this stage knows."""
        track = self.training
        known = {
            "step": True,
            "tokens": bool(track.tokens) and track.tokens[-1] > 0,
            "time": bool(track.seconds) and track.seconds[-1] > 0,
            "flops": bool(track.tokens) and track.tokens[-1] > 0 and self.flops_per_token > 0,
        }
        return tuple(axis for axis in X_AXES if known[axis])

    def newest(self, name: str) -> float:
        """The last value of a metric, NaN where there is none."""
        for track in (self.training, self.measured):
            series = track.metrics.get(name)
            if series is not None and series.raw:
                return series.raw[-1]
        return NAN
