"""Editing a recipe's text: the value changes, comments and all else stay, and what is unsafe is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from workbench.errors import BadInput
from workbench.recipe_draft import key_at, keys_of_recipes, with_table, with_value, without, written_values
from workbench.recipe_fields import tables_inside
from workbench.recipe_file import shipped_folder
from workbench.recipe_vocabulary import all_tables


def test_what_a_table_alone_has_comes_first() -> None:
    keys = {name: [key.name for key in inside] for name, inside in keys_of_recipes().items()}
    assert keys["pretrain"][0] == "tokens" and keys["sft"][0] == keys["dpo"][0] == "sources"
    assert keys["pretrain"].index("sample_prompts") < keys["pretrain"].index("learning_rate")


TEXT = """name = "a"  # who

[corpus]
sources = [   # many
    "x", "# y",
]
text_key = 'a#b'   # odd

[pretrain]
tokens = "1M"
batch_ramp = { start = 2, until = 0.5 }
"""


def test_every_key_is_told_with_what_may_be_written() -> None:
    keys = keys_of_recipes()
    assert set(keys) == {"", *all_tables()}
    for name, table in all_tables().items():
        assert {key.name for key in keys[name]} == set(table.model_fields) - set(tables_inside(table))
        assert all(key.meaning and key.kind for key in keys[name])
    found = {key.whole: key for key in keys["pretrain"]}
    assert found["pretrain.tokens"].kind.startswith("a count")
    assert "above 0" in found["pretrain.learning_rate"].kind


@pytest.mark.parametrize(
    ("key", "typed", "line"),
    [
        ("pretrain.tokens", "2M", 'tokens = "2M"'),
        ("pretrain.tokens", "200", "tokens = 200"),
        ("corpus.text_key", '"b"', 'text_key = "b"     # odd'),
        ("corpus.sources", '["z"]', 'sources = ["z"]  # many'),
        ("name", "b", 'name = "b"  # who'),
        ("pretrain.seed", "3", "seed = 3"),
        ("sft.max_examples", "10", "max_examples = 10"),
        ("corpus.near_duplicates.bands", "7", "bands = 7"),
    ],
)
def test_one_value_changes_and_nothing_else(key: str, typed: str, line: str) -> None:
    after = with_value(TEXT, key, typed)
    assert line in after.split("\n")
    before, now = written_values(TEXT), written_values(after)
    assert {name for name in before | now if before.get(name) != now.get(name)} == {key}
    assert with_value(after, key, typed) == after


def test_what_was_added_can_be_taken_out() -> None:
    assert without(with_value(TEXT, "pretrain.seed", "3"), "pretrain.seed") == TEXT
    assert "sources" not in written_values(without(TEXT, "corpus.sources"))
    assert without(TEXT, "pretrain.seed") == TEXT


@pytest.mark.parametrize(
    ("key", "typed"), [("pretrain.batch_ramp.start", "4"), ("pretrain.seed", ""), ("name", "a\nb")]
)
def test_what_cannot_be_written_safely_is_refused(key: str, typed: str) -> None:
    with pytest.raises(BadInput):
        with_value(TEXT, key, typed)


def test_hostile_values_stay_values() -> None:
    for typed in ("1\n[x]", '"""', "] [x", "x # y", "\x1b]52;c;x\x07", "{", "a = 1", '"a" # b', "\ud800"):
        try:
            after = with_value(TEXT, "corpus.text_key", typed)
        except (BadInput, UnicodeError):
            continue
        now = tomllib.loads(after)
        assert set(now) == {"name", "corpus", "pretrain"} and now["corpus"]["sources"] == ["x", "# y"]


def test_shipped_recipes_can_be_edited_key_by_key() -> None:
    for path in sorted(Path(shipped_folder()).glob("*.toml")):
        text = path.read_text()
        for key in written_values(text):
            if key.count(".") == 1:
                assert written_values(with_value(text, key, "12345"))[key] == 12345


def test_a_line_belongs_to_a_key() -> None:
    assert [key_at(TEXT, line) for line in (1, 3, 5, 7, 10)] == [
        "name", "corpus", "corpus.sources", "corpus.text_key", "pretrain.tokens",
    ]  # fmt: skip
    assert key_at("", 1) == ""
    assert with_table(with_table(TEXT, "sft"), "sft").count("[sft]") == 1
