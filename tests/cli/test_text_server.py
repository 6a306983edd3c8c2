"""The child that cuts and judges texts for a view: its answers, and what it says to nonsense."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.cli.text_server import TextServer
from workbench.errors import WorkbenchError
from workbench.text_client import LONGEST_TEXT, TextClient
from workbench.tokenizer import train_tokenizer

TEXTS = [" ".join(f"word{number} naïve café {number * 7919 % 101}" for number in range(200))] * 3


@pytest.fixture
def tokenizer_folder(tmp_path: Path) -> Path:
    """A small tokenizer on disk."""
    train_tokenizer(TEXTS, vocab_size=300, max_token_length=16).save(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def test_a_text_is_cut_into_pieces_that_are_the_text(tokenizer_folder: Path, tmp_path: Path) -> None:
    server = TextServer(tmp_path)
    text = "the café 🙂\x1b[31m"
    answer = server.answer({"ask": "cut", "references": [str(tokenizer_folder), "nobody"], "text": text})
    ours, other = answer["cuts"]
    assert bytes.fromhex("".join(ours["pieces"])).decode() == text
    assert len(ours["ids"]) == len(ours["pieces"]) and ours["vocab_size"] == 300
    assert "nobody" in other["error"]


def test_a_document_is_held_against_the_filters_of_its_corpus(tmp_path: Path) -> None:
    settings = {"min_characters": 40, "max_characters": 100, "filters": ["gopher_quality"],
                "gopher_quality": {"min_words": 2}, "fineweb": {"max_short_line_share": 0.1}}  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps({"version": 1, "files": {}, "settings": settings}))
    answer = TextServer(tmp_path).answer({"ask": "why", "folder": str(tmp_path), "text": "only three words"})
    told = {each["key"]: each["passes"] for each in answer["checks"]}
    assert told == {"min_characters": False, "max_characters": True, "min_words": True}


@pytest.mark.parametrize(
    "request_", [{}, {"ask": "cut"}, {"ask": "fly", "text": "x"}, {"ask": "why", "folder": "/none", "text": "x"},
                 {"ask": "cut", "text": "x" * (LONGEST_TEXT + 1)}]
)  # fmt: skip
def test_nonsense_is_answered_by_an_error(request_: dict[str, object], tmp_path: Path) -> None:
    assert set(TextServer(tmp_path).answer(request_)) == {"error"}


def test_the_child_answers_over_pipes_and_its_end_is_told(tmp_path: Path) -> None:
    with TextClient.over(tmp_path) as client:
        with pytest.raises(WorkbenchError, match="no question"):
            client.ask("fly", text="x")
        assert client.ask("cut", text="x", references=["none"])["cuts"][0]["reference"] == "none"
    with pytest.raises(WorkbenchError, match="has ended"):
        client.ask("cut", text="x", references=[])


def test_who_asks_after_the_end_starts_no_child() -> None:
    """A screen that was left while its thread was on the way to the first question leaves no process behind."""
    client = TextClient(["/none"])
    client.close()
    with pytest.raises(WorkbenchError, match="has ended"):
        client.ask("cut", text="x", references=[])
    assert client._child is None
