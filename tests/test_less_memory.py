"""Whoever finds no more memory is told keys of the stage that found none, and only such as are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workbench.less_memory import less_memory
from workbench.plan import Plan, make_plan
from workbench.recipe_file import load_recipe, parse_assignments
from workbench.recipe_vocabulary import all_tables

RECIPE = """name = "x"
[corpus]
sources = ["text.txt"]
[tokenizer]
[pack]
[pretrain]
tokens = "1M"
[sft]
sources = ["chats.jsonl"]
[dpo]
sources = ["pairs.jsonl"]
[eval]
"""


def planned(folder: Path, *assignments: str) -> Plan:
    """The plan of a recipe with every stage but a start, changed so."""
    for name in ("text.txt", "chats.jsonl", "pairs.jsonl"):
        (folder / name).write_text("{}")
    (folder / "x.toml").write_text(RECIPE)
    return make_plan(load_recipe(folder / "x.toml", parse_assignments(assignments)), home=folder / "home")


def test_every_key_that_is_named_is_one_of_the_recipe(tmp_path: Path) -> None:
    plan = planned(tmp_path, "corpus.near_duplicates.jaccard=0.8")
    for stage in plan.stages:
        named = re.findall(r"\[([a-z_.]+)\] ([a-z_]+)", less_memory(plan, stage))
        assert named, stage.name
        for table, key in named:
            assert key in all_tables()[table].model_fields, (stage.name, table, key)
            assert stage.name in (table, table.partition(".")[0], "pack") or table == "model"
        if stage.name in ("corpus", "tokenizer", "pack"):
            assert "micro_batch_tokens" not in less_memory(plan, stage)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([], "set [corpus] workers = 1, each more holds about 200 MB"),
        (["corpus.workers=1"], "lower [corpus] max_characters or free memory on this machine"),
        (
            ["corpus.workers=1", "corpus.near_duplicates.jaccard=0.8"],
            "lower [corpus.near_duplicates] memory_bytes",
        ),
    ],
)
def test_a_corpus_is_told_what_is_still_to_be_lowered(tmp_path: Path, changes: list[str], says: str) -> None:
    plan = planned(tmp_path, *changes)
    assert less_memory(plan, plan.stage("corpus")) == says
