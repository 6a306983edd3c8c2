"""The filter `classifier` in the corpus stage: what of it is kept, reported, refused, and part of a fingerprint."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.fake_run import FakeRun, build, digests, write_jsonl
from workbench.cli import inspect_corpus
from workbench.corpus import classifier as training
from workbench.data.corpus_folder import read_artifact_documents
from workbench.data.jsonl_zst import read_jsonl_zst
from workbench.errors import BadInput
from workbench.recipe_corpus import Corpus
from workbench.source_identity import SourceDigests, identity_of

OWN = {
    "good": ["theorem", "river", "history", "because", "measured", "century"],
    "bad": ["win", "click", "cheap", "casino", "bonus", "subscribe"],
}
SMALL = {"dim": 4, "buckets": 50, "min_count": 1, "heldout_fraction": 0.2}


def texts(kind: str, count: int, *, first: int = 0) -> list[str]:
    return [
        " ".join(random.Random(f"{kind} {number}").choices([*OWN[kind], "the", "of"], k=12)) + f" {number}."
        for number in range(first, first + count)
    ]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for kind in OWN:
        write_jsonl(tmp_path / f"{kind}.jsonl", texts(kind, 60))
    write_jsonl(tmp_path / "web.jsonl", [*texts("good", 30, first=100), *texts("bad", 20, first=100)])
    return tmp_path


def made(base: Path, name: str, *, sources: str = "web.jsonl", **classifier: Any) -> FakeRun:
    run = FakeRun(base / name)
    if "model" not in classifier:
        classifier = {"good": ["good.jsonl"], "bad": ["bad.jsonl"], **SMALL, **classifier}
    build(run, base, sources, filters=("classifier",), classifier=classifier, heldout_fraction=0.1)
    return run


def kept(run: FakeRun) -> list[str]:
    return sorted(document.text for document in read_artifact_documents(run.folder))


def test_the_report_tells_what_the_classifier_is_worth(base: Path) -> None:
    pytest.importorskip("fasttext")
    run = made(base, "one")
    rejected = list(read_jsonl_zst(run.folder / "rejected.jsonl.zst"))
    assert {record["reason"] for record in rejected} == {"classifier_low_quality"}
    assert sorted(record["text"] for record in rejected) == sorted(texts("bad", 20, first=100))
    assert all(record["figure"] < 0.5 for record in rejected)
    told = json.loads((run.folder / "report.json").read_text())["classifier"]
    assert told["file"] == "classifier.bin"
    assert [point["threshold"] for point in told["curve"]][:2] == [0.05, 0.1]
    shown = "\n".join(inspect_corpus.corpus(run.folder, inspect_corpus.CorpusLook()).lines)
    assert "classifier.bin" in shown
    assert "recall" in shown


def test_another_probability_trains_nothing_again(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fasttext")
    first = made(base, "one")
    monkeypatch.setattr(training, "_library", lambda: pytest.fail("trained or judged again"))
    again = made(base, "two")
    assert digests(again.folder) == digests(first.folder)
    all_of_it = made(base, "three", min_probability=0.0)
    assert len(kept(all_of_it)) > len(kept(again))


def test_a_ready_model_judges_as_it_did_where_it_was_trained(base: Path) -> None:
    pytest.importorskip("fasttext")
    first = made(base, "one")
    (base / "ready.bin").write_bytes((first.folder / "classifier.bin").read_bytes())
    ready = made(base, "two", model="ready.bin")
    assert kept(ready) == kept(first)
    assert not (ready.folder / "classifier.bin").exists()
    report = json.loads((ready.folder / "report.json").read_text())
    assert report["classifier"].keys() == {"file", "label", "digest"}
    with pytest.raises(BadInput, match=r"ready\.bin: has no label hq"):
        made(base, "three", model="ready.bin", label="hq")


def test_examples_that_are_no_good_are_said(base: Path) -> None:
    write_jsonl(base / "few.jsonl", ["one", "two"])
    with pytest.raises(BadInput, match="examples of bad text are too few"):
        made(base, "one", bad=["few.jsonl"])
    with pytest.raises(BadInput, match=r"none\.jsonl"):
        made(base, "two", good=["none.jsonl"])
    (base / "not.bin").write_bytes(b"no model")
    with pytest.raises(BadInput, match=r"not\.bin: is not a sound fastText classifier"):
        made(base, "three", model="not.bin")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "needs a model, or good and bad examples"),
        ({"good": ["a"]}, "give both"),
        ({"good": ["a"], "bad": ["b"], "model": "c.bin"}, "give one of the two"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Corpus(filters=("classifier",), classifier=table)


def test_examples_models_and_word_lists_are_part_of_what_a_corpus_is_made_of(base: Path) -> None:
    (base / "words.txt").write_text("darn\n")
    (base / "ready.bin").write_bytes(b"1")

    def identity(**settings: Any) -> list[Any]:
        table = Corpus(sources=("web.jsonl",), **settings)
        return identity_of("corpus", table, folder=base, packages=(), digests=SourceDigests(base))

    plain = identity()
    trained: dict[str, Any] = {
        "filters": ("classifier",),
        "classifier": {"good": ["good.jsonl"], "bad": ["bad.jsonl"]},
    }
    ready: dict[str, Any] = {"filters": ("classifier",), "classifier": {"model": "ready.bin"}}
    words: dict[str, Any] = {"filters": ("c4",), "c4": {"bad_words": ["words.txt"]}}
    assert [entry[0] for entry in identity(**trained)] == ["web.jsonl", "good.jsonl", "bad.jsonl"]
    assert [entry[0] for entry in identity(**ready)] == ["web.jsonl", "ready.bin"]
    before = identity(**words)
    assert before[:1] == plain
    (base / "words.txt").write_text("drat\n")
    assert identity(**words) != before
    with pytest.raises(BadInput, match="cannot be read"):
        identity(filters=("c4",), c4={"bad_words": ["gone.txt"]})
