"""Multiple-choice files: both shapes, and exactness."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.data.questions import Question, read_questions
from workbench.errors import BadInput


def write(folder: Path, *records: Any) -> Path:
    path = folder / "q.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_both_shapes_become_questions(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"query": "2+2?", "choices": ["3", "4"], "gold": 1},
        {"context_options": ["the cat", "the dog"], "continuation": "barks.", "gold": 1},
    )
    assert read_questions(path) == [
        Question("q.jsonl:1", ("2+2?", "2+2?"), ("3", "4"), 1),
        Question("q.jsonl:2", ("the cat", "the dog"), ("barks.", "barks."), 1),
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"query": "x", "choices": ["3", "4"], "gold": 2}, "gold = 2"),
        ({"query": "x", "choices": ["3", "4"], "gold": True}, "gold = True"),
        ({"query": "x", "choices": ["3", "4"]}, "gold = None"),
        ({"query": "x", "choices": ["3"], "gold": 0}, "at least two"),
        ({"query": "x", "choices": ["3", ""], "gold": 0}, r"choices\[1\] is empty"),
        ({"question": "x"}, "not a question"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, record: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadInput, match=rf"q\.jsonl:2: .*{reason}"):
        read_questions(write(tmp_path, {"query": "x", "choices": ["3", "4"], "gold": 0}, record))


def test_a_file_without_questions_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no questions"):
        read_questions(write(tmp_path))
