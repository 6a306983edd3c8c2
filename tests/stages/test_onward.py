"""Going on: checkpoints that stay, longer trainings from shorter ones, averages, and steering a live one."""

# ruff: noqa: F811  (fixtures of another file)
from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

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
from workbench.train.checkpoint_folder import step_folder, steps_in


def test_milestones_stay_and_change_nothing(worker: Worker, whole: Worker) -> None:
    worker.work(milestones=(3, 0.5), keep_every_steps=10)
    assert {3, 10, 12, 20} <= set(steps_in(worker.folder)) < {3, 8, 10, 12, 16, 20, 23, 24}
    assert worker.digests() == whole.digests()


def test_milestones_of_an_earlier_attempt_stay(worker: Worker) -> None:
    with pytest.raises(Killed):
        worker.work(milestones=(3,), kill_at=13)
    worker.work(milestones=(3,))
    assert 3 in steps_in(worker.folder)


# -- more tokens -------------------------------------------------------------------------------------------

WSD: dict[str, Any] = {"schedule": "wsd", "decay_ratio": 0.25, "warmup_steps": 2}


def longer_from(shorter: Worker, step: int, folder: Path, artifacts: dict[str, Path]) -> Worker:
    """A worker on a training that may go on from a step of a shorter one."""
    folder.mkdir()
    worker = Worker(folder, artifacts)
    worker.inputs = dataclasses.replace(worker.inputs, shorter=step_folder(shorter.folder, step))
    return worker


@pytest.mark.parametrize("settings", [WSD, {"schedule": "inverse_sqrt", "warmup_steps": 2}])
def test_a_longer_training_is_the_one_that_was_asked_for_from_the_start(
    tmp_path: Path, artifacts: dict[str, Path], settings: dict[str, Any]
) -> None:
    folders = {name: tmp_path / name for name in ("short", "whole")}
    for folder in folders.values():
        folder.mkdir()
    short, at_once = (Worker(folder, artifacts) for folder in folders.values())
    shared = short.work(**settings)["extendable_at"]
    # The first step of the decay is at the peak still, so that is shared too.
    assert shared == (19 if settings is WSD else NUM_STEPS)
    more = settings | {"tokens": 36 * 64}
    figures = at_once.work(**more)

    longer = longer_from(short, shared, tmp_path / "longer", artifacts)
    with pytest.raises(Killed):
        longer.work(**more, kill_at=6)
    assert longer.work(**more)["steps"] == figures["steps"] == 36
    assert f"going on from the same training for fewer tokens at step {shared}: exact" in longer.texts("note")
    assert min(longer.losses()) == shared + 1
    assert longer.digests() == at_once.digests()
    assert longer.losses() == {step: loss for step, loss in at_once.losses().items() if step > shared}


@pytest.mark.parametrize(
    "settings",
    [
        {"schedule": "linear", "warmup_steps": 0},
        {"schedule": "cosine", "warmup_steps": 2},
        WSD | {"warmup_steps": 8},  # cut to a tenth of the steps, which depends on how many there are
        WSD | {"batch_ramp": {"start": 32, "until": 0.5}},
    ],
)
def test_what_goes_towards_its_end_from_the_beginning_cannot_be_extended(
    worker: Worker, settings: dict[str, Any]
) -> None:
    assert worker.work(**settings)["extendable_at"] is None


def test_a_damaged_shorter_training_is_not_gone_on_from(
    tmp_path: Path, artifacts: dict[str, Path], whole: Worker
) -> None:
    weights = step_folder(whole.folder, NUM_STEPS) / "model.safetensors"
    kept = weights.read_bytes()
    try:
        weights.write_bytes(kept[:-1] + b"x")
        longer = longer_from(whole, NUM_STEPS, tmp_path / "longer", artifacts)
        longer.work(tokens=26 * 64)
    finally:
        weights.write_bytes(kept)
    assert "starting over: step-00000024 of the shorter training is damaged" in longer.texts("warning")
    assert min(longer.losses()) == 1
