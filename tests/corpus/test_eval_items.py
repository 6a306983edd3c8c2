from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from workbench.corpus.eval_items import eval_items
from workbench.data.questions import read_questions
from workbench.errors import BadInput


def passages(folder: Path, *records: dict[str, Any]) -> list[tuple[str, ...]]:
    path = folder / "set.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, records)).encode()))
    return [item.passages for item in eval_items("set.jsonl.gz", base=folder)]


def test_files_of_known_shapes_give_their_text(tmp_path: Path) -> None:
    assert passages(
        tmp_path,
        {"query": "Question: Why is it\nso?\nAnswer:", "choices": ["no", "yes"], "gold": 1},
        {"context_options": ["He", "She"], "continuation": "left.", "gold": 0},
        {"question": "How many?", "answer": "#### 2"},
        {"ctx": "A man", "endings": ["sits", "runs"], "label": 1},
        {"text": "All of it."},
        {"category": "x", "turns": ["First", "Then"]},
        {"prompt": "def f():", "canonical_solution": "return 1", "test": "unseen"},
        {"sentence_good": "It is.", "sentence_bad": "It are."},
    ) == [
        ("Why is it\nso?", "Why is it\nso? no", "Why is it\nso? yes"),
        ("He", "She", "He left.", "She left."),
        ("How many?", "How many? #### 2"),
        ("A man", "A man sits", "A man runs"),
        ("All of it.",),
        ("First", "Then"),
        ("def f():", "def f(): return 1"),
        ("It is.", "It are."),
    ]


def test_items_have_the_ids_of_the_questions(tmp_path: Path) -> None:
    records = [{"query": f"Q{n}?", "choices": ["no", "yes"], "gold": 1} for n in range(3)]
    passages(tmp_path, *records)
    items = eval_items("set.jsonl.gz", base=tmp_path)
    assert [item.id for item in items] == [each.id for each in read_questions(tmp_path / "set.jsonl.gz")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nothing", None, "no evaluation set is called 'nothing'"),
        ("missing.jsonl", None, "missing.jsonl"),
        ("empty.jsonl", "", "holds no records"),
        ("keys.jsonl", '{"query": "fine"}\n{"id": 3, "label": 1}', "keys.jsonl:2: no text to look for"),
        ("torn.jsonl", '{"query": "fine"}\n{"query": ', "torn.jsonl:2"),
    ],
)
def test_what_is_no_set_is_said_in_a_line(tmp_path: Path, name: str, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(BadInput) as error:
        eval_items(name, base=tmp_path)
    assert said in error.value.one_line()


def test_the_built_in_tasks_have_items() -> None:
    for name in (
        "python-names",
        "python-names-hard",
        "python-everyday",
        "python-replies",
        "python-preferences",
    ):
        items = eval_items(name, base=Path("/nowhere"))
        assert len(items) > 20
        assert all(item.task == name and item.passages for item in items)
