"""Rows: every container gives the same records, and damage is said with its place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from workbench.data.rows import BadRow, Row, read_rows
from workbench.errors import BadInput

RECORDS = [{"a": "ä\n", "n": 1}, {"a": "", "n": 2}]
LINES = "".join(json.dumps(record) + "\n" for record in RECORDS).encode()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.jsonl", LINES),
        ("x.jsonl", b"\xef\xbb\xbf" + LINES),
        ("x.jsonl.gz", gzip.compress(LINES, mtime=0)),
        ("x.jsonl.zst", zstandard.compress(LINES)),
        ("x.json", LINES),
        ("x.json", json.dumps(RECORDS, indent=2).encode()),
        ("x.json.gz", gzip.compress(json.dumps(RECORDS).encode(), mtime=0)),
    ],
)
def test_every_container_gives_the_same_records(tmp_path: Path, name: str, content: bytes) -> None:
    rows = list(read_rows(write(tmp_path / name, content)))
    assert [row.fields for row in rows if isinstance(row, Row)] == RECORDS


def test_parquet_rows_are_numbered(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(RECORDS), tmp_path / "x.parquet")
    assert list(read_rows(tmp_path / "x.parquet")) == [Row(1, RECORDS[0]), Row(2, RECORDS[1])]


def test_lines_of_a_list_are_where_the_objects_start(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", b'[\n {"a": 1},\n\n {"a":\n 2}, 7,\n {"b": NaN},\n "\xff"]\n')
    assert list(read_rows(path)) == [
        Row(2, {"a": 1}),
        Row(4, {"a": 2}),
        BadRow(5, "a JSON number where an object is expected"),
        BadRow(6, "unexpected character, expected a JSON value (column 7)"),
        BadRow(7, "byte 2 of the line is not UTF-8"),
    ]


def test_one_object_over_many_lines_is_one_record(tmp_path: Path) -> None:
    assert list(read_rows(write(tmp_path / "x.json", b'{\n"data": []\n}'))) == [Row(1, {"data": []})]


def test_bad_lines_are_told_and_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", b'{"a": 1}\n\nnope\n[]\n{"a": "\xff"}\n{"a": "\\ud800"}\n{"a": 2}')
    rows = list(read_rows(path))
    assert [row.line for row in rows] == [1, 3, 4, 5, 6, 7]
    assert [isinstance(row, BadRow) for row in rows] == [False, True, True, True, True, False]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl.gz", gzip.compress(LINES, mtime=0)[:-6], "cut off"),
        ("x.jsonl.zst", zstandard.compress(LINES)[:-6], "cut off"),
        ("x.jsonl.gz", b"\x1f\x8b\x08 not gzip", "damaged"),
        ("x.json", b'[{"a": 1}, {"a"', ":1: is not whole JSON"),
        ("x.parquet", b"PAR1 and no more", "not Parquet"),
        ("x.csv", b"a,b", "kind of file"),
    ],
)
def test_damage_is_one_line_naming_the_file(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        list(read_rows(write(tmp_path / name, content)))
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no\.jsonl"):
        list(read_rows(tmp_path / "no.jsonl"))
