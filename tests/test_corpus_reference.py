from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.errors import BadInput
from workbench.plan import Plan, make_plan
from workbench.recipe_file import load_recipe
from workbench.runs import create_run

RECIPE = """name = "x"
[corpus]
sources = ["text.txt"]
[corpus.near_duplicates]
against = ["{}"]
"""


def planned(write_recipe: Callable[[str], Path], tmp_path: Path, against: str) -> Plan:
    (tmp_path / "text.txt").write_text("some text\n" * 100)
    return make_plan(load_recipe(write_recipe(RECIPE.format(against))))


def make_corpus(folder: Path, fingerprint: str, kind: str = "documents") -> None:
    folder.mkdir(parents=True)
    manifest = {"kind": kind, "fingerprint": fingerprint, "files": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_corpus_is_known_by_what_it_is_made_of(
    write_recipe: Callable[[str], Path], tmp_path: Path, home: Path
) -> None:
    make_corpus(tmp_path / "old", "0" * 16)
    make_corpus(tmp_path / "copy", "0" * 16)
    make_corpus(tmp_path / "other", "1" * 16)
    old, other = (planned(write_recipe, tmp_path, name).stages[0] for name in ("old", "other"))
    assert ["corpus", "0" * 16] in old.sources
    assert old.makes != other.makes
    assert planned(write_recipe, tmp_path, "copy").stages[0].sources == old.sources


def test_a_run_stands_for_its_corpus(write_recipe: Callable[[str], Path], tmp_path: Path, home: Path) -> None:
    makes = {"kind": "documents", "label": "corpus", "fingerprint": "ab" * 8}
    create_run(home, "earlier", recipe_text="", plan={"stages": [{"name": "corpus", "makes": makes}]})
    with pytest.raises(BadInput, match="'earlier' is no finished corpus"):
        planned(write_recipe, tmp_path, "earlier")
    make_corpus(home / "store" / "documents" / "corpus-abababab", "ab" * 8)
    assert ["corpus", "ab" * 8] in planned(write_recipe, tmp_path, "earlier").stages[0].sources


@pytest.mark.parametrize(
    ("against", "message"),
    [("nowhere", "'nowhere' is no folder and no run"), ("tok", "'tok' holds no documents, but a tokenizer")],
)
def test_what_is_no_corpus_is_told_at_its_line(
    write_recipe: Callable[[str], Path], tmp_path: Path, home: Path, against: str, message: str
) -> None:
    make_corpus(tmp_path / "tok", "0" * 16, kind="tokenizer")
    with pytest.raises(BadInput, match=message) as caught:
        planned(write_recipe, tmp_path, against)
    assert "recipe.toml:" in str(caught.value) and "\n" not in str(caught.value)
