"""The corpus stage on pages of several languages: text, metadata, language filter and masks, seen from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.corpus.fake_run import FakeRun, build
from workbench.data.corpus_folder import read_artifact_documents
from workbench.data.documents import Document
from workbench.data.jsonl_zst import read_jsonl_zst
from workbench.errors import BadInput

pytest.importorskip("resiliparse")  # a whole installation has both
pytest.importorskip("py3langid")

ENGLISH = "The harbour of town {} was empty that morning, and the ferryman sat down on his bench to read the paper. "
GERMAN = (
    "Der Hafen der Stadt {} war an diesem Morgen leer, und der Fährmann setzte sich und las in der Zeitung. "
)


def kept_in(folder: Path) -> dict[str, Document]:
    sides = (read_artifact_documents(folder), read_artifact_documents(folder, "heldout"))
    return {document.id: document for side in sides for document in side}


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    (tmp_path / "web").mkdir()
    for number in range(30):
        text = (GERMAN if number % 3 == 0 else ENGLISH).format(number) * 3
        mail = f"<p>Write to reader{number}@example.org, he answers every letter that he gets, sooner or later.</p>"
        page = (
            f"<html lang=xx><title>Page {number}</title><link rel=canonical href='https://e.org/{number}'>"
            f"<body><nav>Menu and more</nav><article><p>{text}</p>{mail if number == 1 else ''}</article>"
        )
        (tmp_path / "web" / f"{number:02}.html").write_text(page)
    (tmp_path / "web" / "page.txt").write_text("<!doctype html><p>" + ENGLISH.format("x") * 3)
    (tmp_path / "web" / "empty.html").write_text("<html><img src=x>")
    return tmp_path


def test_pages_of_one_language_with_masks_are_a_corpus(pages: Path) -> None:
    run = FakeRun(pages / "out")
    build(run, pages, "web", filters=["language"], pii={"emails": True}, text_split="file")
    kept = kept_in(run.folder)
    assert len(kept) == 21
    assert all("harbour" in each.text and "Menu" not in each.text for each in kept.values())
    assert "Write to [email], he answers" in kept["web/01.html"].text
    report = json.loads((run.folder / "report.json").read_text())
    source = report["sources"]["web"]
    assert source["rejected"] == {"no_text": 1, "other_language": 10}
    assert report["masked"] == {"emails": {"count": 1, "samples": ["rxxxxx0@xxxxxxx.xxx"]}}
    assert any("page.txt: read as a web page, which it is" in text for text in run.said)
    one = kept["web/01.html"]
    assert (one.title, one.url, one.language) == ("Page 1", "https://e.org/1", "xx")
    rejected = list(read_jsonl_zst(run.folder / "rejected.jsonl.zst"))
    assert {record["figure"] > 0.9 for record in rejected if record["reason"] == "other_language"} == {True}


def test_another_language_decides_from_the_cache(pages: Path) -> None:
    run = FakeRun(pages / "out")
    build(run, pages, "web", filters=["language"])
    build(run, pages, "web", filters=["language"], language={"languages": ["de"], "min_confidence": 0.5})
    kept = kept_in(run.folder)
    assert len(kept) == 10
    assert all("Fährmann" in each.text for each in kept.values())
    report = json.loads((run.folder / "report.json").read_text())
    assert report["sources"]["web"]["rejected"] == {"no_text": 1, "other_language": 21}


def test_a_language_model_that_is_none_is_refused_before_anything_is_read(pages: Path) -> None:
    (pages / "lid.bin").write_bytes(b"junk" * 9)
    with pytest.raises(BadInput, match=r"lid\.bin"):
        build(FakeRun(pages / "out"), pages, "web", filters=["language"], language={"model": "lid.bin"})
