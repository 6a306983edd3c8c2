from __future__ import annotations

from pathlib import Path

import pytest

from workbench.data import corpus_folder
from workbench.data.documents import Document
from workbench.data.jsonl_zst import JsonlZstWriter, read_jsonl_zst
from workbench.errors import Damaged

DOCUMENTS = [Document(f"a:{i}", f"Text {i} — ünï\n" * 50, "a") for i in range(20)]


def test_documents_come_back_in_order_over_many_shards(tmp_path: Path) -> None:
    with corpus_folder.train_writer(tmp_path, shard_bytes=3000) as train:
        for document in DOCUMENTS:
            corpus_folder.write_document(train, document)
    with corpus_folder.heldout_writer(tmp_path) as heldout:
        corpus_folder.write_document(heldout, DOCUMENTS[0])
    assert len(corpus_folder.train_files(tmp_path)) > 2
    back = list(corpus_folder.read_artifact_documents(tmp_path, "train"))
    assert [(each.id, each.text, each.source) for each in back] == [
        (d.id, d.text, d.source) for d in DOCUMENTS
    ]
    assert {each.heldout for each in back} == {False}
    assert [each.heldout for each in corpus_folder.read_artifact_documents(tmp_path, "heldout")] == [True]


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with JsonlZstWriter(tmp_path / name) as writer:
            writer.write({"text": "hello" * 1000, "n": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_nothing_written_is_an_empty_file_that_can_be_read(tmp_path: Path) -> None:
    with corpus_folder.train_writer(tmp_path):
        pass
    assert list(corpus_folder.read_artifact_documents(tmp_path, "train")) == []


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damage_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.jsonl.zst"
    with JsonlZstWriter(path) as writer:
        for number in range(5000):
            writer.write({"text": f"record {number * 7919 % 5003}"})
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(Damaged, match=r"a\.jsonl\.zst"):
        list(read_jsonl_zst(path))
