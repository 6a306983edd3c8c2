"""Looking into a file: the mask that is shown is the mask that is trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.data.inspect_examples import inspect_examples
from workbench.errors import BadInput
from workbench.tokenizer import train_tokenizer


def test_a_conversation_is_shown_token_by_token(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    good = {"question": "What is a cat?", "answer": "An animal."}
    path.write_text(
        "\n".join(json.dumps(r) for r in (good, {"question": "x", "answer": ""})), encoding="utf-8"
    )
    tokenizer = train_tokenizer(["What is a cat? An animal."] * 4, vocab_size=270, max_token_length=8)
    report = inspect_examples(path, tokenizer)
    assert (report.kind, report.format, report.examples) == ("conversations", "question/answer", 1)
    assert sum(report.rejected.values()) == 1 and report.first_rejected and report.first_rejected.line == 2
    (shown,) = report.first
    assert "".join(token.text for token in shown.tokens if token.learned) == "An animal.<|im_end|>"
    assert "".join(token.text for token in shown.tokens).startswith("<|endoftext|><|im_start|>user\nWhat")


def test_of_a_pair_both_sides_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps([{"prompt": "Hi", "chosen": "Hello.", "rejected": "What?"}]), encoding="utf-8")
    report = inspect_examples(path)
    assert (report.kind, report.examples) == ("preferences", 1)
    assert [(shown.label, shown.messages[-1].content) for shown in report.first] == [
        ("chosen", "Hello."),
        ("rejected", "What?"),
    ]


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "once upon a time"}', encoding="utf-8")
    with pytest.raises(BadInput, match="no known shape has the keys text"):
        inspect_examples(tmp_path / "x.jsonl")
