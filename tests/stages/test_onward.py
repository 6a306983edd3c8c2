"""Going on: checkpoints that stay, longer trainings from shorter ones, averages, and steering a live one."""

from __future__ import annotations

import pytest

from tests.stages.test_pretrain import (  # noqa: F401
    NUM_STEPS,
    Killed,
    Worker,
    artifacts,
    every_step_is_shown,
    whole,
    worker,
)
from workbench.train.checkpoint_folder import steps_in


def test_milestones_stay_and_change_nothing(worker: Worker, whole: Worker) -> None:  # noqa: F811
    worker.work(milestones=(3, 0.5), keep_every_steps=10)
    assert {3, 10, 12, 20} <= set(steps_in(worker.folder)) < {3, 8, 10, 12, 16, 20, 23, 24}
    assert worker.digests() == whole.digests()


def test_milestones_of_an_earlier_attempt_stay(worker: Worker) -> None:  # noqa: F811
    with pytest.raises(Killed):
        worker.work(milestones=(3,), kill_at=13)
    worker.work(milestones=(3,))
    assert 3 in steps_in(worker.folder)
