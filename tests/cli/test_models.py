"""Verbs that need a model or real artifacts: a decoder of random weights, a corpus made here."""

from __future__ import annotations

import json
import pkgutil
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench import references
from workbench.artifacts import MANIFEST
from workbench.cli.chat_server import DEFAULTS
from workbench.cli.speaker import ModelSpeaker, Spoken
from workbench.data.conversations import Message
from workbench.errors import BadInput
from workbench.model import Decoder, save_model
from workbench.model.initialise import initialise
from workbench.model_config import ModelConfig
from workbench.plan import make_plan
from workbench.recipe_file import load_recipe
from workbench.references import Trained
from workbench.runs import Run
from workbench.safe_text import safe_text
from workbench.tokenizer import Tokenizer, stop_ids
from workbench.worker import work

from .conftest import Workbench

RECIPE = """\
name = "real"
[corpus]
sources = ["documents.jsonl"]
max_bad_records = 0.5
heldout_fraction = 0.2
[tokenizer]
vocab_size = 300
[pack]
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a corpus of good, short, doubled and hostile documents, and its tokenizer."""
    folder = tmp_path_factory.mktemp("real")
    texts = [
        f"Document {number} says that {number} times two is {2 * number}, no more." for number in range(60)
    ]
    texts += ["short", texts[3], "short \x1b]52;c;x\x07"]
    lines = [json.dumps({"text": text}) for text in texts] + ["not json", '{"title": 1}']
    (folder / "documents.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "real.toml").write_text(RECIPE)
    return work(make_plan(load_recipe(folder / "real.toml"), home=folder / "home", name="real-run"))


@pytest.fixture(scope="module")
def model(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder in Hugging Face format."""
    [tokenizer_folder] = (finished.home / "store" / "tokenizer").glob("tokenizer-*")
    tokenizer = Tokenizer.load(tokenizer_folder)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=32,
        head_dim=8,
        max_position_embeddings=96,
    )
    folder = tmp_path_factory.mktemp("model")
    decoder = initialise(Decoder(config), 0)
    save_model(
        decoder, folder, bos_id=tokenizer.bos_id, stop_ids=stop_ids(tokenizer), pad_id=tokenizer.pad_id
    )
    tokenizer.save(folder)
    return folder


def test_inspect_a_run_shows_what_was_rejected_and_why(workbench: Workbench, finished: Run) -> None:
    told = workbench("inspect", "real-run", "--home", finished.home)
    assert told.code == 0
    assert "\x1b" not in told.out and "\x07" not in told.out
    assert "too short" in told.out and "5 characters" in told.out
    assert "duplicate" in told.out and "the same as" in told.out
    assert "tokenizer  " in told.out and "tokens  " in told.out
    facts = json.loads(
        workbench("inspect", "real-run", "--home", finished.home, "--samples", 2, "--json").out
    )
    assert facts["corpus"]["rejected"]["too_short"] == 2
    assert len(facts["corpus"]["rejected_samples"]["too_short"]) == 2
    assert facts["corpus"]["documents"] + facts["corpus"]["heldout_documents"] == 60
    assert facts["tokenizer"]["vocab_size"] == 300


def test_inspect_one_stage(workbench: Workbench, finished: Run) -> None:
    told = workbench("inspect", "real-run/pack", "--home", finished.home, "--json")
    assert json.loads(told.out)["kind"] == "tokens"
    assert workbench("inspect", "real-run/sft", "--home", finished.home).code == 3
    assert workbench("inspect", "real-run/pack@3", "--home", finished.home).code == 2


def test_inspect_a_model_folder(workbench: Workbench, model: Path) -> None:
    facts = json.loads(workbench("inspect", model, "--json").out)
    assert facts["kind"] == "checkpoint"
    assert facts["config"]["hidden_size"] == 16
    assert "1 layers of 16" in workbench("inspect", model).out


def test_inspect_a_scorecard_tells_every_score_in_a_line(workbench: Workbench, tmp_path: Path) -> None:
    score = {"value": 0.75, "stderr": 0.0125, "n": 40}
    card = {
        "models": {"sft": {"model": "sft", "tasks": {"quiz\x1b[2J": {"acc": score}}}},
        "baselines": {"heldout": {"gzip": {"value": 2.5, "stderr": None, "n": 3}}},
        "contamination": {"quiz\x1b[2J": {"items": 1000, "seen": 7, "dropped": 0, "too_short": 2}},
    }
    (tmp_path / "scorecard.json").write_text(json.dumps(card), encoding="utf-8")
    told = workbench("inspect", tmp_path).out
    lines = [line.split() for line in told.splitlines()]
    assert ["without", "a", "model", "heldout", "gzip", "2.5"] in lines
    assert any(line[0] == "sft" and line[-4:] == ["acc", "0.75", "±", "0.013"] for line in lines)
    assert "7 of 1,000 items stand in training text, 2 too short to tell" in told
    assert "\x1b" not in told
    assert json.loads(workbench("inspect", tmp_path, "--json").out)["scorecard"] == card


def test_inspect_examples_marks_what_is_learned(workbench: Workbench, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    messages = [{"role": "user", "content": "Hi\x1b[2J"}, {"role": "assistant", "content": "Yes."}]
    path.write_text(json.dumps({"messages": messages}) + '\n{"messages": []}\n')
    told = workbench("inspect", path)
    assert "assistant: «Yes.»" in told.out and "user: Hi␛[2J" in told.out
    assert f"{path}:2" in told.out
    cut = workbench("inspect", path, "--with", model).out
    assert "‹<|im_start|>›" in cut and "«<|im_end|>»" in cut
    assert "\x1b" not in cut
    facts = json.loads(workbench("inspect", path, "--with", model, "--json").out)
    assert "".join(t["text"] for t in facts["first"][0]["tokens"] if t["learned"]) == "Yes.<|im_end|>"


def test_inspect_documents_and_questions(workbench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "novel.txt").write_text("It was a dark night.\n")
    assert json.loads(workbench("inspect", tmp_path / "novel.txt", "--json").out)["documents"] == 1
    (tmp_path / "quiz.jsonl").write_text('{"query": "1 + 1 =", "choices": ["2", "3"], "gold": 0}\n')
    assert "«2»" in workbench("inspect", tmp_path / "quiz.jsonl").out
    assert workbench("inspect", tmp_path).code == 2


def test_generate(workbench: Workbench, model: Path) -> None:
    arguments = ("generate", model, "--prompt", "Document", "--max-new-tokens", 5, "--seed", 1)
    facts = json.loads(workbench(*arguments, "--json").out)
    keys = {
        "text",
        "prompt_tokens",
        "new_tokens",
        "tokens_per_second",
        "seconds_to_first_token",
        "stopped_by",
    }
    assert keys <= facts.keys()
    assert facts["new_tokens"] <= 5
    assert workbench(*arguments).out.rstrip("\n") == safe_text(facts["text"]).rstrip("\n")
    assert workbench(*arguments, "--top-p", 3).code == 2
    assert workbench("generate", model, "--prompt", "word " * 200).code == 2


def test_tokenize(workbench: Workbench, model: Path, finished: Run) -> None:
    facts = json.loads(workbench("tokenize", model, "is <|im_end|>é", "--json").out)
    assert len(facts["ids"]) == len(facts["tokens"])
    assert min(facts["ids"]) > 3, "text never gives a special token"
    assert workbench("tokenize", "real-run", "a", "--home", finished.home).code == 0


def test_eval(workbench: Workbench, model: Path, tmp_path: Path) -> None:
    quiz = tmp_path / "quiz.jsonl"
    quiz.write_text('{"query": "1 + 1 =", "choices": ["2", "3"], "gold": 0}\n' * 3)
    card = json.loads(workbench("eval", model, "--tasks", quiz, "--limit", 2, "--json").out)
    assert card["model"] == str(model)
    assert card["tasks"][str(quiz)]["acc"].keys() == {"value", "stderr", "n"}
    assert card["tasks"][str(quiz)]["acc"]["n"] == 2
    told = workbench("eval", model, "--tasks", "heldout")
    assert told.code == 2 and "held-out documents" in told.err


@pytest.fixture
def rotating(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two checkpoints of a run that trains; every reference means the older one that is there."""
    steps = [shutil.copytree(model, tmp_path / f"step-{step:08}") for step in (1, 2)]
    for folder in steps:
        (folder / MANIFEST).write_text("{}")

    def older(reference: str, *, home: Path | None = None) -> Trained:
        return Trained(next(folder for folder in steps if folder.is_dir()), reference, None)

    monkeypatch.setattr(references, "find_trained", older)
    monkeypatch.setattr(references, "verify", lambda folder: None)
    return steps


@pytest.mark.parametrize(
    ("line", "reads"),
    [
        ("tokenize run@latest some", "workbench.tokenizer.Tokenizer.load"),
        ("inspect run@latest", "workbench.hf_config.read_config"),
        ("eval run@latest --tasks quiz.jsonl", "workbench.evals.subject.load_model"),
        ("export run@latest --output out", "workbench.model.export_hf"),
    ],
)
def test_a_checkpoint_that_goes_as_it_is_opened_is_looked_up_again(
    workbench: Workbench,
    rotating: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    reads: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quiz.jsonl").write_text('{"query": "1 + 1 =", "choices": ["2", "3"], "gold": 0}\n')
    read = pkgutil.resolve_name(reads)
    opened: list[Path] = []

    def gone(folder: Path, *rest: Any, **options: Any) -> Any:
        opened.append(folder)
        shutil.rmtree(rotating[0], ignore_errors=True)  # between the look and the read
        return read(folder, *rest, **options)

    monkeypatch.setattr(reads, gone)
    told = workbench(*line.split(), "--home", tmp_path / "home")
    assert told.code == 0, told.err
    assert opened == rotating


@pytest.fixture(scope="module")
def speaker(model: Path) -> Iterator[ModelSpeaker]:
    yield ModelSpeaker(model)


def test_the_model_speaks(speaker: ModelSpeaker) -> None:
    settings = {**DEFAULTS, "max_new_tokens": 6}
    *pieces, spoken = speaker.reply([Message("user", "Hi")], settings, lambda: False)
    assert isinstance(spoken, Spoken)
    assert spoken.text == "".join(str(piece) for piece in pieces)
    assert spoken.new_tokens <= 6


def test_a_stop_before_the_first_word_is_heard(speaker: ModelSpeaker) -> None:
    [spoken] = speaker.reply([Message("user", "Hi")], DEFAULTS, lambda: True)
    assert isinstance(spoken, Spoken)
    assert (spoken.text, spoken.stopped_by) == ("", "stopped")


def test_a_long_conversation_forgets_its_oldest_turns(speaker: ModelSpeaker) -> None:
    turns = [Message("user", "Say something."), Message("assistant", "Something.")] * 20
    settings = {**DEFAULTS, "max_new_tokens": 2}
    *_, spoken = speaker.reply([*turns, Message("user", "Hi")], settings, lambda: False)
    assert isinstance(spoken, Spoken)
    assert spoken.context_tokens <= speaker.context_length
    with pytest.raises(BadInput, match="too long"):
        list(speaker.reply([Message("user", "word " * 300)], settings, lambda: False))


def test_export_as_one_file(workbench: Workbench, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "given"
    told = workbench("export", model, "--to", "gguf", "--output", output)
    assert (told.code, told.out.strip()) == (0, str(output)), told.err
    assert [path.name for path in output.iterdir()] == ["model.gguf"]
    assert (output / "model.gguf").read_bytes()[:4] == b"GGUF"
    again = workbench("export", model, "--to", "gguf", "--output", output)
    assert again.code == 2 and "already there" in again.err
    facts = json.loads(workbench("export", model, "--to", "gguf", "--output", tmp_path / "2", "--json").out)
    assert facts["files"] == ["model.gguf"] and facts["notes"] == []
