"""What is said of a source that is not what a run was planned with."""

from __future__ import annotations

from pathlib import Path

from workbench.recipe_corpus import Corpus
from workbench.source_identity import SourceDigests, first_change, identity_of


def test_what_became_of_a_file_is_said_of_that_file(tmp_path: Path) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.txt").write_text(name)

    def identity() -> list[object]:
        table = Corpus(sources=("src",))
        return identity_of("corpus", table, folder=tmp_path, packages=(), digests=SourceDigests(tmp_path))

    before = identity()
    assert first_change(before, identity()) is None
    (folder / "b.txt").unlink()
    assert first_change(before, identity()) == "b.txt in src was taken away"
    (folder / "b.txt").write_text("other")
    assert first_change(before, identity()) == "b.txt in src changed"
    (folder / "b.txt").write_text("b")
    (folder / "aa.txt").write_text("new")
    assert first_change(before, identity()) == "aa.txt in src was added"
    (folder / "aa.txt").unlink()
    assert first_change(before, identity()) is None
    assert first_change(before, before[::-1]) == "the order of the files changed"
