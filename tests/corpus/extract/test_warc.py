from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.corpus.extract.readers import archived_document
from workbench.corpus.extract.settings import Extraction, HtmlLimits, Place
from workbench.corpus.extract.warc import (
    BadWarcRecord,
    WarcDamage,
    WarcRecord,
    http_body,
    parse_record,
    warc_records,
)
from workbench.data.documents import BadRecord, Document

PAGE = b"<html lang='de'><head><title>T</title></head><body><p>" + b"Ein langer Satz steht hier. " * 20
PLACE = Place("crawl", "a.warc", "/data/a.warc", 7)


def record(kind: str, content: bytes, *, length: int | None = None, **headers: str) -> bytes:
    lines = [f"WARC-Type: {kind}", "WARC-Target-URI: https://example.org/a"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(content) if length is None else length}"]
    return ("WARC/1.0\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode() + content + b"\r\n\r\n"


def response(body: bytes, *, status: int = 200, **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = f"HTTP/1.1 {status} OK\r\n" + "".join(line + "\r\n" for line in lines) + "\r\n"
    return record("response", head.encode() + body, Content_Type="application/http; msgtype=response")


def read(data: bytes, *, step: int = 1000, limit: int = 1_000_000) -> list[WarcRecord | BadWarcRecord]:
    blocks = (data[at : at + step] for at in range(0, len(data), step))
    return list(warc_records(blocks, max_record_bytes=limit))


def reasons(found: list[WarcRecord | BadWarcRecord]) -> list[str]:
    return [each.reason if isinstance(each, BadWarcRecord) else each.type for each in found]


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_records_come_out_whole_however_the_bytes_come_in(step: int) -> None:
    data = (
        record("warcinfo", b"hello: there")
        + record("conversion", b"some text\r\n\r\nmore")
        + record("request", b"")
    )
    found = read(data, step=step)
    assert reasons(found) == ["warcinfo", "conversion", "request"]
    assert [each.number for each in found] == [1, 2, 3]
    assert isinstance(found[1], WarcRecord)
    assert found[1].content == b"some text\r\n\r\nmore"
    assert found[1].url == "https://example.org/a"
    assert parse_record(found[1].raw).content == found[1].content
    assert parse_record(found[1].raw).headers == found[1].headers


@pytest.mark.parametrize("by", [-5, -1, 5, 300])
def test_a_wrong_length_costs_one_record(by: int) -> None:
    good = record("conversion", b"good text")
    wrong = record("conversion", b"x" * 50, length=50 + by)
    assert reasons(read(good + wrong + good + good, step=64)) == [
        "conversion",
        "wrong_content_length",
        "conversion",
        "conversion",
    ]


def test_a_length_beyond_the_end_does_not_swallow_what_follows() -> None:
    good = record("conversion", b"good text")
    wrong = record("conversion", b"x" * 50, length=500_000)
    assert reasons(read(good + wrong + good)) == ["conversion", "wrong_content_length", "conversion"]


@pytest.mark.parametrize("length", ["", "-5", "12e3", "９", "9" * 30])
def test_a_length_that_is_no_number_costs_one_record(length: str) -> None:
    good = record("conversion", b"good text")
    bad = f"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: {length}\r\n\r\nabc\r\n\r\n".encode()
    assert reasons(read(bad + good)) == ["wrong_content_length", "conversion"]


def test_a_cut_archive_keeps_what_is_whole() -> None:
    good = record("conversion", b"good text")
    for cut in (1, 20, len(good) // 2, len(good) - 6):
        assert reasons(read(good + good[:cut])) in (["conversion", "cut_off"], ["conversion", "not_a_record"])


def test_what_is_no_record_is_skipped_to_the_next() -> None:
    good = record("conversion", b"good text")
    assert reasons(read(b"\xff" * 300 + b"\n" + good)) == ["not_a_record", "conversion"]
    assert reasons(read(b"junk" * 100_000 + b"\n" + good)) == ["not_a_record", "conversion"]
    assert read(b"") == []
    assert read(b"\r\n\r\n") == []


def test_a_record_that_is_too_large_is_passed_over_without_being_held() -> None:
    good = record("conversion", b"good text")
    assert reasons(read(record("resource", b"y" * 5000) + good, limit=1000)) == [
        "page_too_large",
        "conversion",
    ]


@given(st.binary(max_size=400))
def test_no_bytes_are_too_odd(junk: bytes) -> None:
    good = record("conversion", b"good text")
    for data in (junk, good + junk, junk + b"\r\n\r\n" + good, good[:30] + junk + good[30:]):
        for each in read(data, step=50):
            if isinstance(each, WarcRecord):
                archived_document(each.raw, PLACE, Extraction())


def test_pages_and_texts_become_documents() -> None:
    page = archived_document(response(PAGE, Content_Type="text/html; charset=utf-8"), PLACE, Extraction())
    assert isinstance(page, Document)
    assert (page.id, page.url, page.title, page.language) == ("a.warc:7", "https://example.org/a", "T", "de")
    assert page.text.startswith("Ein langer Satz")
    wet = record(
        "conversion", "Grüße".encode(), Content_Type="text/plain", WARC_Identified_Content_Language="deu,eng"
    )
    text = archived_document(wet.removesuffix(b"\r\n\r\n"), PLACE, Extraction())
    assert isinstance(text, Document)
    assert (text.text, text.language) == ("Grüße", "deu")


@pytest.mark.parametrize(
    ("raw", "reason", "at_fault"),
    [
        (response(b"gone", status=404, Content_Type="text/html"), "not_found", False),
        (response(b"\x89PNG", Content_Type="image/png"), "not_a_page", False),
        (response(b"", Content_Type="text/html"), "no_text", False),
        (response(PAGE + b" " * 9000, Content_Type="text/html"), "page_too_large", False),
        (response(b"\x1b\x00", Content_Type="text/html", Content_Encoding="br"), "content_encoding", False),
        (response(b"\x1f\x8bjunk", Content_Type="text/html", Content_Encoding="gzip"), "damaged", True),
        (record("response", b"no http", Content_Type="application/http"), "not_http", True),
        (record("conversion", "Привет".encode("koi8-r"), Content_Type="text/plain"), "invalid_utf8", True),
    ],
)
def test_what_is_no_page_says_why(raw: bytes, reason: str, at_fault: bool) -> None:
    found = archived_document(raw, PLACE, Extraction(html_limits=HtmlLimits(max_page_bytes=5000)))
    assert isinstance(found, BadRecord)
    assert (found.reason, found.at_fault, found.place) == (reason, at_fault, "/data/a.warc:7")


def chunked(body: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(body), size):
        piece = body[at : at + size]
        yield f"{len(piece):x};x=y\r\n".encode() + piece + b"\r\n"
    yield b"0\r\n\r\n"


def test_bodies_are_unchunked_and_unpacked() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset='latin1'\r\n"
    joined = http_body(
        head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunked(PAGE, 99)), max_bytes=10**6
    )
    assert joined.body == PAGE
    assert (joined.media_type, joined.charset) == ("text/html", "latin1")
    already = http_body(head + b"Transfer-Encoding: chunked\r\n\r\n" + PAGE, max_bytes=10**6)
    assert already.body == PAGE
    for encoding, packed in [
        (b"gzip", gzip.compress(PAGE)),
        (b"deflate", zlib.compress(PAGE)),
        (b"deflate", zlib.compress(PAGE)[2:-4]),
        (b"gzip", PAGE),
        (b"br", PAGE),
    ]:
        unpacked = http_body(head + b"Content-Encoding: " + encoding + b"\r\n\r\n" + packed, max_bytes=10**6)
        assert unpacked.body == PAGE


def test_a_bomb_in_a_body_is_cut_at_the_limit() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
    assert len(http_body(head + gzip.compress(b"a" * 30_000_000), max_bytes=1000).body) == 1001


def test_no_status_line_is_no_response() -> None:
    with pytest.raises(WarcDamage):
        http_body(b"<html>", max_bytes=100)


@pytest.mark.parametrize("step", [7, 100_000])
def test_a_length_far_too_large_costs_its_own_record_and_a_large_record_is_passed_over(step: int) -> None:
    data = record("conversion", b"a" * 50, length=99_999_999) + record("conversion", b"b" * 50)
    assert reasons(read(data, step=step, limit=10_000)) == ["wrong_content_length", "conversion"]
    data = record("conversion", b"a" * 50_000) + record("conversion", b"b" * 50)
    assert reasons(read(data, step=step, limit=10_000)) == ["page_too_large", "conversion"]
