"""What a training tells of its time: by a clock that stands still unless it is moved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from workbench.stage_run import StageRun
from workbench.stages import pace
from workbench.stages.pace import FIRST_STEPS, Pace
from workbench.train.loop import StepReport
from workbench.training_time import StepsLeft


class Listener:
    """Stands in for a run: keeps what is told."""

    def __init__(self) -> None:
        self.notes: list[dict[str, Any]] = []
        self.cost: dict[str, float] = {}

    def emit(self, kind: str, **fields: Any) -> None:
        self.notes.append(fields)

    def tell_cost(self, **figures: float) -> None:
        self.cost |= figures


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def spend(self, timer: pace.Timer, *seconds: float) -> None:
        for each in seconds:
            with timer.running():
                self.now += each


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(pace.time, "perf_counter", lambda: clock.now)
    yield clock


def half_size_first(done: int) -> StepsLeft:
    """100 steps, of which the first ten are of half the size."""
    full_steps = 100 - 5 - done / 2 if done <= 10 else 100 - done
    return StepsLeft(
        done=done,
        last=100,
        full_steps=full_steps,
        eval_every_steps=50,
        sample_every_steps=25,
        save_every_seconds=10,
    )


def take_steps(pace: Pace, count: int, *, seconds: float) -> None:
    """Of half a second where they are half as large, but for the first two, which are slow."""
    for step in range(1, count + 1):
        share = (9.0 if step <= 2 else 0.5) if step <= 10 else 1.0
        report = StepReport(
            step=step, loss=1.0, grad_norm=1.0, learning_rate=0.1, tokens=100, seconds=share * seconds
        )
        pace.step(report, flops=1000.0 * share)
        pace.say_what_is_left(step, save_seconds=0.1)


def told(measured: bool, clock: Clock) -> dict[str, Any]:
    listener = Listener()
    one = Pace(cast(StageRun, listener), steps_left=half_size_first)
    one.evaluation_flops, one.sampling_seconds = 2000.0, 3.0
    if measured:
        clock.spend(one.evaluating, 5.0, 7.0)
        clock.spend(one.sampling, 4.0)
    take_steps(one, FIRST_STEPS + 5, seconds=2.0)
    (note,) = listener.notes
    return note


def test_what_is_left_counts_all_parts_as_they_were_measured(clock: Clock) -> None:
    note = told(True, clock)
    assert note["parts"] == {"step": 2.0, "evaluation": 6.0, "samples": 4.0, "save": 0.1, "rest": 0.0}
    busy = 80 * 2.0 + 2 * 6.0 + 4 * 4.0
    assert note["seconds_left"] == pytest.approx(busy + 0.1 * (busy / 10 + 2))
    assert note["text"].startswith("1.57 s a step (1 to 2): the other 80 take about 3m 10s")


def test_one_long_stop_is_no_measure_and_a_few_slow_steps_are(clock: Clock) -> None:
    listener = Listener()
    one = Pace(cast(StageRun, listener), steps_left=half_size_first)
    slow = {15: 99.0, 20: 3.0, 21: 3.0, 22: 3.0, 23: 3.0}
    for step in range(11, 33):  # 22 steps, of which two are to get warm, and two are left out at either end
        seconds = slow.get(step, 1.0)
        report = StepReport(step=step, loss=1.0, grad_norm=1.0, learning_rate=0.1, tokens=1, seconds=seconds)
        one.step(report, flops=1.0)
    one.tell_cost(save_seconds=0.0)
    assert listener.cost["step_seconds"] == pytest.approx((13 * 1.0 + 3 * 3.0) / 16)


def test_until_there_was_one_an_evaluation_is_reckoned_by_its_arithmetic(clock: Clock) -> None:
    note = told(False, clock)
    assert note["parts"]["evaluation"] == pytest.approx(2 * 2.0)
    assert note["parts"]["samples"] == 3.0


def test_what_it_cost_is_told_part_by_part(clock: Clock) -> None:
    listener = Listener()
    one = Pace(cast(StageRun, listener), steps_left=half_size_first)
    one.tell_cost(save_seconds=0.1)
    assert listener.cost == {}  # no step was taken
    take_steps(one, 30, seconds=2.0)
    clock.spend(one.evaluating, 5.0, 7.0)
    clock.spend(one.sampling, 4.0)
    clock.spend(one.saving, 0.5)
    one.tell_cost(save_seconds=0.1)
    assert listener.cost["between_seconds"] == 16.5
    assert listener.cost["training_seconds"] == 2 * 18 + 8 * 1 + 20 * 2
    names = ("steps", "tokens", "evaluations", "samples", "saves", "step_seconds", "evaluation_seconds")
    assert [listener.cost[name] for name in names] == [30, 3000, 2, 1, 1, 2.0, 6.0]
