"""What the steps of a training are told as: `metric` events, and a warning where data is late. Knows no weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from workbench.stage_run import StageRun
from workbench.train.checkpoint import TrainingState
from workbench.train.crowding import core_wait_share
from workbench.train.loop import StepReport

METRIC_SECONDS = 0.1  # quicker steps are put together: ten points a second draw any curve
WORTH_SAYING = (0.1, 10.0)
"""Share of the time, and seconds, spent waiting for data from which on it is a warning."""


class Meter:
    """Step reports to `metric` events: one a step, or one for all steps of a tenth of a second.

    data_wait_share: of the time, what went by until the next batch was there.
    core_wait_share: of the last second, what a thread that computes waited for a core that others used; there where
    several threads compute.
    mfu: share of this machine's measured matrix-product speed (`peak`) that the model's own arithmetic makes
    (model FLOP utilisation, PaLM appendix B); None when there is no peak to compare with. The peak is measured
    in a moment that others may share: a step that was faster than it has shown that it was too low.
    """

    def __init__(
        self,
        run: StageRun,
        *,
        num_steps: int,
        flops_per_token: float | Callable[[int], float],
        peak: float | None,
    ) -> None:
        self._run = run
        self.num_steps = num_steps
        self._flops_per_token = flops_per_token
        self._peak = peak
        self._waiting: list[StepReport] = []
        self._seconds = self._wait_seconds = 0.0
        self._emitted_at = -math.inf

    def show(self, report: StepReport, state: TrainingState) -> None:
        """Take a report; emit what has gathered when it is time, and a warning at once for a skipped step."""
        self._run.progress(report.step, self.num_steps, "steps")
        if report.skipped:
            self._run.warning(f"step {report.step} skipped: {report.skip_reason}")
        self._waiting.append(report)
        self._seconds += report.seconds
        self._wait_seconds += report.wait_seconds
        now = time.monotonic()
        if now - self._emitted_at >= METRIC_SECONDS or report.step == self.num_steps:
            self._run.emit("metric", **self._metrics(self._waiting, state))
            self._waiting, self._emitted_at = [], now

    def warn_of_waiting(self) -> None:
        """Say so when much of the time nothing was there to learn from."""
        share, least = WORTH_SAYING
        if self._wait_seconds > max(least, share * self._seconds):
            percent = f"{self._wait_seconds / self._seconds:.0%}"
            self._run.warning(
                f"{percent} of the time went by waiting for data: is the disk slow, or the machine full?"
            )

    def flops(self, report: StepReport) -> float:
        """The model's own arithmetic in a step."""
        per_token = self._flops_per_token
        return report.tokens * (per_token(report.step - 1) if callable(per_token) else per_token)

    def _metrics(self, reports: list[StepReport], state: TrainingState) -> dict[str, Any]:
        seconds = sum(each.seconds for each in reports)
        tokens_per_second = sum(each.tokens for each in reports) / seconds
        flops_per_second = sum(map(self.flops, reports)) / seconds
        if self._peak:
            self._peak = max(self._peak, flops_per_second)
        crowded = core_wait_share()
        return {
            "step": state.step,
            "loss": _mean(each.loss for each in reports),
            "learning_rate": reports[-1].learning_rate,
            "grad_norm": _mean(each.grad_norm for each in reports),
            "tokens": state.tokens,
            "tokens_per_second": round(tokens_per_second, 1),
            "mfu": flops_per_second / self._peak if self._peak else None,
            "seconds": round(state.elapsed_seconds, 3),
            "data_wait_share": round(sum(each.wait_seconds for each in reports) / seconds, 4),
            **({} if crowded is None else {"core_wait_share": round(crowded, 3)}),
            **{name: _mean(each.extras[name] for each in reports) for name in reports[-1].extras},
        }


def _mean(values: Iterable[float]) -> float | None:
    """The mean of the finite values; None when there are none."""
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else None
