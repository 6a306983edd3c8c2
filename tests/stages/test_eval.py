"""The eval stage on tiny checkpoints: the right tasks for each model, the promised file, the same score again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from workbench.corpus.contamination import ContaminationIndex
from workbench.corpus.contamination_report import ContaminationReport
from workbench.corpus.eval_items import eval_items
from workbench.data import python_docs
from workbench.data.conversations import Message
from workbench.data.corpus_folder import heldout_writer, train_writer, write_document
from workbench.data.documents import Document
from workbench.data.preferences import Preference
from workbench.data.questions import Question
from workbench.data.shards import write_shards
from workbench.errors import BadInput, Stopped
from workbench.evals import measures
from workbench.failure_report import read_failures
from workbench.model.folder import save_model
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.recipe import Eval
from workbench.stage_run import StageInputs, StageRun
from workbench.stages import eval as eval_stage
from workbench.tokenizer import Tokenizer, stop_ids, train_tokenizer
from workbench.train.checkpoint_folder import write_summary

TEXTS = [
    f"Return the {noun} of the list, number {n}." for n, noun in enumerate(["sum", "head", "mean", "end"] * 5)
]


class FakeRun:
    """What a StageRun does for this stage, without a run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[dict[str, Any]] = []
        self.warnings: list[str] = []
        self.stop_after: int | None = None

    def start_over(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def emit(self, kind: str, **fields: Any) -> None:
        self.events.append({"kind": kind, **fields})

    def progress(self, done: float, total: float | None, unit: str) -> None:
        assert total is not None
        assert done <= total

    def check_stop(self) -> None:
        if self.stop_after is not None and len(self.events) >= self.stop_after:
            raise Stopped("stopped")

    def note(self, text: str) -> None:
        raise AssertionError(text)

    def warning(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def python_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions about four names instead of the whole standard library."""
    names = ("os.sum", "os.head", "os.mean", "os.end")
    prompts = [f"What does `{name}` do?" for name in names]
    replies = ["Return the sum.", "Give the head of it.", "Mean of values.", "The last one."]
    questions = [
        Question(names[i], tuple(prompts), (replies[i],) * 4, gold=i, chat=True) for i in range(len(names))
    ]
    pairs = [
        Preference(names[i], (Message("user", prompts[i]),), replies[i], replies[i - 1], heldout=i > 0)
        for i in range(len(names))
    ]
    references = [python_docs.ReferenceReply(*pair) for pair in zip(prompts, replies, strict=True)]
    monkeypatch.setattr(measures.python_docs, "name_questions", lambda *, hard: questions)
    monkeypatch.setattr(measures.python_docs, "everyday_questions", lambda: references)
    monkeypatch.setattr(measures.python_docs, "heldout_prompts", lambda: prompts)
    monkeypatch.setattr(measures.python_docs, "preferences", lambda: iter(pairs))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> StageInputs:
    """A corpus, its tokens, and three checkpoints of random weights."""
    home = tmp_path_factory.mktemp("artifacts")
    tokenizer = train_tokenizer(TEXTS * 3, vocab_size=290, max_token_length=8)
    folders = {kind: home / kind for kind in ("documents", "tokenizer", "tokens")}
    for folder in folders.values():
        folder.mkdir()
    write_documents(folders["documents"], TEXTS[:16], TEXTS[16:])
    tokenizer.save(folders["tokenizer"])
    ids = [[tokenizer.bos_id, *tokenizer.encode(text)] for text in TEXTS[:16]]
    write_shards(folders["tokens"], ids, vocab_size=tokenizer.vocab_size, shard_tokens=1000)
    checkpoints = {
        stage: write_checkpoint(home / stage, tokenizer, seed=seed)
        for seed, stage in enumerate(("pretrain", "sft", "dpo"))
    }
    return StageInputs(home, artifacts=folders, checkpoints=checkpoints)


def write_documents(folder: Path, train: Sequence[str], heldout: Sequence[str]) -> None:
    for open_writer, texts in ((train_writer, train), (heldout_writer, heldout)):
        with open_writer(folder) as writer:
            for number, text in enumerate(texts):
                write_document(writer, Document(f"{number}", text, "python-docs"))


def write_checkpoint(folder: Path, tokenizer: Tokenizer, *, seed: int) -> Path:
    torch.manual_seed(seed)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=32,
        max_position_embeddings=256,
        head_dim=8,
    )
    model = Decoder(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    step = folder / "step-00000007"
    step.mkdir(parents=True)
    save_model(model, step, bos_id=tokenizer.bos_id, stop_ids=stop_ids(tokenizer), pad_id=tokenizer.pad_id)
    tokenizer.save(step)
    write_summary(folder, last=7, best=7)
    return folder


def measure(tmp_path: Path, inputs: StageInputs, **settings: Any) -> tuple[FakeRun, dict[str, Any]]:
    run = FakeRun(tmp_path / "building")
    summary = eval_stage.run(Eval(**settings), inputs, cast(StageRun, run))
    assert summary
    return run, json.loads((run.folder / "scorecard.json").read_text())


@pytest.mark.usefixtures("python_at_hand")
def test_each_model_takes_the_tasks_that_suit_it(tmp_path: Path, inputs: StageInputs) -> None:
    run, card = measure(tmp_path, inputs)
    taken = {stage: list(found["tasks"]) for stage, found in card["models"].items()}
    chat = ["python-names", "python-names-hard", "python-everyday", "python-replies", "python-preferences"]
    assert taken == {
        "pretrain": ["heldout", "python-names", "python-names-hard"],
        "sft": chat,
        "dpo": ["heldout", *chat],
    }
    preferences = {stage: card["models"][stage]["tasks"]["python-preferences"] for stage in ("sft", "dpo")}
    assert set(preferences["sft"]) == {"likelihood_acc"}
    assert set(preferences["dpo"]) == {"likelihood_acc", "margin_acc"}
    assert preferences["dpo"]["margin_acc"]["n"] == 3  # the held-out pairs only
    assert set(card["baselines"]) == {"heldout", "python-names", "python-names-hard"}
    assert set(card["baselines"]["heldout"]) == {"gzip", "xz", "xz-with-training-text", "kneser-ney-5"}
    assert not run.warnings
    assert {event["model"] for event in run.events} == {"pretrain", "sft", "dpo"}
    wrong = {
        task: read_failures(run.folder, task)
        for task in ("python-names", "python-everyday", "python-preferences")
    }
    for task, failures in wrong.items():  # the model was never trained
        assert {each.model for each in failures} <= set(taken) and failures, task
        assert all(each.expected != each.came and each.asked for each in failures)


@pytest.mark.usefixtures("python_at_hand")
def test_the_batch_size_does_not_change_the_file(tmp_path: Path, inputs: StageInputs) -> None:
    _, one = measure(tmp_path, inputs, batch_size=1)
    _, many = measure(tmp_path, inputs, batch_size=64)
    for stage, found in one["models"].items():
        for task, metrics in found["tasks"].items():
            for name, metric in metrics.items():
                assert metric == pytest.approx(many["models"][stage]["tasks"][task][name], rel=1e-5)


def test_the_summary_names_every_figure_by_its_path(tmp_path: Path, inputs: StageInputs) -> None:
    run = FakeRun(tmp_path / "building")
    summary = eval_stage.run(Eval(tasks=("heldout",)), inputs, cast(StageRun, run))
    card = json.loads((run.folder / "scorecard.json").read_text())
    heldout = card["models"]["dpo"]["tasks"]["heldout"]
    assert summary["dpo/heldout/bits_per_byte"] == heldout["bits_per_byte"]["value"]
    assert summary["baseline/heldout/gzip"] == card["baselines"]["heldout"]["gzip"]["value"]
    assert "sft/heldout/bits_per_byte" not in summary


def test_python_tasks_are_left_out_where_nothing_was_learned_from_python(
    tmp_path: Path, inputs: StageInputs
) -> None:
    documents = tmp_path / "documents"
    shutil.copytree(inputs.documents, documents)
    manifest = {"version": 1, "files": {}, "settings": {"sources": ["novels/*.txt"]}}
    (documents / "manifest.json").write_text(json.dumps(manifest))
    artifacts = {**inputs.artifacts, "documents": documents}
    novels = StageInputs(inputs.recipe_folder, artifacts=artifacts, checkpoints=inputs.checkpoints)
    run, card = measure(tmp_path, novels, baselines=False)
    assert {task for found in card["models"].values() for task in found["tasks"]} == {"heldout"}
    assert card["baselines"] == {}
    assert len(run.warnings) == 5
    assert "python-names is left out" in run.warnings[0]


@pytest.mark.usefixtures("python_at_hand")
def test_the_card_says_which_items_were_seen_and_scores_the_others(
    tmp_path: Path, inputs: StageInputs
) -> None:
    documents = tmp_path / "documents"
    shutil.copytree(inputs.documents, documents)
    words = [" ".join(f"word{n * 20 + at}" for at in range(15)) for n in range(4)]
    questions = [{"query": text, "choices": ["yes", "no"], "gold": 0} for text in words]
    (tmp_path / "set.jsonl").write_text("\n".join(map(json.dumps, questions)))
    items = [*eval_items("set.jsonl", base=tmp_path), *eval_items("python-replies", base=tmp_path)]
    index = ContaminationIndex(items)
    with ContaminationReport(documents, index, ngram=13, min_share=0.0, action="mark") as report:
        report.add("page", "web", index.judge(index.table.scan([f"He said: {words[1]}"])))
        report.write()
    corpus = StageInputs(
        tmp_path, artifacts={**inputs.artifacts, "documents": documents}, checkpoints=inputs.checkpoints
    )
    tasks = ("set.jsonl", "python-names", "python-replies")
    _, card = measure(tmp_path, corpus, tasks=tasks, baselines=False)
    assert card["contamination"] == {
        "set.jsonl": {"items": 4, "seen": 1, "dropped": 0, "too_short": 0},
        "python-replies": {"items": 4, "seen": 0, "dropped": 0, "too_short": 4},
    }
    found = card["models"]["dpo"]["tasks"]
    assert {name: figure["n"] for name, figure in found["set.jsonl"].items()} == {
        "acc": 4,
        "acc_norm": 4,
        "acc_clean": 3,
        "acc_norm_clean": 3,
    }
    assert set(found["python-names"]) == {"acc"}  # was not looked for
    assert set(found["python-replies"]) == {"stopped", "right_form"}  # was, and not found
    assert "contamination" not in measure(tmp_path, inputs, tasks=("python-names",), baselines=False)[1]


def test_a_stop_is_obeyed_between_tasks(tmp_path: Path, inputs: StageInputs) -> None:
    run = FakeRun(tmp_path / "building")
    run.stop_after = 1
    with pytest.raises(Stopped):
        eval_stage.run(Eval(tasks=("heldout",)), inputs, cast(StageRun, run))
    assert len(run.events) == 1
    assert not (run.folder / "scorecard.json").exists()


def test_an_unknown_task_is_said_before_any_work(tmp_path: Path, inputs: StageInputs) -> None:
    with pytest.raises(BadInput, match="did you mean heldout"):
        measure(tmp_path, inputs, tasks=("heldout", "held-out"))
