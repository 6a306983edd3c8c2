"""Pages of a corpus: the layout that corpus_folder.py writes, read without reading it whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.data import corpus_folder
from workbench.data.documents import Document
from workbench.errors import Damaged
from workbench.stored_documents import MOST_CHARACTERS, Place, StoredDocuments, read_clusters


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine documents in three shards of three, and five rejected ones."""
    with corpus_folder.train_writer(tmp_path, shard_bytes=100) as writer:
        for number in range(9):
            document = Document(
                f"d{number}", f"text {number} Ärger \x1b[31m\n" + "x" * 12, "here", heldout=False
            )
            corpus_folder.write_document(writer, document)
    with corpus_folder.rejected_writer(tmp_path) as writer:
        for number in range(5):
            document = Document(f"r{number}", 'short "reason":"x"', "here", heldout=False)
            reason = ("too_short", "duplicate")[number % 2]
            writer.write(corpus_folder.rejected_record(document, reason, 18, copy_of="d1"))
    corpus_folder.heldout_writer(tmp_path).__exit__(None, None, None)
    return tmp_path


def test_pages_follow_each_other_over_shards(folder: Path) -> None:
    documents = StoredDocuments(folder, "train")
    first = documents.page(Place(), 4)
    second = documents.page(Place(first[-1].place.file, first[-1].place.line + 1), 10)
    assert [each.id for each in (*first, *second)] == [f"d{number}" for number in range(9)]
    assert documents.page(Place(1, 1), 1)[0].id == StoredDocuments(folder, "train").page(Place(1, 1), 1)[0].id
    assert documents.page(second[-1].place, 5)[0].text.endswith("x" * 12)


def test_the_rejected_come_with_reason_and_figure(folder: Path) -> None:
    found = StoredDocuments(folder, "rejected", reason="too_short").page(Place(), 10)
    assert [(each.id, each.figure, each.copy_of) for each in found] == [
        (f"r{number}", 18, "d1") for number in (0, 2, 4)
    ]
    assert StoredDocuments(folder, "rejected", reason="x").page(Place(), 10) == []


@pytest.mark.parametrize("source", ["there", 'a "b"', "Ä\\x\x1b\x7f\u2028", "text\n"])
def test_documents_of_one_source(tmp_path: Path, source: str) -> None:
    with corpus_folder.train_writer(tmp_path) as writer:
        for number in range(6):
            told = f'"source":"{source}" is no source'
            whose = source if number % 3 == 0 else "here"
            corpus_folder.write_document(writer, Document(f"d{number}", told, whose, heldout=False))
    found = StoredDocuments(tmp_path, "train", source=source).page(Place(), 9)
    assert [(each.id, each.source) for each in found] == [("d0", source), ("d3", source)]


def test_find_gives_places_and_takes_no_notice_of_case(folder: Path) -> None:
    documents = StoredDocuments(folder, "train")
    hits = [place for place in documents.find("TEXT 7", Place()) if place is not None]
    assert [documents.page(place, 1)[0].id for place in hits] == ["d7"]
    assert next(filter(None, documents.find("Ärger \x1b[", Place(0, 1)))) == Place(0, 1)
    assert not [place for place in documents.find("nowhere", Place()) if place is not None]


def test_a_share_of_the_way_is_a_document(folder: Path) -> None:
    documents = StoredDocuments(folder, "train")
    places = [documents.at(share / 100) for share in range(100)]
    assert len(set(places)) > 5
    assert all(documents.page(place, 1) for place in places)


def test_an_empty_part_and_a_cut_file(folder: Path) -> None:
    assert StoredDocuments(folder, "heldout").page(Place(), 3) == []
    file = folder / "train-00001.jsonl.zst"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(Damaged, match="train-00001"):
        StoredDocuments(folder, "train").page(Place(), 9)
    assert read_clusters(folder, 5) == []


def test_a_giant_text_is_cut(tmp_path: Path) -> None:
    with corpus_folder.train_writer(tmp_path) as writer:
        corpus_folder.write_document(writer, Document("big", "é" * 3_000_000, "here", heldout=False))
    (big,) = StoredDocuments(tmp_path, "train").page(Place(), 2)
    assert (len(big.text), big.characters) == (MOST_CHARACTERS, 3_000_000)
