"""How fast a training goes in this process, told twice: after its first steps, and as its cost when it is over.

The first lets views say how long the rest takes; the second is what later plans on this machine are reckoned with.
Not a stage: there is no [pace] table.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator

import torch

from workbench.files import human_duration
from workbench.stage_run import StageRun
from workbench.train.loop import StepReport

FIRST_STEPS = 20
"""Enough for a median that a busy moment of the machine does not move."""
WARM_UP_STEPS = 2
"""The first steps prepare kernels and meet cold memory; they are no measure of the others."""


class Pace:
    """The clock of one training: steps, what is measured between them, and saving."""

    def __init__(self, run: StageRun, *, num_steps: int) -> None:
        self._run = run
        self._num_steps = num_steps
        self._step_seconds: list[float] = []
        self._tokens = 0
        self._measures, self._measuring_seconds = 0, 0.0
        self._saves, self._saving_seconds = 0, 0.0
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def step(self, report: StepReport) -> None:
        """Take note of a step; say once, after the first ones, how long the rest will take."""
        self._step_seconds.append(report.seconds)
        self._tokens += report.tokens
        if len(self._step_seconds) == FIRST_STEPS and report.step < self._num_steps:
            self._say_what_is_left(report.step)

    @contextlib.contextmanager
    def measuring(self, *, is_due: bool) -> Iterator[None]:
        """Wrap what the stage does with a report; `is_due` says whether that is to measure the model."""
        started = time.perf_counter()
        yield
        self._measures += is_due
        self._measuring_seconds += time.perf_counter() - started

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Wrap the writing of a checkpoint."""
        started = time.perf_counter()
        yield
        self._saves += 1
        self._saving_seconds += time.perf_counter() - started

    def tell_cost(self) -> None:
        """Hand over what the training took in this process; nothing when it took no step."""
        if not self._step_seconds:
            return
        seconds = self._settled()
        self._run.tell_cost(
            steps=len(self._step_seconds),
            tokens=self._tokens,
            step_seconds=round(statistics.median(seconds), 6),
            step_seconds_min=round(min(seconds), 6),
            step_seconds_max=round(max(seconds), 6),
            training_seconds=round(sum(self._step_seconds), 3),
            measures=self._measures,
            measuring_seconds=round(self._measuring_seconds, 3),
            saves=self._saves,
            saving_seconds=round(self._saving_seconds, 3),
        )
        if torch.cuda.is_available():
            self._run.tell_cost(device_peak_bytes=torch.cuda.max_memory_allocated())

    def _settled(self) -> list[float]:
        return self._step_seconds[WARM_UP_STEPS:] or self._step_seconds

    def _say_what_is_left(self, step: int) -> None:
        seconds = self._settled()
        median = statistics.median(seconds)
        left = median * (self._num_steps - step)
        self._run.emit(
            "note",
            text=f"{median:.3g} s a step ({min(seconds):.3g} to {max(seconds):.3g}): "
            f"the other {self._num_steps - step:,} take about {human_duration(left)}",
            step_seconds=round(median, 6),
            seconds_left=round(left, 3),
        )
