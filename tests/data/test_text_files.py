from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.documents import TextSplit
from workbench.data.text_files import BadText, Text, texts_of


def texts(content: bytes, split: TextSplit = "file", **limits: int) -> list[str]:
    found = list(texts_of([content], split=split, **limits))
    assert all(isinstance(text, Text) for text in found)
    return [cast(Text, text).text for text in found]


def test_a_file_is_one_document() -> None:
    assert texts(b"one\n\n\n\ntwo\n") == ["one\n\n\n\ntwo\n"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_two_blank_lines_separate_and_one_does_not(end: bytes) -> None:
    content = end.join([b"", b"a", b"", b"b", b"", b"  ", b"c", b"", b"", b"", b"d"])
    found = list(texts_of([content[:7], content[7:]], split="blank-lines"))
    assert [(text.line, cast(Text, text).text.strip()) for text in found] == [
        (2, "a\n\nb"),
        (7, "c"),
        (11, "d"),
    ]


def test_every_line_is_a_document() -> None:
    assert texts(b"a\n\nb\r\nc", "lines") == ["a", "b", "c"]


def test_white_space_is_no_text() -> None:
    for split in ("file", "blank-lines", "lines"):
        assert texts(b" \n\t\n  \n", cast(TextSplit, split)) == []


def test_a_long_file_is_cut_at_a_blank_line_else_a_line_else_a_space() -> None:
    assert texts(b"aaaa aa\n\nbb\nbb cc", max_bytes=12) == ["aaaa aa\n\n", "bb\nbb cc"]
    assert texts(b"aaaa aa\nbb bb cc", max_bytes=12) == ["aaaa aa\n", "bb bb cc"]
    assert texts(b"aaaa aa bb bb cc", max_bytes=12) == ["aaaa aa bb ", "bb cc"]


@given(st.text(max_size=300), st.integers(8, 40))
def test_cutting_loses_nothing_and_breaks_no_character(text: str, max_bytes: int) -> None:
    content = text.encode("utf-8", "ignore")
    pieces = [cast(Text, piece).text for piece in texts_of([content], split="file", max_bytes=max_bytes)]
    assert all(len(piece.encode()) <= max_bytes for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(content.decode().split())


def test_latin_1_is_read_as_windows_1252_and_counted() -> None:
    prose = "“The café was closed,” she said – and it was, that day and the next. " * 3
    (found,) = texts_of([prose.encode("cp1252")], split="file")
    assert found == Text(1, prose, foreign_bytes=12)


def test_another_encoding_is_a_bad_record_at_its_line() -> None:
    (found,) = texts_of([b"ok\n" + "Привет, мир".encode("koi8-r")], split="file")
    assert isinstance(found, BadText)
    assert (found.line, found.reason) == (2, "invalid_utf8")


def test_a_line_too_long_for_a_document_is_a_bad_record() -> None:
    found = list(texts_of([b"fine\n" + b"x" * 100 + b"\nfine too"], split="lines", max_bytes=50))
    assert [type(text) for text in found] == [Text, BadText, Text]
    assert (found[1].line, cast(BadText, found[1]).reason) == (2, "line_too_long")
