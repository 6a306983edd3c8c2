"""Files that are damaged, crafted or not what they are called: what is good in them is kept, the rest has its place."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from workbench.corpus.extract.settings import Extraction, HtmlLimits
from workbench.corpus.extracting import extracted
from workbench.corpus.sources import Reading, open_sources
from workbench.data.documents import BadRecord, Document
from workbench.errors import BadInput

pytest.importorskip("resiliparse")  # a whole installation has it


def prose(seed: int, words: int = 60) -> str:
    draw = random.Random(seed)
    return " ".join("".join(draw.choices("etaoinshrdlu", k=draw.randint(2, 8))) for _ in range(words)) + "."


TEXTS = [prose(seed) for seed in range(40)]
LINES = b"".join(json.dumps({"text": text}).encode() + b"\n" for text in TEXTS)


MANY_LINES = b"".join(json.dumps({"text": prose(seed)}).encode() + b"\n" for seed in range(2000))


def page(text: str) -> bytes:
    return f"<!DOCTYPE html><title>t</title><body><nav>Home</nav><article><p>{text}</p></article>".encode()


def archive(texts: list[str]) -> bytes:
    records = []
    for text in texts:
        body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page(text)
        head = f"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http\r\nContent-Length: {len(body)}"
        records.append(head.encode() + b"\r\nWARC-Target-URI: http://e.org/\r\n\r\n" + body + b"\r\n\r\n")
    return b"".join(records)


def table(texts: list[str], **options: Any) -> bytes:
    out = io.StringIO()
    csv.writer(out, **options).writerows([["id", "text"], *([str(n), text] for n, text in enumerate(texts))])
    return out.getvalue().encode()


def read(base: Path, *sources: str, **options: Any) -> tuple[list[Document], list[BadRecord], dict[str, str]]:
    reading = Reading(**options)
    opened = open_sources(sources or (".",), base=base, reading=reading)
    records = [
        record
        for block in opened.blocks
        for piece in block.pieces
        for record in extracted(block, piece, reading)
    ]
    good = [record for record in records if isinstance(record, Document)]
    bad = [record for record in records if isinstance(record, BadRecord)]
    for record in [*good, *bad]:
        assert str(getattr(record, "id", "") + getattr(record, "place", "")).isprintable()
    return good, bad, opened.surprises


def texts_of(documents: list[Document]) -> list[str]:
    return [document.text for document in documents]


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_every_format_gives_its_documents_under_its_own_name_and_under_another(
    tmp_path: Path, packing: str
) -> None:
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[packing]
    contents = {
        "jsonl": LINES,
        "csv": table(TEXTS),
        "tsv": table(TEXTS, delimiter="\t"),
        "warc": archive(TEXTS),
        "html": page(TEXTS[0]),
        "txt": TEXTS[0].encode(),
    }
    for name, content in contents.items():
        (tmp_path / f"a.{name}{packing}").write_bytes(pack(content))
        good, bad, surprises = read(tmp_path, f"a.{name}{packing}")
        assert not bad
        assert not surprises
        assert texts_of(good) == (TEXTS if name in ("jsonl", "csv", "tsv", "warc") else TEXTS[:1]), name
    for name in ("jsonl", "warc", "html"):
        (tmp_path / f"{name}.txt").write_bytes(pack(contents[name]))
        good, _, surprises = read(tmp_path, f"{name}.txt")
        assert texts_of(good) == (TEXTS if name != "html" else TEXTS[:1])
        assert "which it is" in next(iter(surprises.values()))


def test_a_folder_of_everything_keeps_what_is_good(tmp_path: Path) -> None:
    files = {
        "bomb.jsonl.gz": gzip.compress(b"a" * 150_000_000, compresslevel=9),
        "cut.jsonl.gz": gzip.compress(LINES)[:-300],
        "cut.jsonl.zst": zstandard.compress(MANY_LINES)[:-300],
        "damaged.jsonl.gz": gzip.compress(LINES)[:-8] + bytes(8),
        "nul.jsonl": b'{"text": "a\x00b"}\n' + LINES[:2000].rpartition(b"\n")[0],
        "crlf.jsonl": b"\xef\xbb\xbf" + LINES.replace(b"\n", b"\r\n"),
        "double.jsonl": b'{"text": "a", "text": "b"}\n' + LINES,
        "surrogate.jsonl": b'{"text": "\\ud800"}\n{"text": null}\n{"text": 7}\n{"text": ["x"]}\n[]\n"x"\n'
        + LINES,
        "deep.jsonl": b'{"text": ' + b"[" * 100_000 + b"\n" + LINES,
        "long.jsonl": b'{"text": "' + b"x" * 20_000_000 + b'"}\n' + LINES,
        "binary.txt": random.Random(0).randbytes(50_000),
        "utf16.txt": TEXTS[1].encode("utf-16"),
        "latin.txt": ("café, naïve — " + TEXTS[2]).encode("cp1252"),
        "escape.txt": f"\x1b]0;title\x07\x1b[31m{TEXTS[3]}\u202e\u200b[bold]x[/bold]".encode(),
        "nested.html": b"<div>" * 100_000 + page(TEXTS[4]),
        "huge.html": b"<p>" + b"x" * 50_000_000,
        "empty.html": b"",
        "cut.warc.gz": gzip.compress(archive(TEXTS))[:-500],
        "lengths.warc": archive(TEXTS[:3]).replace(b"Content-Length: ", b"Content-Length: 1", 1),
        "cut.parquet": b"PAR1" + random.Random(0).randbytes(5000),
        "quote.csv": table(TEXTS[:5]) + b'9,"never closed\n' + table(TEXTS[5:9]).partition(b"\n")[2],
        "columns.csv": b"a,b\n1,2\n",
        "list.json": json.dumps([{"text": text} for text in TEXTS], indent=1).encode(),
        "lines.json": LINES,
        "cut.json.gz": gzip.compress(MANY_LINES.replace(b"\n{", b",\n{").join((b"[", b"]")))[:-3000],
        "one.json": json.dumps({"text": TEXTS[6]}, indent=2).encode(),
        "items.json": json.dumps([{"text": TEXTS[7]}, 7, None, "x", {"text": None}, {"n": 1}]).encode(),
        "long.json": b'[{"text": "' + b"x" * 20_000_000 + b'"}, ' + LINES.splitlines()[0] + b"]",
        "config.json": b'{"name": "x"}',
        "picture.md": b"\x89PNG\r\n\x1a\n" + bytes(100),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / os.fsdecode(b"new\nline \xff\x1b]0;x\x07.txt")).write_text(TEXTS[5])
    rows = [{"text": text, "n": 1} for text in TEXTS[:6]] + [{"text": None, "n": 2}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "nulls.parquet")
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "numbers.parquet")
    good, bad, _ = read(tmp_path)
    kept = Counter(document.id.partition(":")[0] for document in good)
    reasons = {(Path(record.file).name, record.reason) for record in bad}
    assert kept["crlf.jsonl"] == kept["double.jsonl"] == kept["surrogate.jsonl"] == kept["deep.jsonl"] == 40
    assert kept["long.jsonl"] == 40
    assert kept["list.json"] == kept["lines.json"] == 40
    assert kept["one.json"] == kept["items.json"] == kept["long.json"] == 1
    assert 1000 < kept["cut.json.gz"] < 2000
    assert 30 < kept["cut.warc.gz"] < 40
    assert 30 < kept["cut.jsonl.gz"] < 40
    assert kept["cut.jsonl.zst"] > 1000
    assert kept["lengths.warc"] == 2
    assert kept["quote.csv"] == 9
    assert kept["nulls.parquet"] == 6
    assert kept["utf16.txt"] == kept["latin.txt"] == kept["escape.txt"] == 1
    for expected in [
        ("bomb.jsonl.gz", "bomb"),
        ("cut.jsonl.gz", "cut_off"),
        ("cut.jsonl.zst", "cut_off"),
        ("damaged.jsonl.gz", "damaged"),
        ("nul.jsonl", "not_json"),
        ("double.jsonl", "duplicate_key"),
        ("cut.json.gz", "cut_off"),
        ("items.json", "not_an_object"),
        ("items.json", "text_not_a_string"),
        ("items.json", "no_text"),
        ("long.json", "record_too_long"),
        ("config.json", "no_text"),
        ("surrogate.jsonl", "lone_surrogate"),
        ("surrogate.jsonl", "text_not_a_string"),
        ("surrogate.jsonl", "not_an_object"),
        ("deep.jsonl", "nested_too_deep"),
        ("long.jsonl", "line_too_long"),
        ("binary.txt", "not_text"),
        ("nested.html", "nested_too_deep"),
        ("huge.html", "page_too_large"),
        ("empty.html", "no_text"),
        ("cut.warc.gz", "cut_off"),
        ("lengths.warc", "wrong_content_length"),
        ("cut.parquet", "damaged_file"),
        ("quote.csv", "unclosed_quote"),
        ("columns.csv", "no_column"),
        ("picture.md", "not_text"),
        ("nulls.parquet", "no_text"),
        ("numbers.parquet", "damaged_file"),
    ]:
        assert expected in reasons, expected
    first = next(record for record in bad if record.reason == "lone_surrogate")
    assert first.place == f"{tmp_path}/surrogate.jsonl:1"


def test_a_file_that_vanishes_or_changes_is_one_bad_record(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_bytes(LINES)
    opened = open_sources(["."], base=tmp_path, reading=Reading())
    (tmp_path / "b.jsonl").unlink()
    pieces = [piece for block in opened.blocks for piece in block.pieces]
    assert [piece.bad and piece.bad[0] for piece in pieces] == [None, "vanished", None]


def test_limits_are_obeyed(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(page(TEXTS[0]))
    (tmp_path / "b.html").write_bytes(page(TEXTS[0] * 9))
    small = Extraction(html_limits=HtmlLimits(max_page_bytes=2000))
    good, bad, _ = read(tmp_path, extraction=small)
    assert len(good) == 1
    assert [(record.reason, record.at_fault) for record in bad] == [("page_too_large", False)]
    good, _, _ = read(tmp_path, extraction=Extraction(html_text="all"))
    assert good[0].text.startswith("Home")


def test_sources_have_columns_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"q": "Why?", "a": "Because."}))
    (tmp_path / "b.csv").write_text("title,body\nA,b\n")
    pq.write_table(pa.table({"x": ["one"], "y": ["two"]}), tmp_path / "c.parquet")
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "data.jsonl").write_text(json.dumps({"q": "Who?", "a": "Me."}))
    keys = {"a.jsonl": "{q} {a}", "b.csv": "{title}: {body}", "c.parquet": "{x}+{y}", "hf:./hub": "{a}"}
    good, bad, _ = read(tmp_path, *keys, extraction=Extraction(text_keys=keys))
    assert not bad
    assert texts_of(good) == ["Why? Because.", "A: b", "one+two", "Me."]


def test_the_only_file_of_a_source_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(b"\x1f\x8b junk")
    with pytest.raises(BadInput, match=r"a\.jsonl\.gz"):
        read(tmp_path, "a.jsonl.gz")


def test_pipes_and_links_to_nothing_in_a_folder_are_bad_records(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "folder.txt" / "b.txt").write_text(TEXTS[0])
    os.mkfifo(tmp_path / "pipe.txt")
    os.symlink("nothing.txt", tmp_path / "dangling.txt")
    os.symlink("loop.txt", tmp_path / "loop.txt")
    os.symlink(".", tmp_path / "again")
    for source in (".", "*"):
        good, bad, _ = read(tmp_path, source)
        assert Counter(document.id.partition(":")[0] for document in good)["a.jsonl"] == 40
        assert {Path(record.file).name: record.reason for record in bad} == dict.fromkeys(
            ("dangling.txt", "loop.txt", "pipe.txt"), "cannot_be_read"
        )
    for name in ("pipe.txt", "dangling.txt", "*.nothing", "dang*.txt"):
        with pytest.raises(BadInput):
            read(tmp_path, name)
