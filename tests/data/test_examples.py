"""Gathering: sources named in any way, a split by text, a fair choice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.data.examples import gather_conversations, gather_preferences
from workbench.errors import BadInput


def write(path: Path, count: int, *, first: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    records = ({"question": f"What is {n}?", "answer": f"{n}."} for n in range(first, first + count))
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_sources_are_files_folders_and_globs(tmp_path: Path) -> None:
    write(tmp_path / "set" / "b.jsonl", 1)
    a = write(tmp_path / "set" / "deep" / "a.jsonl", 2)
    (tmp_path / "set" / "notes.txt").write_text("x", encoding="utf-8")
    for source, counts in (("set/b.jsonl", [1]), ("set", [1, 2]), ("set/**/a*", [2]), (str(a), [2])):
        found = gather_conversations([source], base=tmp_path, heldout_fraction=0)
        assert [report.examples for report in found.sources] == counts, source


@pytest.mark.parametrize("source", ["nothing.jsonl", "empty", "*.jsonl"])
def test_a_source_that_names_nothing_is_bad_input(tmp_path: Path, source: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=str(tmp_path)):
        gather_conversations([source], base=tmp_path, heldout_fraction=0.1)


def test_the_split_follows_the_text_and_not_the_place(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", 300)
    write(tmp_path / "b.jsonl", 200, first=300)
    alone = gather_conversations(["a.jsonl"], base=tmp_path, heldout_fraction=0.2)
    both = gather_conversations(["b.jsonl", "a.jsonl"], base=tmp_path, heldout_fraction=0.2)
    assert 30 < len(alone.heldout) < 90
    assert {c.messages for c in alone.heldout} <= {c.messages for c in both.heldout}
    assert not {c.messages for c in both.heldout} & {c.messages for c in both.train}
    assert [report.examples for report in both.sources] == [200, 300]


def test_a_limit_is_a_choice_over_the_whole_file_in_its_order(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", 500)
    few, again, other = (
        gather_conversations(
            ["a.jsonl"], base=tmp_path, heldout_fraction=0.1, max_examples=20, seed=seed
        ).train
        for seed in (0, 0, 1)
    )
    lines = [int(example.id.rpartition(":")[2]) for example in few]
    assert len(few) == 20 and few == again and few != other
    assert lines == sorted(lines) and lines[-1] > 250


def test_pairs_of_one_prompt_stay_on_one_side(tmp_path: Path) -> None:
    records = [
        {"prompt": f"prompt {n}", "chosen": f"yes {k}", "rejected": "no"} for n in range(60) for k in range(3)
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps(r) for r in records), encoding="utf-8")
    pairs = gather_preferences(["p.jsonl"], base=tmp_path, heldout_fraction=0.3)
    assert pairs.heldout
    assert not {p.prompt for p in pairs.heldout} & {p.prompt for p in pairs.train}


def test_a_report_says_format_and_reasons(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", 200)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"question": "x", "answer": ""}\n')
    (report,) = gather_conversations(["a.jsonl"], base=tmp_path, heldout_fraction=0).sources
    assert report.one_line() == (
        f"{path}: question/answer, 200 examples, 1 rejected (answer (the assistant's turn) is empty: 1)"
    )


def test_nothing_to_train_on_is_said(tmp_path: Path) -> None:
    same = {"prompt": "Hi", "chosen": "Hello.", "rejected": "Hello."}
    (tmp_path / "p.jsonl").write_text(json.dumps(same), encoding="utf-8")
    with pytest.raises(BadInput, match=r"p\.jsonl: .*none to train on"):
        gather_preferences(["p.jsonl"], base=tmp_path, heldout_fraction=0.1)
