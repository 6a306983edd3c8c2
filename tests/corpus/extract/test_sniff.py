from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard

from workbench.corpus.extract.sniff import detect, format_of
from workbench.data.byte_stream import Unreadable

HTML = b"\n <!-- hello -->\n<!DOCTYPE html>\n<title>x</title>"


@pytest.mark.parametrize(
    ("name", "content", "format_", "surprise"),
    [
        ("a.txt", b"plain words", "text", ""),
        ("a.md", b"<p align=center>\n\n# Title", "text", ""),
        ("a.txt", HTML, "html", "read as a web page, which it is"),
        ("a.md", b"<html>", "html", "read as a web page, which it is"),
        ("a.html", b"no tags at all", "html", ""),
        ("a.txt", b'{"text": "a"}\n{"text": "b"}\n', "jsonl", "read as JSON lines, which it is"),
        ("a.txt", b'{"text": "a"}\nbut then prose\n', "text", ""),
        ("a.csv", b"text,id\nx,1\n", "csv", ""),
        ("a.csv", b'\xef\xbb\xbf{"text": "a"}\n', "jsonl", "read as JSON lines, which it is"),
        ("a.jsonl", b"WARC/1.0\r\nWARC-Type: x\r\n\r\n", "warc", "read as a web archive, which it is"),
        ("a.warc", b"WARC/1.1\r\n", "warc", ""),
        ("a.jsonl", b"PAR1" + bytes(9), "parquet", "read as Parquet, which it is"),
        ("a.parquet", b'{"text": "a"}\n', "jsonl", "read as JSON lines, which it is"),
        ("noname", b"plain", "text", ""),
        ("a.jsonl", b"not json", "jsonl", ""),
        ("a.json", b'[{"text": "a"}]', "json", ""),
        ("a.json", b'{\n"text": "a"\n}', "json", ""),
        ("a.json", b'{"text": "a"}\n{"text": "b"}\n', "jsonl", ""),
        ("a.jsonl", b'[\n  {"text": "a"}]', "json", "read as JSON, which it is"),
        ("a.jsonl", b'[{"text": "a"}]\n[{"text": "b"}]\n', "jsonl", ""),
        ("a.txt", b'[{"text": "a"}]', "json", "read as JSON, which it is"),
        ("a.txt", b'["a", "b"] and so on', "text", ""),
    ],
)
def test_the_format_is_told_by_the_bytes(
    tmp_path: Path, name: str, content: bytes, format_: str, surprise: str
) -> None:
    (tmp_path / name).write_bytes(content)
    found = detect(tmp_path / name)
    assert (found.format, found.packing, found.surprise) == (format_, "", surprise)
    for packing, packed in (("gzip", gzip.compress(content)), ("zstandard", zstandard.compress(content))):
        (tmp_path / name).write_bytes(packed)
        found = detect(tmp_path / name)
        assert (found.format, found.packing) == (format_, packing)
        assert f"packed with {packing}" in found.surprise


def test_packed_under_its_own_name_is_no_surprise(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n'))
    assert detect(tmp_path / "a.jsonl.gz").surprise == ""
    (tmp_path / "a.jsonl.gz").write_bytes(b'{"text": "a"}\n')
    assert detect(tmp_path / "a.jsonl.gz").surprise == "not packed"


def test_damage_is_left_to_who_reads(tmp_path: Path) -> None:
    (tmp_path / "a.warc.gz").write_bytes(b"\x1f\x8b" + b"junk" * 10)
    assert detect(tmp_path / "a.warc.gz").packing == "gzip"
    with pytest.raises(Unreadable):
        detect(tmp_path / "missing")


def test_looking_takes_linear_time() -> None:
    assert format_of(b"<!--" * 2000 + b" " * 8000, named="text") == "text"
