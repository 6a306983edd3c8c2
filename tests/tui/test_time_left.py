"""How long it still takes: by a stage's own pace, and by the plan for what comes after."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from tui.feed import RunFeed
from tui.run_seen import StageSeen
from tui.time_left import how_far_off, run_left, seconds_left, uncertainty, usual_silence
from workbench.files import lock_file
from workbench.runs import Run

MakeRun = Any


def test_the_time_left_follows_the_newest_pace() -> None:
    assert seconds_left(deque([(0.0, 0.0), (10.0, 50.0)]), 100.0) == 10.0
    assert seconds_left(deque([(0.0, 0.0)]), 100.0) is None
    assert seconds_left(deque([(0.0, 0.0), (10.0, 50.0)]), None) is None
    assert seconds_left(deque([(0.0, 5.0), (10.0, 5.0)]), 100.0) is None


def test_the_time_left_has_an_interval() -> None:
    steady = deque((float(t), t * 5.0) for t in range(20))
    assert uncertainty(steady, 200.0) == 0.0
    slowing = deque((float(t), 50 + t * (5.0 if t < 10 else 4.0)) for t in range(20))
    assert (uncertainty(slowing, 400.0) or 0) > 5
    assert uncertainty(deque([(0.0, 0.0), (1.0, 1.0)]), 9.0) is None


def stages(*, left: float | None = 60.0, within: float | None = 5.0) -> list[StageSeen]:
    return [
        StageSeen("corpus", "finished"),
        StageSeen("tokenizer", "waiting"),  # made before: not in the plan
        StageSeen("pretrain", "running", seconds_left=left, left_within=within),
        StageSeen("sft", "waiting"),
        StageSeen("eval", "waiting"),
    ]


PLANNED = {"corpus": 100.0, "pretrain": 500.0, "sft": 200.0, "eval": 40.0}


def test_a_run_takes_what_its_stage_and_the_plan_of_the_rest_take() -> None:
    assert run_left(stages(), planned=PLANNED, spent={}) == (300.0, pytest.approx(5 + 0.3 * 240))


def test_a_plan_that_was_right_is_trusted_more_and_one_that_was_wrong_less() -> None:
    assert run_left(stages(), planned=PLANNED, spent={"corpus": 105.0}) == (
        300.0,
        pytest.approx(5 + 0.1 * 240),
    )
    assert run_left(stages(), planned=PLANNED, spent={"corpus": 150.0}) == (
        300.0,
        pytest.approx(5 + 0.5 * 240),
    )
    assert how_far_off(PLANNED, {"corpus": 900.0}) == 1.0
    assert how_far_off({"corpus": 0.01}, {"corpus": 0.5}) == 0.3, "what takes no time tells nothing"


def test_nobody_can_tell_before_the_stage_can() -> None:
    assert run_left(stages(left=None), planned=PLANNED, spent={}) is None
    left = run_left(stages(within=None), planned=PLANNED, spent={})
    assert left == (300.0, pytest.approx(0.3 * 300))


def test_the_usual_silence_is_not_that_of_one_night() -> None:
    assert usual_silence([0.5] * 30 + [20.0, 9000.0]) == 20.0
    assert usual_silence([0.5] * 7) is None


def test_a_feed_tells_the_time_left_of_the_run_while_it_runs(make_run: MakeRun) -> None:
    run: Run = make_run(state="running", steps=400, total_steps=1000)
    predicted = {"sft": {"seconds": 100.0}, "dpo": {"seconds": "soon"}, "eval": 7}
    run.replace_plan(run.plan() | {"predicted": predicted})
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        seen = RunFeed(run).look()
        assert seen.left is not None and seen.left[0] == pytest.approx(600 * 0.25 + 100, rel=0.02)
        assert seen.left[1] == pytest.approx(30, abs=3)
        assert seen.usual_silence == pytest.approx(1.0)
        planned = {stage.name: stage.planned_seconds for stage in seen.stages if stage.planned_seconds}
        assert planned == {"sft": 100.0}
    assert RunFeed(run).look().left is None, "a run that crashed takes no more time"
