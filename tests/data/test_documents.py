from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from workbench.data.documents import BadRecord, Document, read_documents
from workbench.errors import BadInput

ROWS = [{"id": i, "text": f"Document {i} says hello.\nTwice."} for i in range(5)]
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
TEXTS = [row["text"] for row in ROWS]


def read(base: Path, *sources: str, **options: Any) -> list[Document | BadRecord]:
    return list(read_documents(sources, base=base, **options))


def texts(records: Sequence[Document | BadRecord]) -> list[str]:
    return [record.text for record in records if isinstance(record, Document)]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """The same five documents in every kind of file."""
    (tmp_path / "a.jsonl").write_bytes(JSONL)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(JSONL))
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(JSONL))
    (tmp_path / "crlf.jsonl").write_bytes(b"\xef\xbb\xbf" + JSONL.replace(b"\n", b"\r\n\r\n"))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet", row_group_size=2)
    folder = tmp_path / "folder"
    folder.mkdir()
    for row in ROWS:
        (folder / f"{row['id']}.txt").write_text(str(row["text"]))
    return tmp_path


@pytest.mark.parametrize(
    "source",
    ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "crlf.jsonl", "a.parquet", "folder", "folder/*.txt", "hf:./hub"],
)
def test_every_kind_of_source_gives_the_same_documents(library: Path, source: str) -> None:
    (library / "hub").mkdir()
    (library / "hub" / "train.jsonl").write_bytes(JSONL)
    records = read(library, source)
    assert texts(records) == TEXTS
    assert len({record.id for record in records if isinstance(record, Document)}) == 5
    assert {record.source for record in records} == {source}


def test_sources_come_in_order_and_limits_count_per_source(library: Path) -> None:
    records = read(library, "folder", "a.parquet", max_documents=2)
    assert [record.id for record in records if isinstance(record, Document)] == [
        "folder/0.txt",
        "folder/1.txt",
        "a.parquet:1",
        "a.parquet:2",
    ]


def test_hidden_and_unknown_files_of_a_folder_are_passed_over(library: Path) -> None:
    (library / "folder" / ".hidden.txt").write_text("no")
    (library / "folder" / "picture.png").write_bytes(b"\x89PNG")
    assert texts(read(library, "folder")) == TEXTS


@pytest.mark.parametrize(
    "name", [b"new\nline.txt", b"-rf.txt", b"[bold.txt", b"bad\xff\xfe.txt", b"\x1b]0;t.txt"]
)
def test_odd_file_names_are_read_and_shown_on_one_line(tmp_path: Path, name: bytes) -> None:
    (tmp_path / os.fsdecode(name)).write_bytes(b"hello")
    (record,) = read(tmp_path, ".")
    assert isinstance(record, Document)
    assert record.id.isprintable()


def test_bad_lines_are_bad_records_with_their_place(tmp_path: Path) -> None:
    lines = [
        '{"text": "good"}',
        "",
        "[1]",
        '{"tex": "typo"}',
        '{"text": null}',
        '{"text": 5}',
        '{"text": "good"}',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    records = read(tmp_path, "a.jsonl")
    assert texts(records) == ["good", "good"]
    bad = [record for record in records if isinstance(record, BadRecord)]
    assert [(record.line, record.reason) for record in bad] == [
        (3, "not_an_object"),
        (4, "no_text"),
        (5, "text_not_a_string"),
        (6, "text_not_a_string"),
    ]
    assert bad[0].place == f"{tmp_path}/a.jsonl:3"
    assert "'tex'" in bad[1].detail


def test_parquet_rows_without_text_are_bad_records(tmp_path: Path) -> None:
    column = pa.array([b"good", None, b"\xff"], type=pa.binary()).view(pa.utf8())
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    records = read(tmp_path, "a.parquet")
    assert [getattr(record, "reason", "") for record in records] == ["", "no_text", "invalid_utf8"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.txt", "missing.txt: .*No such file"),
        ("no/*.txt", r"no/\*.txt: "),
        ("empty.txt", "empty.txt: holds no text"),
        ("blank.txt", "blank.txt: holds no text"),
        ("empty", "empty: "),
        ("table.csv", "table.csv: documents are not read from this kind of file"),
        ("fake.parquet", "fake.parquet: is not a Parquet file"),
        ("other.parquet", "other.parquet: has no column 'text', but 'body'"),
        ("numbers.parquet", "numbers.parquet: column 'text' holds int64, not text"),
        ("hf:./nowhere", "nowhere: there is no such dataset folder"),
        ("hf:./empty", "hf:./empty: cannot be opened"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line_that_names_it(
    tmp_path: Path, source: str, message: str
) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "blank.txt").write_text(" \n\t\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("text\nhello\n")
    (tmp_path / "fake.parquet").write_bytes(b"PAR1" + bytes(50) + b"PAR1")
    pq.write_table(pa.table({"body": ["hello"]}), tmp_path / "other.parquet")
    pq.write_table(pa.table({"text": [5]}), tmp_path / "numbers.parquet")
    with pytest.raises(BadInput, match=message) as caught:
        read(tmp_path, source)
    assert "\n" not in str(caught.value)


def test_names_are_looked_up_before_anything_is_read(library: Path) -> None:
    with pytest.raises(BadInput, match="missing"):
        read_documents(["a.jsonl", "missing.txt"], base=library)


def test_hub_rows_without_text_are_bad_records(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "data.jsonl").write_text('{"text": "good"}\n{"text": null}\n')
    records = read(tmp_path, "hf:./hub")
    assert [getattr(record, "reason", "") for record in records] == ["", "text_not_a_string"]
    with pytest.raises(BadInput, match="hf:"):
        read(tmp_path, "hf:./hub", hf_split="nonsense")
