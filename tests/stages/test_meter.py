"""What the steps of a training are told as."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest

from workbench.stage_run import StageRun
from workbench.stages.meter import Meter
from workbench.train.checkpoint import TrainingState
from workbench.train.loop import StepReport


class Listener:
    """Stands in for a run: keeps what is emitted."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, Any]] = []
        self.warnings: list[str] = []

    def emit(self, kind: str, **fields: Any) -> None:
        assert kind == "metric"
        self.metrics.append(fields)

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def progress(self, done: int, total: int, unit: str) -> None:
        pass


def test_utilisation_never_exceeds_one_when_the_peak_was_measured_on_a_busy_machine() -> None:
    listener = Listener()
    meter = Meter(cast(StageRun, listener), num_steps=9, flops_per_token=10.0, peak=1000.0)
    # 2,000 FLOP/s where 1,000 were thought possible; then 4,000; then a quarter of that
    for step, seconds in ((1, 1.0), (2, 0.5), (3, 2.0)):
        report = StepReport(
            step=step, loss=1.0, grad_norm=1.0, learning_rate=0.1, tokens=200, seconds=seconds
        )
        meter.show(report, TrainingState(seed=0, environment={}, step=step))
        meter._emitted_at = -math.inf  # the next report is due at once
    assert [metric["mfu"] for metric in listener.metrics] == pytest.approx([1.0, 1.0, 0.25])


def test_waiting_for_data_is_told_and_a_warning_when_it_is_much() -> None:
    for wait_seconds, told in ((0.0, 0), (0.4, 0), (3.0, 1)):
        listener = Listener()
        meter = Meter(cast(StageRun, listener), num_steps=9, flops_per_token=10.0, peak=None)
        for step in range(1, 6):
            report = StepReport(
                step=step,
                loss=1.0,
                grad_norm=1.0,
                learning_rate=0.1,
                tokens=200,
                seconds=5.0,
                wait_seconds=wait_seconds,
            )
            meter.show(report, TrainingState(seed=0, environment={}, step=step))
        meter.warn_of_waiting()
        assert listener.metrics[0]["data_wait_share"] == pytest.approx(wait_seconds / 5)
        assert len(listener.warnings) == told
        assert all("60% of the time went by waiting for data" in warning for warning in listener.warnings)
