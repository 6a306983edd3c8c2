"""Checkpoints that a thread writes while steps are taken: what is written, who waits, and where failures come out."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from workbench import stage_run
from workbench.errors import DiskFull, NoSpace, TrainingDiverged
from workbench.events import EventWriter, read_events
from workbench.model.initialise import initialise
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.recipe import Pretrain
from workbench.runs import Run
from workbench.stage_run import StageRun
from workbench.stages import checkpoints
from workbench.stages.checkpoints import Checkpoints
from workbench.tokenizer import Tokenizer, train_tokenizer
from workbench.train.checkpoint import SaveClock, TrainingState
from workbench.train.checkpoint_folder import steps_in
from workbench.train.optimizers import Optimizers
from workbench.train.parameter_groups import OptimizerSettings
from workbench.train.snapshot import Saved, Snapshot, write_snapshot

TINY = ModelConfig(
    vocab_size=262,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    intermediate_size=16,
    max_position_embeddings=16,
    head_dim=8,
)


class Disk:
    """What writes snapshots, and what it meets: a gate that holds it, and errors, one a checkpoint."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.errors: list[Exception] = []
        self.threads: list[bool] = []
        self.snapshots: list[Snapshot] = []

    def write(self, folder: Path, snapshot: Snapshot, **more: Any) -> Saved:
        self.threads.append(threading.current_thread() is not threading.main_thread())
        self.snapshots.append(snapshot)
        assert self.gate.wait(60)
        if self.errors:
            raise self.errors.pop(0)
        return write_snapshot(folder, snapshot, **more)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        self.gate.clear()
        yield
        self.gate.set()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(checkpoints, "write_snapshot", disk.write)
    monkeypatch.setattr(checkpoints, "WORTH_A_THREAD_SECONDS", -1.0)
    return disk


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["some words of some text"], vocab_size=TINY.vocab_size, max_token_length=8)


class Training:
    """A model that moves by one a step, its checkpoints, and what was told of them."""

    def __init__(self, base: Path, tokenizer: Tokenizer) -> None:
        run = Run(base / "run")
        run.path.mkdir()
        folder = run.path / "building"
        folder.mkdir()
        self.run = StageRun(run, stage="pretrain", folder=folder, events=EventWriter(run.events_path))
        self.events_path = run.events_path
        self.saved = Checkpoints(self.run, Pretrain(tokens=4096, save_every_seconds=30), tokenizer=tokenizer)
        self.model = initialise(Decoder(TINY), seed=0)
        self.optimizer = Optimizers(self.model, OptimizerSettings(optimizer="adamw", learning_rate=0.1))
        self.state = TrainingState(seed=0, environment={})

    def step(self) -> None:
        self.state.step += 1
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.fill_(float(self.state.step))

    def save(self, *, durable: bool = False, **more: Any) -> None:
        self.saved.save(self.model, self.optimizer, self.state, durable=durable, **more)

    def told(self, kind: str = "checkpoint") -> list[Any]:
        events = [event for event in read_events(self.events_path) if event["kind"] == kind]
        return [event.get("step", event.get("text")) for event in events]

    def wait(self) -> None:
        """Until the thread is done with what it was given."""
        if self.saved._in_flight is not None:
            wait([self.saved._in_flight])

    def weights(self, step: int) -> set[float]:
        stored = load_file(self.run.folder / f"step-{step:08d}" / "model.safetensors")
        return {float(number) for tensor in stored.values() for number in tensor.flatten()}


@pytest.fixture
def training(tmp_path: Path, tokenizer: Tokenizer) -> Iterator[Training]:
    training = Training(tmp_path, tokenizer)
    yield training
    training.run.end_background()


def test_steps_go_on_while_a_thread_writes_and_it_is_told_once_it_is_there(
    training: Training, disk: Disk
) -> None:
    training.step()
    with disk.held():
        training.save()
        training.step()
        assert not training.saved.is_due()
        assert training.told() == steps_in(training.run.folder) == []
    training.wait()
    assert training.told() == []  # by the thread that trains, between two steps
    assert not training.saved.is_due()
    assert training.told() == steps_in(training.run.folder) == [1]
    assert disk.threads == [True]


def test_what_is_written_is_the_state_that_was_saved(training: Training, disk: Disk) -> None:
    training.step()
    with disk.held():
        training.save()
        training.step()
        training.state.best_step = 2
    training.save(durable=True)
    assert training.weights(1) == {1.0} and training.weights(2) == {2.0}
    found = [event for event in read_events(training.events_path) if event["kind"] == "checkpoint"]
    assert [event["best"] for event in found] == [False, True]


def test_one_is_written_at_a_time_and_what_must_be_durable_waits(training: Training, disk: Disk) -> None:
    training.step()
    disk.gate.clear()
    training.save()
    training.step()
    released = threading.Timer(0, disk.gate.set)
    released.start()
    training.save(durable=True)
    released.join()
    assert training.told() == steps_in(training.run.folder) == [1, 2]
    assert disk.threads == [True, False]


def test_the_memory_of_the_last_copy_is_used_again(training: Training, disk: Disk) -> None:
    for _ in range(2):
        training.step()
        training.save()
        training.wait()
    training.saved.abandon()
    places = [
        {name: tensor.data_ptr() for name, tensor in {**each.weights, **each.tensors}.items()}
        for each in disk.snapshots
    ]
    assert places[0] == places[1]
    live = {parameter.data_ptr() for parameter in training.model.parameters()}
    assert not live & set(places[0].values())
    assert training.weights(1) == {1.0} and training.weights(2) == {2.0}


def test_tensors_that_no_step_changes_are_not_copied(training: Training, disk: Disk) -> None:
    training.step()
    training.save(own_tensors=True)
    training.wait()
    live = {parameter.data_ptr() for parameter in training.model.parameters()}
    assert {tensor.data_ptr() for tensor in disk.snapshots[0].weights.values()} == live


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (NoSpace("the disk is broken"), NoSpace),
        (TrainingDiverged("x is not finite"), TrainingDiverged),
        (RuntimeError("a bug"), RuntimeError),
    ],
)
def test_what_stops_the_thread_is_raised_at_the_next_step(
    training: Training, disk: Disk, error: Exception, raised: type[Exception]
) -> None:
    disk.errors = [error]
    training.step()
    training.save()
    training.wait()
    training.step()
    assert training.saved.is_due()
    with pytest.raises(raised, match=str(error)):
        training.save()
    assert not training.saved.is_due()  # once is enough
    assert training.told() == []


def test_an_error_of_the_disk_is_named_by_the_thread_too(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "WORTH_A_THREAD_SECONDS", -1.0)
    training.step()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(errno.EIO, "x")))
        training.save()
        training.wait()
    with pytest.raises(NoSpace, match=r"step-00000001: cannot write: Input/output error; see to the disk"):
        training.save()
    assert list(training.run.folder.iterdir()) == []


def test_while_the_disk_is_full_the_run_pauses_and_then_saves_the_state_of_now(
    training: Training, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_run, "ROOM_POLL_SECONDS", 0.0)
    monkeypatch.setattr(stage_run, "FIRST_RETRY_SECONDS", 1e-6)
    disk.errors = [DiskFull("the disk is full"), DiskFull("the disk is full")]
    training.step()
    training.save()
    training.wait()
    training.step()
    assert training.saved.is_due()
    training.save()
    assert disk.threads == [True, False, False]
    assert training.told() == steps_in(training.run.folder) == [2]
    (warning,) = training.told("warning")
    assert warning.startswith("paused: the disk is full")
    assert training.told("note") == ["there is room again: going on"]


def test_a_training_that_ends_otherwise_tells_what_could_not_be_written(
    training: Training, disk: Disk
) -> None:
    disk.errors = [NoSpace("the disk is broken")]
    training.step()
    training.save()
    training.saved.abandon()
    assert training.told("warning") == ["a checkpoint was not written: the disk is broken"]
    training.saved.abandon()
    assert len(training.told("warning")) == 1


def test_without_memory_for_a_copy_training_waits_and_says_so_once(
    training: Training, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "available_bytes", lambda: 1000)
    for _ in range(2):
        training.step()
        training.save()
    assert disk.threads == [False, False]
    assert training.told() == [1, 2]
    (note,) = training.told("note")
    assert "does not fit into the 1 kB of memory that are free" in note


def test_what_is_written_in_no_time_is_written_at_once(
    training: Training, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 1.0
    monkeypatch.setattr(checkpoints.time, "perf_counter", lambda: seconds)
    monkeypatch.setattr(checkpoints, "WORTH_A_THREAD_SECONDS", 0.5)
    write = disk.write

    def slow(*arguments: Any, **more: Any) -> Saved:
        nonlocal seconds
        seconds += 1
        return write(*arguments, **more)

    training.save()  # thought to be quick, by its bytes
    monkeypatch.setattr(checkpoints, "write_snapshot", slow)
    training.save()  # was quick
    training.save()  # was slow
    training.wait()
    assert disk.threads == [False, False, True]


def test_the_clock_counts_what_training_waits_for(
    training: Training, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    clock: Callable[[], float] = lambda: now  # noqa: E731
    training.saved._clock = SaveClock(30, now=clock, worked=clock)
    write = disk.write

    def slow(*arguments: Any, **more: Any) -> Saved:
        nonlocal now
        saved = write(*arguments, **more)
        now += 100
        return saved

    monkeypatch.setattr(checkpoints, "write_snapshot", slow)
    for save, due_after in ((training.save, 30), (lambda: training.save(durable=True), 100 / 0.02)):
        training.saved._clock._saves = 99
        with disk.held() if save == training.save else contextlib.nullcontext():
            save()
        training.wait()
        now = training.saved._clock._saved_at + due_after - 1
        assert not training.saved.is_due()
        now += 1
        assert training.saved.is_due()
    assert math.isclose(training.saved._clock._held_up, 100)


@pytest.mark.parametrize(("spare_core", "due_after"), [(False, 8 / 0.02), (True, 2 * 60)])
def test_the_clock_counts_what_the_writing_thread_computes_unless_it_has_a_core_of_its_own(
    training: Training, disk: Disk, monkeypatch: pytest.MonkeyPatch, spare_core: bool, due_after: float
) -> None:
    now = 0.0
    clock = training.saved._clock = SaveClock(30, now=lambda: now, worked=lambda: now)
    clock._saves = 99
    training.saved._spare_core = spare_core
    spent = {"seconds": 0.0, "computed": 0.0}
    write = disk.write

    def slow(*arguments: Any, **more: Any) -> Saved:
        spent["seconds"] += 60
        spent["computed"] += 8
        return write(*arguments, **more)

    monkeypatch.setattr(checkpoints, "write_snapshot", slow)
    monkeypatch.setattr(checkpoints.time, "perf_counter", lambda: spent["seconds"])
    monkeypatch.setattr(checkpoints.time, "thread_time", lambda: spent["computed"])
    training.save()
    training.wait()
    now = due_after - 1
    assert not training.saved.is_due()
    now = due_after
    assert training.saved.is_due()
    training.save(durable=True)  # by the thread that trains: it is held up, and that is all
    assert clock._computed == 0.0
