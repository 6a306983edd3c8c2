"""The pretrain stage when something goes wrong: batches that diverge, checkpoints that are damaged."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.stages.conftest import NUM_STEPS, SETTINGS, Killed, Worker, whoever_writes
from workbench.errors import Damaged, Stopped, TrainingDiverged, WorkbenchError
from workbench.recipe import Pretrain
from workbench.stages import checkpoints, course, pretrain
from workbench.stages.pretrain import shape_of
from workbench.tokenizer import Tokenizer
from workbench.train.checkpoint_folder import steps_in
from workbench.train.losses import next_token_loss
from workbench.training_step import SHARE_OF_FREE_MEMORY, least_bytes, step_of

pytestmark = pytest.mark.usefixtures("every_step_is_shown")


def poison(step_of: set[int], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make the batches of these positions poisonous; gives the list of positions learned from."""
    learned: list[int] = []
    positions: dict[bytes, int] = {}
    true_batches = pretrain.batches

    def batches(*arguments: Any, start_step: int, **more: Any) -> Iterator[Any]:
        for position, batch in enumerate(
            true_batches(*arguments, start_step=start_step, **more), start=start_step
        ):
            positions[batch.inputs_BT.numpy().tobytes()] = position
            yield batch

    def loss(model: Any, batch: Any, **more: Any) -> Any:
        learned.append(positions[batch.inputs_BT.numpy().tobytes()])
        whole = next_token_loss(model, batch, **more)
        return dataclasses.replace(whole, total=whole.total * math.nan) if learned[-1] in step_of else whole

    monkeypatch.setattr(pretrain, "batches", batches)
    monkeypatch.setattr(pretrain, "next_token_loss", loss)
    return learned


def test_one_bad_batch_is_left_out(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    poison({5}, monkeypatch)
    assert worker.work()["skipped_steps"] == 1
    assert "step 6 skipped: the loss is nan" in worker.texts("warning")


@whoever_writes
@pytest.mark.usefixtures("saving")
def test_three_bad_batches_in_a_row_are_passed_over_from_the_last_checkpoint(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = poison({10, 11, 12}, monkeypatch)
    summary = worker.work()
    assert summary["rollbacks"] == 1 and summary["steps"] == NUM_STEPS
    # steps 0 to 12, of which 8 and 9 were good; back at step 8, the next batch is 13
    assert learned == list(range(NUM_STEPS + 5))
    assert "went back from step 13 to the checkpoint of step 8" in worker.texts("warning")
    assert "batches 8 to 12 are passed over" in worker.texts("warning")
    assert all(math.isfinite(loss) for step, loss in worker.losses().items() if step > 13)


@whoever_writes
@pytest.mark.usefixtures("saving")
def test_killed_after_a_rollback_it_goes_on_where_it_was(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = poison({10, 11, 12}, monkeypatch)
    with pytest.raises(Killed):
        worker.work(kill_at=13 + 9)  # the look after step 17, with a checkpoint at 16
    before = learned[-1]
    summary = worker.work()
    assert before == 16 + 5 and learned[learned.index(before) + 1] == 16 + 5
    assert summary["rollbacks"] == 1 and learned[-1] == NUM_STEPS + 4


def test_what_diverges_again_and_again_ends_with_its_batches_named(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(set(range(10, 100)), monkeypatch)
    with pytest.raises(TrainingDiverged, match="after 3 rollbacks; batches") as caught:
        worker.work()
    assert "the loss is nan" in str(caught.value)
    assert steps_in(worker.folder) == [8]


@whoever_writes
@pytest.mark.usefixtures("saving")
def test_a_moment_that_is_not_finite_is_found_when_saving_and_rolled_back(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_snapshot, tried = checkpoints.take_snapshot, []

    def take(model: Any, optimizer: Any, state: Any, **more: Any) -> Any:
        tried.append(state.step)
        if tried == [8, 16]:
            next(iter(optimizer.state_tensors().values())).view(-1)[0] = math.inf
        return true_snapshot(model, optimizer, state, **more)

    monkeypatch.setattr(checkpoints, "take_snapshot", take)
    assert worker.work()["rollbacks"] == 1
    assert tried == [8, 16, 16, 24]
    assert "is not finite, so no checkpoint was written: went back from step" in worker.texts("warning")
    assert [event["step"] for event in worker.events("checkpoint")] == [8, 16, 24]


def test_a_rollback_without_a_checkpoint_ends(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    poison({2, 3, 4}, monkeypatch)
    with pytest.raises(TrainingDiverged, match=r"step 5: the loss is nan.*; batches 0 to 4"):
        worker.work()


def test_a_damaged_newest_checkpoint_costs_the_way_from_the_one_before(worker: Worker, whole: Worker) -> None:
    with pytest.raises(Stopped):
        worker.work(ask={3: "save", 5: "stop"})
    weights = worker.folder / "step-00000005" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    worker.work()
    assert "damaged checkpoint set aside: step-00000005: model.safetensors" in worker.texts("warning")
    assert "resuming at step 3: exact" in worker.texts("note")
    assert worker.digests() == whole.digests()


def test_nothing_but_damaged_checkpoints_is_never_a_new_start(worker: Worker) -> None:
    with pytest.raises(Stopped):
        worker.work(ask={5: "stop"})
    (worker.folder / "step-00000005" / "config.json").unlink()
    with pytest.raises(Damaged, match="step-00000005"):
        worker.work()


def run_out_of_memory_in(step: int, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the device be full in that step, once; every step has one pass here."""
    passes = 0

    def loss(model: Any, batch: Any, **more: Any) -> Any:
        nonlocal passes
        passes += 1
        if passes == step:
            raise error
        return next_token_loss(model, batch, **more)

    monkeypatch.setattr(pretrain, "next_token_loss", loss)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore of it"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        MemoryError(),
    ],
    ids=["a GPU", "torch on a CPU", "Python"],
)
def test_a_full_device_ends_the_training_with_the_cut_that_fits(
    worker: Worker, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_out_of_memory_in(7, error, monkeypatch)
    with pytest.raises(WorkbenchError) as caught:
        worker.work(ask={4: "save"})
    said = str(caught.value)
    assert said.startswith("out of memory after step 6 with 64 tokens at once, which were reckoned to take ")
    assert re.search(r"; set \[pretrain\] micro_batch_tokens = 32, reckoned to take \d+ MB", said)
    assert re.search(r"; with --from run/pretrain@[4-6] it goes on from there$", said) and "\n" not in said
    assert worker.work(micro_batch_tokens=32)["steps"] == NUM_STEPS, "a cut that the recipe takes"


def test_a_device_that_is_full_with_a_single_row_needs_a_smaller_model(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_out_of_memory_in(1, torch.OutOfMemoryError("CUDA out of memory."), monkeypatch)
    with pytest.raises(WorkbenchError) as caught:
        worker.work(micro_batch_tokens=16)
    assert str(caught.value).endswith(
        '; choose a smaller [model] size, or [pretrain] activation_checkpointing = "layer"'
    )


def test_half_the_cut_is_not_enough_where_the_device_is_smaller_still(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the same arithmetic as before the first step: it may be a neighbour who takes the memory."""
    config, settings = shape_of(worker.inputs, Tokenizer.load(worker.inputs.tokenizer)), Pretrain(**SETTINGS)
    row = least_bytes(step_of(settings, config, at_once=16))
    monkeypatch.setattr(course, "device_memory_bytes", lambda machine: round(row / SHARE_OF_FREE_MEMORY) + 9)
    run_out_of_memory_in(1, torch.OutOfMemoryError("CUDA out of memory."), monkeypatch)
    with pytest.raises(WorkbenchError, match="micro_batch_tokens = 16,"):
        worker.work(micro_batch_tokens=64)


def test_another_error_in_a_step_is_nobodys_memory(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    run_out_of_memory_in(2, RuntimeError("a size does not fit"), monkeypatch)
    with pytest.raises(RuntimeError, match="a size does not fit"):
        worker.work()
