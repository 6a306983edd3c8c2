"""Going on: checkpoints that stay, longer trainings from shorter ones, averages, and steering a live one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.stages.conftest import NUM_STEPS, Killed, Worker
from workbench.errors import Damaged
from workbench.model.folder import load_model
from workbench.recipe import Pretrain
from workbench.stage_run import StageRun
from workbench.tensor_files import STATE_TENSORS
from workbench.train.checkpoint import TrainingState, restore
from workbench.train.checkpoint_folder import step_folder, steps_in
from workbench.train.optimizers import Optimizers
from workbench.train.parameter_groups import OptimizerSettings

pytestmark = pytest.mark.usefixtures("every_step_is_shown")


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


# -- averages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"ema_decay": 0.8}, {"average_last": 0.5}])
def test_an_average_is_published_and_survives_a_kill(
    tmp_path: Path, artifacts: dict[str, Path], whole: Worker, settings: dict[str, Any]
) -> None:
    digests = []
    for name, kill_at in (("at once", None), ("killed early", 9), ("killed late", 19)):
        (tmp_path / name).mkdir()
        worker = Worker(tmp_path / name, artifacts)
        if kill_at is not None:
            with pytest.raises(Killed):
                worker.work(**settings, kill_at=kill_at)
        worker.work(**settings)
        digests.append(worker.digests())
        assert worker.losses() == whole.losses()  # what is learned is the same
    assert digests[0] == digests[1] == digests[2]
    assert digests[0]["model.safetensors"] != whole.digests()["model.safetensors"]
    last, plain = (step_folder(folder, NUM_STEPS) for folder in (worker.folder, whole.folder))
    newest = load_file(last / STATE_TENSORS)
    for name, parameter in load_model(plain).named_parameters():
        assert torch.equal(newest[f"weights.{name}"], parameter)


def test_only_the_end_is_measured_as_an_average(worker: Worker, whole: Worker) -> None:
    worker.work(average_last=2 / NUM_STEPS)
    measured, plain = (
        [event["val_bpb"] for event in each.events("metric") if "val_bpb" in event]
        for each in (worker, whole)
    )
    assert measured[:-1] == plain[:-1]
    assert measured[-1] != plain[-1]


def test_a_checkpoint_without_its_newest_weights_is_damaged(worker: Worker) -> None:
    worker.work(ema_decay=0.8)
    tensors = step_folder(worker.folder, NUM_STEPS) / STATE_TENSORS
    found = load_file(tensors)
    model = load_model(step_folder(worker.folder, NUM_STEPS))
    optimizer = Optimizers(model, OptimizerSettings(optimizer="muon", learning_rate=1.0))
    found.pop("weights.norm.weight")
    save_file(found, tensors)
    with pytest.raises(Damaged, match="not this model's"):
        restore(tensors.parent.parent, optimizer, model=model)


def test_two_averages_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        Pretrain(tokens=4096, ema_decay=0.9, average_last=0.1)


def test_an_average_of_the_tail_ends_what_a_longer_training_shares(worker: Worker) -> None:
    assert worker.work(**WSD, average_last=0.5)["extendable_at"] == 12


# -- steering ----------------------------------------------------------------------------------------------


def steered_run(
    folder: Path, artifacts: dict[str, Path], ask: dict[int, str], *kills: int, **settings: Any
) -> Worker:
    """A training that was asked for something after a step and killed after others; `kills` count from each start."""
    folder.mkdir()
    worker = Worker(folder, artifacts)
    for kill_at in kills:
        with pytest.raises(Killed):
            worker.work(ask=ask, kill_at=kill_at, **settings)
        ask = {}  # said once; what was decided is in the checkpoint
    worker.work(ask=ask, **settings)
    return worker


def test_decay_now_ends_the_training_exactly(tmp_path: Path, artifacts: dict[str, Path]) -> None:
    ask = {12: "tune decay=now"}
    once = steered_run(tmp_path / "once", artifacts, ask, **WSD)
    killed = steered_run(tmp_path / "killed", artifacts, ask, 14, 2, **WSD)
    assert once.summary["steps"] == killed.summary["steps"] == 15  # a quarter of 12 more
    assert once.digests() == killed.digests()
    rates = once.rates()
    assert rates[12] == rates[13] > rates[14] > rates[15]
    assert 12 in steps_in(once.folder)
    assert "steered at step 12: decay = now; ends at step 15 instead of 24" in once.texts("note")
    other = steered_run(tmp_path / "other", artifacts, {11: "tune decay=now"}, **WSD)
    assert other.digests() != once.digests()


def test_a_decay_equals_that_of_a_training_of_this_length(tmp_path: Path, artifacts: dict[str, Path]) -> None:
    """16 steps of which a quarter decays, or a long one that is told to decay after 13: the first is at the peak."""
    (tmp_path / "short").mkdir()
    short = Worker(tmp_path / "short", artifacts)
    short.work(**WSD | {"tokens": 16 * 64, "warmup_steps": 1})
    how = WSD | {"decay_ratio": 4 / 12, "warmup_steps": 1}
    told = steered_run(tmp_path / "told", artifacts, {12: "tune decay=now"}, **how)
    assert told.summary["steps"] == 16
    assert told.digests() == short.digests()


def test_another_rate_from_a_step_on(tmp_path: Path, artifacts: dict[str, Path]) -> None:
    ask = {6: "tune learning_rate=0.001"}
    once = steered_run(tmp_path / "once", artifacts, ask, learning_rate=0.01, **WSD)
    killed = steered_run(tmp_path / "killed", artifacts, ask, 9, learning_rate=0.01, **WSD)
    assert once.rates()[6] == pytest.approx(0.01)
    assert once.rates()[7] == pytest.approx(0.001)
    assert once.digests() == killed.digests()
    assert once.summary["steering"] == [{"step": 6, "learning_rate": 0.001}]
    assert once.summary["extendable_at"] is None


def test_what_changes_no_result_steers_nothing(worker: Worker, whole: Worker) -> None:
    worker.work(ask={2: "tune sample_every_steps=5", 3: "tune save_every_seconds=3600"})
    assert worker.digests() == whole.digests()
    assert "steering" not in worker.summary
    assert {event["step"] for event in worker.events("sample")} == {5, 10, 15, 20, 24}


def test_evaluations_from_a_step_on(tmp_path: Path, artifacts: dict[str, Path], whole: Worker) -> None:
    """The weights stay what they were; which step is best does not, so it is this run's alone."""
    ask = {9: "tune eval_every_steps=2"}
    once = steered_run(tmp_path / "once", artifacts, ask)
    killed = steered_run(tmp_path / "killed", artifacts, ask, 13, 2)
    assert once.digests() == killed.digests() == whole.digests()
    for worker in (once, killed):
        measured = {event["step"] for event in worker.events("metric") if "val_bpb" in event}
        assert measured == {8, *range(10, NUM_STEPS + 1, 2)}
        assert worker.summary["steering"] == [{"step": 9, "eval_every_steps": 2}]
    assert once.summary["best_step"] == killed.summary["best_step"]
    assert "steered at step 9: eval_every_steps = 2; what comes of it is this run's alone" in once.texts(
        "note"
    )


def test_other_prompts_from_a_step_on(tmp_path: Path, artifacts: dict[str, Path], whole: Worker) -> None:
    ask = {5: 'tune sample_prompts=["the of a", "is it"]', 7: "tune sample_every_steps=6"}
    killed = steered_run(tmp_path / "killed", artifacts, ask, 9, 6)
    assert killed.digests() == whole.digests() and "steering" not in killed.summary
    asked = [(event["step"], event["prompt"]) for event in killed.events("sample") if event["step"] > 7]
    assert set(asked) == {(step, prompt) for step in (12, 18, 24) for prompt in ("the of a", "is it")}
    assert "from step 5 on sample_prompts = 2 prompts" in killed.texts("note")


def test_what_was_tuned_is_told_and_told_again_after_a_kill(
    tmp_path: Path, artifacts: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(StageRun, "tell_tuned", lambda _, values: told.append(dict(values)))
    ask = {3: "tune sample_prompts=one", 4: "tune eval_every_steps=3", 5: "tune eval_every_steps=2"}
    steered_run(tmp_path / "killed", artifacts, ask, 9)
    prompts = {"sample_prompts": ("one",)}
    *told, again = told
    assert told == [{}, prompts, prompts | {"eval_every_steps": 3}, prompts | {"eval_every_steps": 2}]
    assert again == {"sample_prompts": ["one"], "eval_every_steps": 2}


def test_no_prompts_are_the_beginnings_of_documents(worker: Worker) -> None:
    worker.work(ask={2: "tune sample_prompts=one", 14: "tune sample_prompts=[]"}, sample_prompts=("mine",))
    prompts = {event["step"]: event["prompt"] for event in worker.events("sample")}
    assert prompts[12] == "one" and prompts[24] not in ("one", "mine")
    assert "sample_prompts = the beginnings of held-out documents" in worker.texts("note")


@pytest.mark.parametrize(
    ("settings", "ask", "why"),
    [
        ({}, {5: "tune decay=now"}, 'decay=now is for schedule = "wsd"'),
        (WSD | {"tokens": 40 * 64, "warmup_steps": 4}, {2: "tune decay=now"}, "rises or falls by itself"),
        (WSD, {20: "tune decay=now"}, "rises or falls by itself"),
        (WSD, {8: "tune decay=now", 9: "tune decay=now"}, "falls already, since step 8"),
        (WSD, {24: "tune learning_rate=0.1"}, "comes too late"),
        (WSD, {5: "tune seed=3"}, "cannot be tuned"),
        (WSD, {24: "tune eval_every_steps=1"}, "comes too late"),
        (WSD, {5: "tune sample_prompts=[1]"}, "valid string"),
        (WSD, {5: "tune learning_rate=-1"}, "greater than 0"),
    ],
)
def test_what_cannot_be_tuned_is_said(
    worker: Worker, settings: dict[str, Any], ask: dict[int, str], why: str
) -> None:
    worker.work(ask=ask, **settings)
    assert why in worker.texts("warning")


def test_decisions_survive_a_rollback() -> None:
    here = TrainingState(seed=0, environment={}, step=9, steering=[{"step": 8, "decay": "now"}])
    here.roll_back_to(TrainingState(seed=0, environment={}, step=4))
    assert here.steering == [{"step": 8, "decay": "now"}]
