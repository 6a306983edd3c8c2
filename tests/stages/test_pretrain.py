"""The pretrain stage end to end on a tiny corpus: what it says, leaves, survives, and its golden losses."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.stages.conftest import NUM_STEPS, Killed, Worker, whoever_writes
from workbench.data.corpus_folder import heldout_writer
from workbench.errors import Stopped
from workbench.recipe_model import Model
from workbench.runs import STOPS
from workbench.stage_run import StageInputs
from workbench.stages import checkpoints, micro_batch, pretrain
from workbench.stages.course import Course
from workbench.tokenizer import Tokenizer
from workbench.train import working_model
from workbench.train.checkpoint_folder import finished_checkpoint, steps_in
from workbench.train.losses import next_token_loss
from workbench.training_time import PartSeconds, StepsLeft, seconds_of

pytestmark = pytest.mark.usefixtures("every_step_is_shown")

GOLDEN = Path(__file__).parents[1] / "golden" / "pretrain_losses.json"


def test_losses_are_the_golden_ones(whole: Worker) -> None:
    """A change of these numbers changes what every recipe gives: mean it, and say so in recipes/LOG.md.

    To write them anew: delete the file, run this test twice.
    """
    losses = [whole.losses()[step] for step in range(1, NUM_STEPS + 1)]
    if not GOLDEN.exists():
        GOLDEN.write_text(json.dumps({"float32, 1 thread": losses}, indent=1) + "\n")
        pytest.fail("there were no golden losses; they were written now")
    golden = json.loads(GOLDEN.read_text())["float32, 1 thread"]
    assert losses == pytest.approx(golden, abs=1e-4)


def test_the_wait_for_data_is_told_and_its_thread_ends(whole: Worker) -> None:
    shares = [event["data_wait_share"] for event in whole.events("metric") if "loss" in event]
    assert len(shares) == NUM_STEPS and all(0 <= share < 1 for share in shares)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_it_learns_and_says_so(whole: Worker) -> None:
    losses = whole.losses()
    assert losses[1] == pytest.approx(math.log(290), rel=0.02)
    assert losses[NUM_STEPS] < 0.75 * losses[1]
    metrics = whole.events("metric")
    assert {
        "step",
        "loss",
        "learning_rate",
        "grad_norm",
        "tokens",
        "tokens_per_second",
        "mfu",
        "seconds",
    } <= metrics[0].keys()
    assert [event["step"] for event in metrics if "val_bpb" in event] == [8, 16, 24]
    bits = [event["val_bpb"] for event in metrics if "val_bpb" in event]
    assert bits[-1] < bits[0] < 8
    assert [event["step"] for event in whole.events("sample")] == [12, 12, 24, 24]


def test_it_says_what_computes_and_after_twenty_steps_how_long_the_rest_takes(whole: Worker) -> None:
    notes = whole.events("note")
    (environment,) = [event["environment"] for event in notes if "environment" in event]
    assert environment["dtype"] == "float32" and environment["threads"] == 1
    assert "float32 on 1 CPU thread, muon" in whole.texts("note")
    (told,) = [event for event in notes if "seconds_left" in event]
    parts = PartSeconds(**told["parts"])
    assert min(parts.step, parts.evaluation, parts.samples, parts.save) > 0
    left = StepsLeft(
        done=20,
        last=NUM_STEPS,
        full_steps=4,
        eval_every_steps=8,
        sample_every_steps=12,
        save_every_seconds=10,
    )
    assert told["seconds_left"] == pytest.approx(seconds_of(parts, left), abs=1e-2)


def test_it_tells_what_it_cost(whole: Worker) -> None:
    cost = whole.cost
    assert cost["steps"] == NUM_STEPS and cost["tokens"] == whole.summary["tokens"]
    assert cost["evaluations"] == 3 and cost["samples"] == 2 and cost["saves"] >= 2
    assert cost["step_seconds_min"] <= cost["step_seconds"] <= cost["step_seconds_max"]
    assert cost["save_seconds"] > 0
    evaluated = 3 * cost["evaluation_seconds"] + 2 * cost["samples_seconds"]
    assert 0 < evaluated < cost["between_seconds"] + 0.002  # and saved; told in milliseconds
    assert cost["training_seconds"] + cost["between_seconds"] < whole.seconds


def test_what_it_leaves(whole: Worker) -> None:
    best = whole.summary["best_step"]
    assert json.loads((whole.folder / "summary.json").read_text()) == {"last": NUM_STEPS, "best": best}
    assert whole.summary["steps"] == NUM_STEPS
    assert NUM_STEPS in steps_in(whole.folder) and best in steps_in(whole.folder)
    Tokenizer.load(finished_checkpoint(whole.folder))
    (last,) = [event for event in whole.events("checkpoint") if event["step"] == NUM_STEPS]
    assert (whole.folder / last["path"]).is_dir() and last["bytes"] > 0


@whoever_writes
@pytest.mark.usefixtures("saving")
@pytest.mark.parametrize("kill_at", [1, 8, 9, 13, NUM_STEPS])
def test_killed_and_started_again_gives_the_same_bits(worker: Worker, whole: Worker, kill_at: int) -> None:
    """A checkpoint is there from step 8 on, when the held-out text was measured first."""
    with pytest.raises(Killed):
        worker.work(kill_at=kill_at)
    worker.work()
    assert worker.digests() == whole.digests()
    assert worker.losses() == whole.losses()
    if kill_at > 8:
        assert "resuming at step 8: exact" in worker.texts("note") or "at step 16: exact" in worker.texts(
            "note"
        )


def test_a_micro_batch_changes_the_loss_by_rounding_only(worker: Worker, whole: Worker) -> None:
    worker.work(micro_batch_tokens=16)
    for step, loss in worker.losses().items():
        assert loss == pytest.approx(whole.losses()[step], abs=2e-4), step


@pytest.mark.parametrize(
    "parts",
    [
        {"architecture": "gpt2"},
        {"feed_forward": "relu2", "bias": True},
        {"parametrization": "mup", "mup_base_width": 16},
        {"value_embeddings": True, "initializer": "zero-residual"},
        {"bigram_embedding_rows": 200, "initializer": "bigrams", "tie_word_embeddings": False},
    ],
)
def test_other_architectures_learn_and_resume_to_the_same_bits(
    tmp_path: Path, artifacts: dict[str, Path], parts: dict[str, Any]
) -> None:
    digests = []
    for name, kill_at in (("whole", None), ("killed", 13)):
        (tmp_path / name).mkdir()
        worker = Worker(tmp_path / name, artifacts)
        shape = worker.inputs.model.model_dump(exclude_defaults=True) if worker.inputs.model else {}
        worker.inputs = dataclasses.replace(worker.inputs, model=Model(**(shape | {"size": None} | parts)))
        optimizer = "adamw" if "mup_base_width" in parts else "muon"
        if kill_at:
            with pytest.raises(Killed):
                worker.work(kill_at=kill_at, optimizer=optimizer)
        worker.work(optimizer=optimizer)
        first = worker.losses()[1]
        if parts.get("initializer") == "bigrams":  # what begins with the corpus's pairs has less to learn
            assert first < 0.6 * math.log(290)
        assert worker.losses()[NUM_STEPS] < min(first, 0.8 * math.log(290))
        digests.append(worker.digests())
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    "way",
    [
        {"optimizer": "adafactor", "learning_rate": 0.2, "embedding_weight_decay": 0.1},
        {"dtype": "bfloat16", "weights_dtype": "bfloat16", "micro_batch_tokens": 32},
    ],
    ids="-".join,
)
def test_other_ways_to_train_learn_and_resume_to_the_same_bits(
    tmp_path: Path, artifacts: dict[str, Path], way: dict[str, Any]
) -> None:
    workers = {name: Worker(tmp_path / name, artifacts) for name in ("whole", "killed")}
    with pytest.raises(Killed):
        workers["killed"].work(kill_at=13, **way)
    for worker in workers.values():
        worker.work(**way)
        assert worker.losses()[NUM_STEPS] < 0.85 * worker.losses()[1]
    assert workers["whole"].digests() == workers["killed"].digests()
    assert "exact" in workers["killed"].texts("note")
    assert "not exact" not in workers["killed"].texts("warning")


READINGS: dict[str, dict[str, Any]] = {
    "best-fit": {"packing": "best-fit", "context_length": 32, "batch_tokens": 64},
    "mixture": {
        "mixture": {"book.txt": 3.0},
        "curriculum": [{"until": 0.4, "mixture": {"web": 0}}],
        "packing": "best-fit",
    },
    "ramps": {"batch_ramp": {"start": 16, "until": 0.5}, "context_ramp": {"start": 8, "until": 0.7}},
}


@pytest.mark.parametrize("reading", READINGS)
def test_other_ways_to_read_learn_and_resume_to_the_same_bits(
    tmp_path: Path, artifacts: dict[str, Path], reading: str
) -> None:
    workers = []
    for name, kill_at in (("whole", None), ("killed", 13)):
        (tmp_path / name).mkdir()
        worker = Worker(tmp_path / name, artifacts)
        if kill_at:
            with pytest.raises(Killed):
                worker.work(kill_at=kill_at, **READINGS[reading])
        worker.summary = worker.work(**READINGS[reading])
        workers.append(worker)
    whole, killed = workers
    losses = list(whole.losses().values())
    assert losses[-1] < 0.8 * losses[0]
    assert killed.losses() == whole.losses()
    assert killed.digests() == whole.digests()


@pytest.mark.parametrize("told", [True, False])
def test_another_mixture_may_have_another_loss(
    tmp_path: Path, artifacts: dict[str, Path], monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """The loss doubles where the second phase begins; without a phase there it would be taken for a spike."""
    taken = itertools.count()

    def loss(model: Any, batch: Any, **more: Any) -> Any:
        whole = next_token_loss(model, batch, **more)
        return dataclasses.replace(whole, total=whole.total * (2 if next(taken) >= 40 else 1))

    monkeypatch.setattr(pretrain, "next_token_loss", loss)
    curriculum = [{"until": 0.8 if told else 0.9, "mixture": {"web": 0.5}}]
    changes = {
        "tokens": 50 * 64,
        "curriculum": curriculum,
        "learning_rate": 1e-4,
        "matrix_learning_rate": 1e-4,
    }
    summary = Worker(tmp_path, artifacts).work(**changes)
    assert (summary["skipped_steps"] + summary["rollbacks"] == 0) is told


def test_what_was_read_is_told(tmp_path: Path, artifacts: dict[str, Path], whole: Worker) -> None:
    summary = whole.summary
    assert summary["padding_share"] < 0.01 and 0.5 < summary["cut_share"] < 1
    assert 0 < summary["epochs"] < 2
    worker = Worker(tmp_path, artifacts)
    mixed = worker.work(**READINGS["mixture"])
    # The first 0.4 of 96 rows are the book's alone, whose 6 documents fill a few rows.
    assert mixed["epochs"]["book.txt"] > 2 > mixed["epochs"]["web"] > 0
    assert mixed["padding_share"] > 0


def test_ramps_keep_the_tokens_and_the_rate_goes_by_them(tmp_path: Path, artifacts: dict[str, Path]) -> None:
    worker = Worker(tmp_path, artifacts)
    summary = worker.work(**READINGS["ramps"], schedule="linear", warmup_steps=0)
    # 12 of 24 full batches are read in halves and quarters, six full ones each
    assert summary["steps"] == 6 * 4 + 6 * 2 + 12
    assert summary["tokens"] == pytest.approx(NUM_STEPS * 64, abs=4)  # but for the end of the stream
    rates = [event["learning_rate"] for event in worker.events("metric") if "learning_rate" in event]
    assert len(rates) == summary["steps"]
    for step, full_batches in ((0, 0), (8, 2), (24, 6), (30, 9), (36, 12), (47, 23)):
        assert rates[step] == pytest.approx(rates[0] * (1 - full_batches / 24))


def test_a_short_run_is_not_compiled_and_says_why(worker: Worker, whole: Worker) -> None:
    with pytest.raises(Killed):
        worker.work(kill_at=13, compile="auto")
    worker.work(compile="auto")
    assert worker.digests() == whole.digests()
    assert worker.texts("note").count("layers are not compiled") == 1  # and not decided anew on resuming
    assert "exact" in worker.texts("note") and "not exact" not in worker.texts("warning")


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # dynamo's
def test_compiled_layers_resume_to_the_same_bits(
    tmp_path: Path, artifacts: dict[str, Path], whole: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working_model, "BACKEND", "aot_eager")
    workers = {name: Worker(tmp_path / name, artifacts) for name in ("whole", "killed")}
    with pytest.raises(Killed):
        workers["killed"].work(kill_at=13, compile="always")
    for worker in workers.values():
        worker.work(compile="always")
        assert worker.losses() == pytest.approx(whole.losses(), abs=1e-3)
    assert workers["whole"].digests() == workers["killed"].digests()
    (note,) = [text for text in workers["killed"].texts("note").splitlines() if "resuming" in text]
    assert note.endswith("exact") and "not" not in note


def test_checkpointed_layers_give_the_same_bits(worker: Worker, whole: Worker) -> None:
    worker.work(activation_checkpointing="layer")
    assert worker.digests() == whole.digests()


def test_documents_of_a_row_see_each_other_only_if_asked(worker: Worker, whole: Worker) -> None:
    worker.work(isolate_documents=False)
    assert worker.losses()[1] != whole.losses()[1]


def test_stop_saves_first(worker: Worker, whole: Worker) -> None:
    with pytest.raises(Stopped):
        worker.work(ask={5: "stop"})
    assert steps_in(worker.folder) == [5]
    worker.work()
    assert "resuming at step 5: exact" in worker.texts("note")
    assert worker.digests() == whole.digests()


@pytest.mark.parametrize(
    ("ask", "kept", "said"),
    [
        (
            {5: "stop now"},
            [],
            r"stopped at step 5 without saving: 5 steps \(.*s\) since the start will be taken again",
        ),
        (
            {3: "save", 5: "stop now"},
            [3],
            r"2 steps \(.*s\) since the checkpoint of step 3 will be taken again",
        ),
        ({4: "stop now"}, [], r"stopped at step 4 without saving: 4 steps"),
        # the best so far at step 8, which a thread may still be writing, and the last step of all
        ({9: "stop now"}, [8], r"1 step \(.*s\) since the checkpoint of step 8 will be taken again"),
        ({NUM_STEPS: "stop now"}, [8, 16], r"8 steps \(.*s\) since the checkpoint of step 16"),
    ],
)
@pytest.mark.parametrize("seconds", [math.inf, -1.0], ids=["training writes", "a thread writes"])
def test_stop_now_saves_nothing_and_the_steps_come_out_alike(
    worker: Worker,
    whole: Worker,
    monkeypatch: pytest.MonkeyPatch,
    ask: dict[int, str],
    kept: list[int],
    said: str,
    seconds: float,
) -> None:
    monkeypatch.setattr(checkpoints, "WORTH_A_THREAD_SECONDS", seconds)
    with pytest.raises(Stopped):
        worker.work(ask=ask)
    assert steps_in(worker.folder) == kept
    assert re.search(said, worker.texts("note"))
    worker.work()
    if kept:
        assert f"resuming at step {kept[-1]}: exact" in worker.texts("note")
    assert worker.digests() == whole.digests()


@whoever_writes
@pytest.mark.usefixtures("saving")
def test_save_and_pause_save_and_go_on(
    worker: Worker, whole: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.stage_run.PAUSE_POLL_SECONDS", 0)
    worker.work(ask={3: "save", 5: "pause", 9: "resume", 11: "resume"})
    assert [event["step"] for event in worker.events("checkpoint")][:2] == [3, 5]
    assert "paused" in worker.texts("note")
    assert worker.digests() == whole.digests()


@pytest.mark.parametrize("stop", STOPS)
def test_stop_while_paused(worker: Worker, monkeypatch: pytest.MonkeyPatch, stop: str) -> None:
    monkeypatch.setattr("workbench.stage_run.PAUSE_POLL_SECONDS", 0)
    with pytest.raises(Stopped):
        worker.work(ask={5: "pause", 6: stop, 7: stop})
    assert steps_in(worker.folder) == [5]


def test_a_cut_by_memory_is_kept_when_there_is_more_of_it(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(micro_batch, "largest_micro_batch", lambda *_: 32)
    with pytest.raises(Stopped):
        worker.work(ask={5: "stop"})
    assert "cut into micro-batches of 32" in worker.texts("note")
    monkeypatch.setattr(micro_batch, "largest_micro_batch", lambda *_: 64)
    worker.work()
    assert "resuming at step 5: exact" in worker.texts("note")


def test_trying_a_micro_batch_out_leaves_no_trace(
    worker: Worker, whole: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(micro_batch, "raises_when_full", lambda machine: True)
    tried = []
    true_try = Course.try_gradient

    def try_gradient(self: Any, batch: Any, loss_fn: Any) -> None:
        tried.append(batch.inputs_BT.numel())
        true_try(self, batch, loss_fn)

    monkeypatch.setattr(Course, "try_gradient", try_gradient)
    worker.work()
    assert tried == [64]
    assert worker.digests() == whole.digests()


def test_another_environment_is_said_to_be_not_exact(worker: Worker) -> None:
    with pytest.raises(Stopped):
        worker.work(ask={5: "stop"})
    worker.work(micro_batch_tokens=32)
    assert "not exact: micro_batch_tokens 64 -> 32" in worker.texts("warning")


def test_a_finished_training_is_not_trained_again(worker: Worker) -> None:
    first = worker.work()
    before = worker.digests()
    assert worker.work() == first
    assert worker.digests() == before


def test_without_heldout_text_the_last_is_the_best(
    worker: Worker, artifacts: dict[str, Path], tmp_path: Path, write_nothing: Callable[[Path], None]
) -> None:
    documents = tmp_path / "documents"
    write_nothing(documents)
    worker.inputs = StageInputs(
        recipe_folder=tmp_path, artifacts={**artifacts, "documents": documents}, model=worker.inputs.model
    )
    summary = worker.work(sample_prompts=("the of",))
    assert summary["best_step"] == NUM_STEPS and summary["best_val_bpb"] is None
    assert {event["prompt"] for event in worker.events("sample")} == {"the of"}


@pytest.fixture
def write_nothing() -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        folder.mkdir()
        with heldout_writer(folder):
            pass

    return write


def test_the_z_loss_is_learned_and_shown(worker: Worker, whole: Worker) -> None:
    worker.work(z_loss_weight=1.0)
    shown = [event["z_loss"] for event in worker.events("metric") if "z_loss" in event]
    assert len(shown) == NUM_STEPS and shown[-1] < 0.6 * shown[0]  # it began at ln(290)²
    assert all("z_loss" not in event for event in whole.events("metric"))


def test_one_order_of_adding_is_what_a_cpu_has_anyway(worker: Worker, whole: Worker) -> None:
    try:
        worker.work(deterministic=True)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert worker.digests() == whole.digests()
