"""Tasks are found by name or file, measured, and printed in the promised shape."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.errors import BadInput
from workbench.evals import measures
from workbench.evals.measures import Material, chosen, measure
from workbench.evals.scorecard import Scorecard, score
from workbench.evals.subject import Subject
from workbench.evals.tasks import find_task, list_tasks

HERE = Path()


def test_every_task_can_be_measured() -> None:
    assert {task.name for task in list_tasks()} == set(measures._MEASURES)
    assert all(len(task.description) < 110 for task in list_tasks())


def test_listing_tasks_needs_no_torch() -> None:
    code = "import sys, workbench.evals.tasks as t; t.list_tasks(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"'python-name'; did you mean python-names\?"):
        find_task("python-name", base=HERE)
    with pytest.raises(BadInput, match="choose from heldout python-names"):
        find_task("zzz", base=HERE)


def test_a_file_of_questions_is_a_task(tmp_path: Path, subject: Subject) -> None:
    question = {"query": "2 + 2 =", "choices": [" 4", " 5"], "gold": 0}
    (tmp_path / "sums.jsonl").write_text(f"{json.dumps(question)}\n" * 3, encoding="utf-8")
    task = find_task("sums.jsonl", base=tmp_path)
    metrics = measure(subject, task, Material())
    assert {name: metric.n for name, metric in metrics.items()} == {"acc": 3, "acc_norm": 3}
    assert measure(subject, task, Material(limit=2))["acc"].n == 2
    with pytest.raises(BadInput, match=r"sums\.jsonl:4: "):
        with (tmp_path / "sums.jsonl").open("a", encoding="utf-8") as file:
            file.write('{"query": "?"}\n')
        find_task("sums.jsonl", base=tmp_path)


def test_heldout_and_its_limit(subject: Subject, texts: list[str]) -> None:
    task = find_task("heldout", base=HERE)
    metrics = measure(subject, task, Material(heldout_texts=texts))
    assert metrics["bits_per_byte"].n == len(texts)
    assert metrics["perplexity"].value > 1
    assert measure(subject, task, Material(heldout_texts=texts, limit=2))["bits_per_byte"].n == 2


def test_the_scorecard_has_the_promised_shape(subject: Subject, texts: list[str]) -> None:
    results = score(subject, [find_task("heldout", base=HERE)], Material(heldout_texts=texts))
    card = Scorecard("quickstart/sft", {result.task: result.metrics for result in results})
    printed = json.loads(json.dumps(card.to_json()))
    assert printed["model"] == "quickstart/sft"
    assert set(printed["tasks"]["heldout"]) == {"bits_per_byte", "perplexity"}
    assert all(set(each) == {"value", "stderr", "n"} for each in printed["tasks"]["heldout"].values())


def test_what_a_task_needs_is_said_before_any_work(subject: Subject) -> None:
    with pytest.raises(BadInput, match="heldout needs held-out documents"):
        score(subject, [find_task("heldout", base=HERE)], Material())
    with pytest.raises(BadInput, match="python-everyday needs a model that learned to chat"):
        mute = dataclasses.replace(subject, chats=False)
        score(mute, [find_task("python-everyday", base=HERE)], Material())


def test_a_limit_takes_the_same_items_whatever_else_there_is() -> None:
    items = [f"item {number}" for number in range(100)]
    few = chosen(items, 10, key=str)
    assert len(few) == 10
    assert few == [item for item in items if item in few]
    assert set(chosen(items[:50], 5, key=str)) <= set(chosen(items[:50], 10, key=str))
    assert chosen(items, 1000, key=str) == items
