"""Every kind of source through the whole stage: what is told by content, and what becomes of damaged files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.fake_run import FakeRun, build, prose, write_jsonl
from workbench.corpus.blocks import Piece, gathered
from workbench.corpus.sources import Reading, open_sources
from workbench.data.corpus_folder import read_artifact_documents
from workbench.data.jsonl_zst import read_jsonl_zst

PAGE = """<!DOCTYPE html><html lang="en"><head><title>Page {0}</title></head><body>
<nav><a href="/">Home</a> <a href="/x">News</a></nav><article><h1>Page {0}</h1>{1}</article></body></html>"""


@pytest.fixture
def building(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path / "home" / "out")


def page(number: int) -> str:
    return PAGE.format(number, "".join(f"<p>{prose(100 * number + part, 4)}</p>" for part in range(4)))


def kept(run: FakeRun) -> dict[str, str]:
    parts = ("train", "heldout")
    return {
        each.id: each.text
        for part in parts
        for each in read_artifact_documents(run.folder, part)  # type: ignore[arg-type]
    }


def rejected(run: FakeRun) -> list[dict[str, Any]]:
    return list(read_jsonl_zst(run.folder / "rejected.jsonl.zst"))


def warc(pages: list[str]) -> bytes:
    records = []
    for number, text in enumerate(pages):
        body = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{text}".encode()
        head = (
            f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://example.org/{number}\r\n"
            f"Content-Type: application/http\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        records.append(head.encode() + body + b"\r\n\r\n")
    return b"".join(gzip.compress(record, mtime=0) for record in records)


def test_pages_archives_and_tables_become_text(tmp_path: Path, building: FakeRun) -> None:
    pytest.importorskip("resiliparse")
    (tmp_path / "pages").mkdir()
    for number in range(8):
        (tmp_path / "pages" / f"{number}.html").write_text(page(number))
    (tmp_path / "crawl.warc.gz").write_bytes(warc([page(number) for number in range(10, 16)]))
    rows = "".join(f'{n},"{prose(5000 + n)}\n{prose(6000 + n)}"\n' for n in range(20))
    (tmp_path / "table.csv").write_text("id,body\n" + rows)
    build(
        building,
        tmp_path,
        "pages",
        "crawl.warc.gz",
        "table.csv",
        text_keys={"table.csv": "{id}: {body}"},
        heldout_fraction=0.1,
    )
    found = kept(building)
    whole = {name.split("#")[0] for name in found}
    assert {"pages/3.html", "crawl.warc.gz:2", "table.csv:4"} <= whole and len(whole) == 34
    text = "\n".join(found.values())
    assert prose(303, 4) in text and prose(1203, 4) in text
    assert "Home" not in text and "<p>" not in text
    assert f"1: {prose(5001)}\n{prose(6001)}" in text
    (record,) = (
        each
        for part in ("train-00000", "heldout")
        for each in read_jsonl_zst(building.folder / f"{part}.jsonl.zst")
        if each["id"].split("#")[0] == "crawl.warc.gz:2"
    )
    assert (record["url"], record["title"]) == ("https://example.org/1", "Page 11")


def test_a_file_is_what_its_content_says(tmp_path: Path, building: FakeRun) -> None:
    pytest.importorskip("resiliparse")
    write_jsonl(tmp_path / "lines.txt", [prose(seed) for seed in range(40)])
    (tmp_path / "packed.jsonl").write_bytes(gzip.compress((tmp_path / "lines.txt").read_bytes()))
    (tmp_path / "page.txt").write_text(page(7))
    build(building, tmp_path, "lines.txt", "packed.jsonl", "page.txt", deduplicate="none")
    found = {name.split("#")[0] for name in kept(building)}
    assert {"lines.txt:1", "packed.jsonl:40", "page.txt"} <= found


def test_a_file_of_many_that_cannot_be_read_is_a_bad_record(tmp_path: Path, building: FakeRun) -> None:
    pytest.importorskip("resiliparse")
    folder = tmp_path / "mixed"
    folder.mkdir()
    write_jsonl(folder / "a.jsonl", [prose(seed) for seed in range(400)])
    packed = gzip.compress((folder / "a.jsonl").read_bytes().replace(b'"text": "', b'"text": "more '))
    (folder / "b.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    (folder / "c.txt").write_bytes(b"%PDF-1.4 " + bytes(range(256)) * 10)
    (folder / "d.html").write_text("<html>" + "<div>" * 5000)
    (folder / "e\x1b[31m\n.txt").write_text(prose(77, 30))
    summary = build(building, tmp_path, "mixed", max_bad_records=0.02)
    assert summary["documents"] > 500
    bad = {record["id"].rpartition("/")[2]: record["reason"] for record in rejected(building)}
    assert any(name.startswith("b.jsonl.gz:") and reason == "cut_off" for name, reason in bad.items())
    assert bad["c.txt:1"] == "not_text" and bad["d.html:1"] == "nested_too_deep"
    assert not any("\x1b" in name or "\n" in name for name in kept(building))


def test_languages_stay_or_go(tmp_path: Path, building: FakeRun) -> None:
    pytest.importorskip("py3langid")
    english = (
        "The committee met on Tuesday to discuss the new plans for the harbour, and number {} was heard."
    )
    german = (
        "Der Ausschuss traf sich am Dienstag, um die Pläne für den Hafen zu besprechen, und Nummer {} sprach."
    )
    write_jsonl(
        tmp_path / "a.jsonl",
        [text.format(f"{n} of {n * 7}") * 3 for n in range(30) for text in (english, german)],
    )
    summary = build(building, tmp_path, "a.jsonl", filters=("language",), language={"languages": ("de",)})
    assert summary["rejected"]["other_language"] == 30
    assert all("Dienstag" in text for text in kept(building).values())


def test_addresses_are_masked_and_counted(tmp_path: Path, building: FakeRun) -> None:
    write_jsonl(tmp_path / "a.jsonl", [f"Write to joe{n}@example.org. {prose(n)}" for n in range(30)])
    build(building, tmp_path, "a.jsonl", pii={"emails": True})
    report = json.loads((building.folder / "report.json").read_text())
    assert report["masked"]["emails"]["count"] == 30
    assert "joe" not in json.dumps(report["masked"]) and report["masked"]["emails"]["samples"][0].startswith(
        "jxx"
    )
    assert report["sources"]["a.jsonl"]["changed"]["masked"] == 30
    assert not any("@" in text for text in kept(building).values())


def test_characters_that_cleaning_takes_out_are_counted_by_source(tmp_path: Path, building: FakeRun) -> None:
    write_jsonl(
        tmp_path / "a.jsonl", [f"\x1b[31mred\x1b[0m \x00\x07\ufeff\u200bx {prose(n)}" for n in range(20)]
    )
    write_jsonl(tmp_path / "b.jsonl", [prose(100 + n) for n in range(20)])
    build(building, tmp_path, "a.jsonl", "b.jsonl")
    sources = json.loads((building.folder / "report.json").read_text())["sources"]
    assert sources["a.jsonl"]["removed"] == {
        "control_characters": 40,
        "terminal_escapes": 40,
        "zero_width": 40,
    }
    assert sources["a.jsonl"]["changed"]["zero_width"] == 20
    assert sources["b.jsonl"]["removed"] == {}


def test_blocks_of_many_small_files_and_progress(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(600):
        (tmp_path / "many" / f"{number:03}.txt").write_text(f"text {number}")
    opened = open_sources(["many"], base=tmp_path, reading=Reading())
    blocks = list(opened.blocks)
    assert [len(block.pieces) for block in blocks] == [256, 256, 88]
    assert [block.number for block in blocks] == [0, 1, 2]
    assert len({block.digest() for block in blocks}) == 3
    pieces = [Piece(str(n), 1, b"x" * 10) for n in range(10)]
    sizes = [block.num_bytes for block in gathered("s", "text", pieces, block_bytes=25)]
    assert sizes == [20] * 5
