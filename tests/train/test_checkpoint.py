"""Resume is bit for bit, every saved field matters, a full disk or a poisoned weight leaves nothing behind."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError

from workbench.data.loader import Batch
from workbench.errors import Damaged, NoSpace, TrainingDiverged
from workbench.model.folder import load_model
from workbench.model.transformer import Decoder
from workbench.tensor_files import STATE_NUMBERS, STATE_TENSORS
from workbench.tokenizer import Tokenizer
from workbench.train import snapshot as module
from workbench.train.checkpoint import SaveClock, TrainingState, restore, save_checkpoint
from workbench.train.checkpoint_folder import Found, latest_good, steps_in, write_manifest
from workbench.train.loop import train
from workbench.train.losses import LossSum, next_token_loss
from workbench.train.optimizers import Optimizers
from workbench.train.parameter_groups import OptimizerSettings, kind_of
from workbench.train.schedule import make_schedule

NUM_STEPS = 9
SETTINGS = OptimizerSettings(
    optimizer="muon", learning_rate=0.01, matrix_learning_rate=0.02, weight_decay=0.1
)


def with_dropout(model: Decoder, batch: Batch) -> LossSum:
    """Draws from torch's global generator, so that the random state matters."""
    loss = next_token_loss(model, batch)
    return LossSum(total=loss.total * (1 + 0.1 * torch.rand(())), count=loss.count)


class Killed(BaseException):
    """No `except Exception` sees it, like a kill."""


class Training:
    """A small training that saves at chosen steps and can be killed and started again."""

    def __init__(
        self,
        folder: Path,
        tokenizer: Tokenizer,
        make_model: Callable,
        make_batch: Callable,
        settings: OptimizerSettings = SETTINGS,
    ) -> None:
        self.folder, self.tokenizer = folder, tokenizer
        self.make_model, self.make_batch = make_model, make_batch
        self.settings = settings

    def start(self, found: Found | None) -> tuple[Decoder, Optimizers, TrainingState]:
        model = self.make_model() if found is None else load_model(found.folder)
        optimizer = Optimizers(model, self.settings)
        if found is not None:
            return model, optimizer, restore(found.folder, optimizer)
        torch.manual_seed(5)
        return model, optimizer, TrainingState(seed=100, environment={"threads": 1})

    def run(self, *, save_at: set[int], kill_at: int = NUM_STEPS) -> str:
        """The digest of everything after the last step, or after `kill_at`."""
        model, optimizer, state = self.start(latest_good(self.folder))
        batches: Iterator[list[Batch]] = (
            [self.make_batch(state.seed + step)] for step in itertools.count(state.step)
        )
        for report in train(
            model,
            batches,
            optimizer,
            loss_fn=with_dropout,
            learning_rate_at=make_schedule("cosine", num_steps=NUM_STEPS, warmup_steps=2),
            num_steps=NUM_STEPS,
            start_step=state.step,
            guard=state.guard,
        ):
            state.count(dataclasses.replace(report, seconds=1.0))  # a clock that two runs agree on
            state.note_metric(abs(report.step - 3))
            if report.step in save_at:
                save_checkpoint(self.folder, model, optimizer, state, tokenizer=self.tokenizer)
            if report.step == kill_at:
                break
        return digest(model, optimizer, state)


def digest(model: Decoder, optimizer: Optimizers, state: TrainingState) -> str:
    content = hashlib.blake2b(repr(state).encode())
    for name, tensor in sorted((model.state_dict() | optimizer.state_tensors()).items()):
        content.update(name.encode() + tensor.detach().numpy().tobytes())
    content.update(torch.get_rng_state().numpy().tobytes())
    return content.hexdigest()


@pytest.fixture
def training(tmp_path: Path, tokenizer: Tokenizer, make_model: Callable, make_batch: Callable) -> Training:
    return Training(tmp_path, tokenizer, make_model, make_batch)


@pytest.fixture
def uninterrupted(training: Training, tmp_path_factory: pytest.TempPathFactory) -> str:
    return Training(
        tmp_path_factory.mktemp("whole"), training.tokenizer, training.make_model, training.make_batch
    ).run(save_at=set())


@pytest.mark.parametrize(
    ("save_at", "kill_at"),
    [({1}, 1), ({3}, 5), ({2, 4, 6}, 6), ({2, 4, 6}, 7), ({NUM_STEPS}, NUM_STEPS), (set(), 4)],
)
def test_killed_and_resumed_is_bit_for_bit_the_uninterrupted(
    training: Training, uninterrupted: str, save_at: set[int], kill_at: int
) -> None:
    assert training.run(save_at=save_at, kill_at=kill_at) != uninterrupted or kill_at == NUM_STEPS
    assert training.run(save_at=set()) == uninterrupted


def test_killed_again_and_again(training: Training, uninterrupted: str) -> None:
    for kill_at in range(1, NUM_STEPS):
        training.run(save_at={kill_at}, kill_at=kill_at)
    assert training.run(save_at=set()) == uninterrupted


def test_the_loaded_weights_are_not_the_file(training: Training, uninterrupted: str) -> None:
    """Training on must not write through a memory map into the checkpoint it came from."""
    training.run(save_at={4}, kill_at=4)
    training.run(save_at=set())
    assert latest_good(training.folder) is not None
    assert training.run(save_at=set()) == uninterrupted


# -- every field matters ------------------------------------------------------------------------------------


def fields() -> list[str]:
    return list(TrainingState.__dataclass_fields__)


def change_number(value: Any) -> Any:
    if isinstance(value, list):
        return [*value, {"step": 1, "decay": "now"}]
    return {"threads": 2} if isinstance(value, dict) else value + 1


@pytest.mark.parametrize("field", fields())
def test_a_number_that_is_dropped_fails_and_one_that_is_changed_shows(
    training: Training, uninterrupted: str, field: str
) -> None:
    training.run(save_at={4}, kill_at=4)
    found = latest_good(training.folder)
    assert found is not None
    path = found.folder / STATE_NUMBERS
    numbers = json.loads(path.read_text())

    path.write_text(json.dumps({name: value for name, value in numbers.items() if name != field}))
    write_manifest(found.folder, step=4)
    with pytest.raises(Damaged, match="fields"):
        training.run(save_at=set())

    path.write_text(json.dumps({**numbers, field: change_number(numbers[field])}))
    write_manifest(found.folder, step=4)
    assert training.run(save_at=set()) != uninterrupted


@pytest.mark.parametrize(
    ("optimizer", "quantities"),
    [
        ("muon", {"momentum", "exp_avg", "exp_avg_sq", "step", "cpu"}),
        ("adamw", {"exp_avg", "exp_avg_sq", "step", "cpu"}),
        ("adafactor", {"row_var", "col_var", "variance", "step", "cpu"}),
    ],
)
def test_a_tensor_that_is_dropped_fails_and_one_that_is_reset_shows(
    training: Training, tmp_path: Path, optimizer: Any, quantities: set[str]
) -> None:
    """One of every quantity of every kind of parameter: two steps later the training is another.

    (That none at all can be left out of an optimizer's state: test_adaptive.py.)
    """
    training.settings = dataclasses.replace(SETTINGS, optimizer=optimizer)
    training.run(save_at={4}, kill_at=4)
    found = latest_good(training.folder)
    assert found is not None
    path = found.folder / STATE_TENSORS
    tensors = safetensors.torch.load_file(path)
    tensors.pop("random.cuda", None)
    assert {name.rpartition(".")[2] for name in tensors} == quantities
    trained = dict(training.make_model().named_parameters())
    assert {name for name in trained if any(f".{name}." in key for key in tensors)} == trained.keys()
    named = {key: name for name in trained for key in tensors if f".{name}." in key}
    one_of_each = {
        (key.rpartition(".")[2], kind_of(named[key], trained[named[key]]) if key in named else None): key
        for key in tensors
    }
    assert len(one_of_each) == 1 + (7 if optimizer == "muon" else 8 if optimizer == "adafactor" else 9)
    uninterrupted = training.run(save_at=set(), kill_at=6)

    for name in one_of_each.values():
        safetensors.torch.save_file({key: value for key, value in tensors.items() if key != name}, path)
        write_manifest(found.folder, step=4)
        with pytest.raises(Damaged, match=re.escape(name)):
            training.run(save_at=set())
        if name == "random.cpu":
            torch.manual_seed(6)
            reset = torch.get_rng_state()
        else:
            reset = torch.zeros_like(tensors[name])
        safetensors.torch.save_file(tensors | {name: reset}, path)
        write_manifest(found.folder, step=4)
        assert training.run(save_at=set(), kill_at=6) != uninterrupted, name


def test_a_state_that_is_not_safetensors_is_damaged(training: Training) -> None:
    training.run(save_at={4}, kill_at=4)
    found = latest_good(training.folder)
    assert found is not None
    (found.folder / STATE_TENSORS).write_bytes(b"not this")
    write_manifest(found.folder, step=4)
    with pytest.raises(Damaged, match=r"state\.safetensors"):
        training.run(save_at=set())


# -- saving -------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_a_whole_folder_with_ordinary_modes(training: Training) -> None:
    training.run(save_at={4}, kill_at=4)
    (checkpoint,) = training.folder.iterdir()
    files = {path.relative_to(checkpoint).as_posix() for path in checkpoint.rglob("*") if path.is_file()}
    assert files >= {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json", "chat_template.jinja", STATE_TENSORS, STATE_NUMBERS, "manifest.json",
    }  # fmt: skip
    umask = os.umask(0)
    os.umask(umask)
    for name in files:
        assert (checkpoint / name).stat().st_mode & 0o777 == 0o666 & ~umask, name
    assert Tokenizer.load(checkpoint).vocab_size == training.tokenizer.vocab_size


def test_old_checkpoints_go_but_the_best_stays(training: Training) -> None:
    model, optimizer, state = training.start(None)
    for state.step, metric in enumerate([3.0, 1.0, 2.0, 2.5, math.nan], start=1):
        assert state.note_metric(metric) == (metric in (3.0, 1.0))
        save_checkpoint(training.folder, model, optimizer, state, tokenizer=training.tokenizer, keep_last=2)
    assert steps_in(training.folder) == [2, 4, 5]


def test_the_same_step_can_be_saved_again(training: Training) -> None:
    model, optimizer, state = training.start(None)
    for _ in range(2):
        save_checkpoint(training.folder, model, optimizer, state, tokenizer=training.tokenizer)
    assert steps_in(training.folder) == [0]


def test_a_full_disk_is_seen_before_anything_is_written(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizer, state = training.start(None)
    monkeypatch.setattr(module, "free_bytes", lambda folder: 1000)
    with pytest.raises(NoSpace, match=r"needs .*kB"):
        save_checkpoint(training.folder, model, optimizer, state, tokenizer=training.tokenizer)
    assert list(training.folder.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(28, "No space left"), RuntimeError("unexpected pos 576 vs 534")])
def test_a_disk_that_fills_while_saving_leaves_the_old_checkpoint_and_nothing_half(
    training: Training, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Libraries report a full disk in their own words, so the free space decides."""
    training.run(save_at={4}, kill_at=4)
    model, optimizer, state = training.start(None)
    free = iter([10**9, 10])
    monkeypatch.setattr(module, "free_bytes", lambda folder: next(free))

    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(safetensors.torch, "save_file", fail)
    with pytest.raises(NoSpace, match="free some space"):
        save_checkpoint(training.folder, model, optimizer, state, tokenizer=training.tokenizer)
    assert [path.name for path in training.folder.iterdir()] == ["step-00000004"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [(SafetensorError("Disk quota exceeded (os error 122)"), NoSpace), (Killed(), Killed)],
)
def test_whatever_breaks_a_save_leaves_nothing_half(
    training: Training, monkeypatch: pytest.MonkeyPatch, error: BaseException, raised: type[BaseException]
) -> None:
    model, optimizer, state = training.start(None)

    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(safetensors.torch, "save_file", fail)
    with pytest.raises(raised):
        save_checkpoint(training.folder, model, optimizer, state, tokenizer=training.tokenizer)
    assert list(training.folder.iterdir()) == []


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_what_is_not_finite_is_never_saved(training: Training, poison: float) -> None:
    model, optimizer, state = training.start(None)
    tensors = {**dict(model.named_parameters()), **optimizer.state_tensors()}
    for name in ("norm.weight", "adamw.norm.weight.exp_avg", "muon.layers.0.mlp.up_proj.weight.momentum"):
        kept = tensors[name].detach().clone()
        with torch.no_grad():
            tensors[name].view(-1)[0] = poison
        with pytest.raises(TrainingDiverged, match=name):
            save_checkpoint(training.folder, model, optimizer, state, tokenizer=training.tokenizer)
        with torch.no_grad():
            tensors[name].copy_(kept)
    assert list(training.folder.iterdir()) == []


def test_the_clock_waits_and_stretches_when_saving_is_dear() -> None:
    now = -100.0
    clock = SaveClock(30, now=lambda: now)
    for wait in (2, 4, 8, 16, 30):  # sooner at first
        now += wait - 1
        assert not clock.is_due()
        now += 1
        assert clock.is_due()
        with clock.saving():
            pass
    clock._saved_at = now = 0.0
    now = 29.0
    assert not clock.is_due()
    now = 30.0
    assert clock.is_due()
    with clock.saving():
        now += 1.5  # 2 % of 75 s
    now = 31.5 + 74
    assert not clock.is_due()
    now = 31.5 + 75
    assert clock.is_due()
    with clock.saving():
        now += 0.1
    now += 30
    assert clock.is_due()


@pytest.mark.parametrize("core_share", [1.0, 0.25])
def test_what_the_writing_thread_computes_is_paid_for_and_what_it_waits_for_is_not(core_share: float) -> None:
    now = 0.0
    clock = SaveClock(30, now=lambda: now, worked=lambda: core_share * now)
    clock._saves = 99

    def save(*, held_up: float, **written: float) -> None:
        nonlocal now
        with clock.saving():
            now += held_up
        clock.written(**written)

    def wait() -> float:
        """How long after the last one the next is due."""
        nonlocal now
        saved_at, asked = now, 0
        while not clock.is_due():
            asked += 1
            now = saved_at + asked
        return asked

    save(held_up=0.0, seconds=9.0, computed_seconds=8.0)
    assert wait() == 400 / core_share  # 2 %
    save(held_up=2.0, seconds=9.0, computed_seconds=8.0)
    assert wait() == 400 / core_share + 100
    save(held_up=0.0, seconds=60.0, computed_seconds=0.05)
    assert wait() == 120  # the disk is busy for half of the time, training for none of it
    save(held_up=0.0, seconds=3.0, computed_seconds=0.0)
    assert wait() == 30
    with clock.saving():  # one that had to wait 1 s for the one before, which computed 2 s
        now += 1.0
        clock.written(seconds=3.0, computed_seconds=2.0)
    clock.written(seconds=3.0, computed_seconds=2.0)
    assert wait() == 200 / core_share + 50
