"""How fast a training goes in this process, told twice: after its first steps, and as its cost when it is over.

The first lets views say how long the rest takes; the second is what later plans on this machine are reckoned with.
Not a stage: there is no [pace] table.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator

import torch

from workbench.files import human_duration
from workbench.model_config import ModelConfig
from workbench.stage_run import StageRun
from workbench.train.loop import StepReport
from workbench.training_time import FORWARD_SHARE, PartSeconds, StepsLeft, sampling_seconds, seconds_of

FIRST_STEPS = 20
"""Enough for a mean that a busy moment of the machine does not move."""
WARM_UP_STEPS = 2
"""The first steps prepare kernels and meet cold memory; they are no measure of the others."""
TRIMMED = 0.1
"""Of the steps, at either end, that are no measure of the others either."""


@dataclasses.dataclass
class Timer:
    """How often something was done, and how long that took in all."""

    times: int = 0
    seconds: float = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Wrap one of them in this."""
        started = time.perf_counter()
        yield
        self.times += 1
        self.seconds += time.perf_counter() - started

    def mean(self, *, guess: float) -> float:
        """Seconds of one; `guess` where there was none."""
        return self.seconds / self.times if self.times else guess


class Pace:
    """The clock of one training: its steps, and what is done between them.

    Wrap in `evaluating`, `sampling` and `saving` what these are of; the last only where another step follows.
    evaluation_flops, sampling_seconds: of one, about (`expect`). Until there is one, they stand for it.
    """

    def __init__(self, run: StageRun, *, steps_left: Callable[[int], StepsLeft]) -> None:
        """steps_left: what is to be done after a step."""
        self._run = run
        self._steps_left = steps_left
        self._step_seconds: list[float] = []
        self._full_step_seconds: list[float] = []  # as if all were of full size
        self._tokens = 0
        self._flops = 0.0
        self.evaluating, self.sampling, self.saving = Timer(), Timer(), Timer()
        self.evaluation_flops = self.sampling_seconds = 0.0

    def begin(self) -> None:
        """Count the device's peak of memory from here: what was measured or tried before is no part of the steps."""
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def expect(
        self,
        config: ModelConfig,
        *,
        context_length: int,
        evaluation_tokens: int,
        sample_tokens: int,
        on_gpu: bool,
    ) -> None:
        """Reckon what one evaluation of so many tokens and one sample of so many take in this model."""
        self.evaluation_flops = FORWARD_SHARE * evaluation_tokens * config.flops_per_token(context_length)
        self.sampling_seconds = sampling_seconds(
            tokens=sample_tokens,
            layers=config.num_hidden_layers,
            weight_bytes=4 * config.num_parameters,
            on_gpu=on_gpu,
        )

    def step(self, report: StepReport, *, flops: float) -> None:
        """Take note of a step, and of the arithmetic in it."""
        size = self._steps_left(report.step - 1).full_steps - self._steps_left(report.step).full_steps
        self._step_seconds.append(report.seconds)
        self._full_step_seconds.append(report.seconds / size)
        self._tokens += report.tokens
        self._flops += flops

    def say_what_is_left(self, step: int, *, save_seconds: float) -> None:
        """Say once, when the first steps and what came between them are done, how long the rest will take.

        save_seconds: what one checkpoint takes from training.
        """
        left = self._steps_left(step)
        if len(self._step_seconds) != FIRST_STEPS or left.done >= left.last:
            return
        parts = self._parts(save_seconds=save_seconds)
        seconds, settled = seconds_of(parts, left), _settled(self._step_seconds)
        typical = _typical(self._step_seconds)
        self._run.emit(
            "note",
            text=f"{typical:.3g} s a step ({min(settled):.3g} to {max(settled):.3g}): "
            f"the other {left.last - left.done:,} take about {human_duration(seconds)}",
            parts={name: round(each, 6) for name, each in dataclasses.asdict(parts).items()},
            seconds_left=round(seconds, 3),
        )

    def tell_cost(self, *, save_seconds: float) -> None:
        """Hand over what the training took in this process; nothing when it took no step."""
        if not self._step_seconds:
            return
        settled = _settled(self._step_seconds)
        parts = self._parts(save_seconds=save_seconds)
        self._run.tell_cost(
            steps=len(self._step_seconds),
            tokens=self._tokens,
            step_seconds=round(parts.step, 6),
            step_seconds_min=round(min(settled), 6),
            step_seconds_max=round(max(settled), 6),
            evaluation_seconds=round(parts.evaluation, 6),
            samples_seconds=round(parts.samples, 6),
            save_seconds=round(parts.save, 6),
            training_seconds=round(sum(self._step_seconds), 3),
            between_seconds=round(self.evaluating.seconds + self.sampling.seconds + self.saving.seconds, 3),
            evaluations=self.evaluating.times,
            samples=self.sampling.times,
            saves=self.saving.times,
        )
        if torch.cuda.is_available():
            self._run.tell_cost(device_peak_bytes=torch.cuda.max_memory_allocated())

    def _parts(self, *, save_seconds: float) -> PartSeconds:
        """What each part takes, as far as is known here: not what comes once."""
        seconds_per_flop = sum(self._step_seconds) / max(self._flops, 1.0)
        return PartSeconds(
            step=_typical(self._full_step_seconds),
            evaluation=self.evaluating.mean(guess=self.evaluation_flops * seconds_per_flop),
            samples=self.sampling.mean(guess=self.sampling_seconds),
            save=save_seconds,
        )


def _typical(seconds: list[float]) -> float:
    """The mean without the quickest and the slowest tenth: many steps take the mean of theirs, not the median.

    What is busy now and then on any machine makes the mean 1 to 3 % longer (recipes/LOG.md); one long stop makes it
    anything.
    """
    ordered = sorted(_settled(seconds))
    cut = round(TRIMMED * len(ordered))
    return statistics.fmean(ordered[cut : len(ordered) - cut])


def _settled(seconds: list[float]) -> list[float]:
    """Without the first steps, if there are others."""
    return seconds[WARM_UP_STEPS:] or seconds
