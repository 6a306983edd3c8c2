"""SFT and DPO end to end on a tiny model: what they learn, what they say, that stopping changes no bit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.data.conversations import Message
from workbench.errors import BadInput, Stopped
from workbench.events import EventWriter, read_events
from workbench.files import digest_file
from workbench.model.folder import load_model, save_model
from workbench.model.generate import generate_batch
from workbench.model.initialise import initialise
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.recipe import Dpo, Sft
from workbench.runs import Run
from workbench.stage_run import StageInputs, StageRun
from workbench.stages import dpo, micro_batch, sft
from workbench.stages.course import Course
from workbench.tokenizer import Tokenizer, render, stop_ids, train_tokenizer
from workbench.train.checkpoint_folder import finished_checkpoint, step_folder, write_summary

WORDS = ("red", "blue", "green", "black")
QUESTIONS = [f"{word} {n}?" for word in WORDS for n in range(10)]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    texts = [f"{question} It is {word}. No idea." for question in QUESTIONS for word in WORDS]
    return train_tokenizer(texts, vocab_size=280, max_token_length=16)


@pytest.fixture
def home(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    """A folder with a finished `pretrain` checkpoint, an SFT file and a preference file."""
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        head_dim=16,
    )
    checkpoint = step_folder(tmp_path / "pretrained", 7)
    checkpoint.mkdir(parents=True)
    save_model(initialise(Decoder(config), 0), checkpoint)
    tokenizer.save(checkpoint)
    write_summary(tmp_path / "pretrained", last=7, best=7)

    def write(name: str, records: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (tmp_path / name).write_text(lines, encoding="utf-8")

    answers = {question: f"It is {question.split()[0]}." for question in QUESTIONS}
    write("chat.jsonl", [{"question": q, "answer": a} for q, a in answers.items()])
    write("pairs.jsonl", [{"prompt": q, "chosen": a, "rejected": "No idea."} for q, a in answers.items()])
    return tmp_path


class Worker:
    """Runs a stage in a run folder as often as it takes, stopping it at the `stop_at`-th look for a stop."""

    def __init__(self, home: Path, name: str) -> None:
        self.home = home
        self.run = Run(home / "runs" / name)
        (self.run.path / "control").mkdir(parents=True)
        self.folder = self.run.path / "building"
        self.folder.mkdir()

    def work(
        self, stage: Any, settings: Any, *, start: str = "pretrained", stop_at: int | None = None
    ) -> Any:
        looks = 0

        def stop_signalled() -> bool:
            nonlocal looks
            looks += 1
            return looks == stop_at

        handle = StageRun(
            self.run,
            stage="stage",
            folder=self.folder,
            events=EventWriter(self.run.events_path),
            stop_signalled=stop_signalled,
        )
        inputs = StageInputs(recipe_folder=self.home, artifacts={"checkpoint": self.home / start})
        return stage.run(settings, inputs, handle)

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in read_events(self.run.events_path) if event["kind"] == kind]


def sft_settings(**changes: Any) -> Sft:
    table: dict[str, Any] = {
        "sources": ("chat.jsonl",),
        "heldout_fraction": 0.2,
        "context_length": 48,
        "epochs": 4.0,
        "batch_tokens": 128,
        "learning_rate": 3e-3,
        "warmup_steps": 2,
        "eval_every_steps": 10,
        "dtype": "float32",
    }
    return Sft(**(table | changes))


def dpo_settings(**changes: Any) -> Dpo:
    table: dict[str, Any] = {
        "sources": ("pairs.jsonl",),
        "heldout_fraction": 0.2,
        "context_length": 48,
        "epochs": 3.0,
        "batch_pairs": 8,
        "learning_rate": 3e-3,
        "warmup_steps": 2,
        "eval_every_steps": 5,
        "dtype": "float32",
    }
    return Dpo(**(table | changes))


def weights(folder: Path) -> str:
    return digest_file(finished_checkpoint(folder, "last") / "model.safetensors")


def losses(worker: Worker) -> list[float]:
    return [event["loss"] for event in worker.events("metric") if "loss" in event]


def test_sft_learns_to_answer_and_to_stop(home: Path, tokenizer: Tokenizer) -> None:
    worker = Worker(home, "a")
    summary = worker.work(sft, sft_settings(epochs=20.0, eval_every_steps=1000))

    assert summary["formats"] == ["question/answer"]
    assert summary["examples"] + summary["heldout_examples"] == len(QUESTIONS)
    assert summary["rejected"] == summary["cut"] == summary["skipped"] == 0
    assert summary["val_loss"] < 0.1 < losses(worker)[0]
    assert any("question/answer" in event["text"] for event in worker.events("note"))
    assert {"step", "prompt", "text"} <= worker.events("sample")[-1].keys()

    model = load_model(finished_checkpoint(worker.folder, "last"))
    prompts = [
        render(tokenizer, [Message("user", q)], add_generation_prompt=True).ids for q in QUESTIONS[::7]
    ]
    replies = generate_batch(model, prompts, max_new_tokens=16, stop_ids=stop_ids(tokenizer))
    assert all(reply.stopped_by == "stop_token" for reply in replies)
    assert tokenizer.decode(replies[0].ids) == "It is red."


def test_dpo_raises_the_margin_from_ln_2_and_still_stops(home: Path, tokenizer: Tokenizer) -> None:
    Worker(home, "a").work(sft, sft_settings(epochs=20.0, eval_every_steps=1000))
    (home / "runs" / "a" / "building").rename(home / "tuned")
    worker = Worker(home, "b")
    summary = worker.work(dpo, dpo_settings(chosen_nll_weight=0.0), start="tuned")

    assert losses(worker)[0] == pytest.approx(math.log(2), abs=1e-5)
    assert summary["val_rewards/accuracies"] == 1 and summary["val_rewards/margins"] > 0.1
    names = {"rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins"}
    assert names <= worker.events("metric")[0].keys()

    model = load_model(finished_checkpoint(worker.folder, "last"))
    prompts = [
        render(tokenizer, [Message("user", q)], add_generation_prompt=True).ids for q in QUESTIONS[::7]
    ]
    replies = generate_batch(model, prompts, max_new_tokens=16, stop_ids=stop_ids(tokenizer))
    assert all(reply.stopped_by == "stop_token" for reply in replies)


@pytest.mark.parametrize("stage", [sft, dpo])
def test_a_training_that_was_stopped_ends_in_the_same_bits(home: Path, stage: Any) -> None:
    settings = sft_settings() if stage is sft else dpo_settings()
    whole, pieces = Worker(home, "whole"), Worker(home, "pieces")
    expected = whole.work(stage, settings)
    for stop_at in (9, 12):
        with pytest.raises(Stopped):
            pieces.work(stage, settings, stop_at=stop_at)
    found = pieces.work(stage, settings)

    assert any(event["text"].endswith("exact") for event in pieces.events("note"))
    assert weights(pieces.folder) == weights(whole.folder)
    assert {k: v for k, v in found.items() if k != "seconds"} == {
        k: v for k, v in expected.items() if k != "seconds"
    }
    final = [worker.events("metric")[-1] for worker in (whole, pieces)]
    assert final[0]["val_loss"] == final[1]["val_loss"]


@pytest.mark.parametrize("stage", [sft, dpo])
def test_cutting_a_step_into_micro_batches_changes_next_to_nothing(home: Path, stage: Any) -> None:
    make: Callable[..., Any] = sft_settings if stage is sft else dpo_settings
    folders = []
    for name, limit in (("one", None), ("many", 60)):
        worker = Worker(home, name)
        worker.work(stage, make(epochs=1.0, micro_batch_tokens=limit))
        folders.append(finished_checkpoint(worker.folder, "last"))
    one, many = (load_model(folder) for folder in folders)
    for a, b in zip(one.parameters(), many.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=0)


@pytest.mark.parametrize("stage", [sft, dpo])
def test_a_cut_is_tried_out_halved_and_leaves_no_trace(
    home: Path, stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make: Callable[..., Any] = sft_settings if stage is sft else dpo_settings
    monkeypatch.setattr(micro_batch, "raises_when_full", lambda machine: True)
    tried: list[int] = []
    true_try = Course.try_gradient

    def try_gradient(self: Any, batch: Any, loss_fn: Any) -> None:
        tried.append(getattr(batch, "rows", batch).inputs_BT.numel())
        true_try(self, batch, loss_fn)
        if len(tried) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(Course, "try_gradient", try_gradient)
    left_open, named = Worker(home, "open"), Worker(home, "named")
    left_open.work(stage, make(epochs=1.0))
    (said,) = [event["text"] for event in left_open.events("warning") if "out of memory" in event["text"]]
    halved = int(said.rpartition("trying ")[2].replace(",", ""))
    assert len(tried) == 2 and tried[1] <= halved < tried[0]
    named.work(stage, make(epochs=1.0, micro_batch_tokens=halved))
    assert len(tried) == 2, "what the recipe names is not tried out"
    assert weights(left_open.folder) == weights(named.folder)


@pytest.mark.parametrize("stage", [sft, dpo])
def test_a_cut_by_memory_is_kept_when_there_is_more_of_it(
    home: Path, stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = sft_settings() if stage is sft else dpo_settings()
    worker = Worker(home, "cut")
    monkeypatch.setattr(micro_batch, "largest_micro_batch", lambda *_: 240)
    with pytest.raises(Stopped):
        worker.work(stage, settings, stop_at=20)
    notes = [event["text"] for event in worker.events("note")]
    assert any("a step is cut into micro-batches of 240 tokens" in text for text in notes)
    monkeypatch.setattr(micro_batch, "largest_micro_batch", lambda *_: 10_000)
    worker.work(stage, settings)
    assert any(event["text"].endswith("exact") for event in worker.events("note"))


def test_nothing_held_out_is_fine(home: Path) -> None:
    summary = Worker(home, "a").work(sft, sft_settings(epochs=0.1, heldout_fraction=0.0))
    assert "val_loss" not in summary and summary["steps"] == 1


@pytest.mark.parametrize(
    ("stage", "settings", "message"),
    [
        (sft, {"context_length": 4}, "no reply begins within context_length = 4"),
        (sft, {"context_length": 65}, "more than the model's 64 positions"),
        (sft, {"sources": ("none.jsonl",)}, "none.jsonl"),
        (dpo, {"context_length": 4}, "no pair fits"),
        (dpo, {"sources": ("chat.jsonl",)}, "no known shape has the keys question answer"),
    ],
)
def test_what_cannot_be_trained_on_is_said_before_anything_is_written(
    home: Path, stage: Any, settings: dict[str, Any], message: str
) -> None:
    worker = Worker(home, "a")
    with pytest.raises(BadInput, match=message):
        worker.work(stage, sft_settings(**settings) if stage is sft else dpo_settings(**settings))
    assert not list(worker.folder.iterdir())
