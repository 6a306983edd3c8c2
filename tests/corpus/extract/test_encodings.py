from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.corpus.extract.encodings import decode_page

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 8
GERMAN = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. " * 8
JAPANESE = "いろはにほへと ちりぬるを わかよたれそ つねならむ。" * 8
CHINESE = "天地玄黄,宇宙洪荒。日月盈昃,辰宿列张。寒来暑往,秋收冬藏。" * 8


@pytest.mark.parametrize(
    ("text", "encoding", "label"),
    [
        (RUSSIAN, "koi8-r", "koi8-r"),
        (RUSSIAN, "cp1251", "windows-1251"),
        (GERMAN, "cp1252", "iso-8859-1"),
        (JAPANESE, "cp932", "Shift_JIS"),
        (JAPANESE, "euc_jp", "euc-jp"),
        (JAPANESE, "iso2022_jp", "iso-2022-jp"),
        (CHINESE, "gb18030", "gb2312"),
        (CHINESE, "big5hkscs", "big5"),
    ],
)
@pytest.mark.parametrize("where", ["header", "meta", "nowhere"])
def test_a_page_is_read_in_its_encoding(text: str, encoding: str, label: str, where: str) -> None:
    if encoding == "big5hkscs":
        text = "天地玄黃,宇宙洪荒。日月盈昃,辰宿列張。寒來暑往,秋收冬藏。" * 8
    head = f'<meta http-equiv=content-type content="text/html; charset={label}">' if where == "meta" else ""
    data = head.encode() + text.encode(encoding)
    if where == "nowhere" and encoding == "iso2022_jp":
        return  # seven bits that are also ASCII: nothing tells
    read = decode_page(data, charset=label if where == "header" else None)
    assert read.text == head + text
    assert read.foreign_bytes == 0


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"])
def test_marks_and_zeros_are_believed(encoding: str) -> None:
    text = "<html><p>" + GERMAN
    assert decode_page(text.encode(encoding), charset="koi8-r").text == text


def test_utf_8_is_seen_whatever_is_declared() -> None:
    data = b'<meta charset="iso-8859-1">' + GERMAN.encode()
    assert decode_page(data, charset="windows-1251").encoding == "utf-8"
    assert "Zwölf" in decode_page(data).text


def test_strays_in_utf_8_are_read_as_windows_1252_and_counted() -> None:
    read = decode_page(RUSSIAN.encode() + b"caf\xe9")
    assert read.text == RUSSIAN + "café"
    assert (read.encoding, read.foreign_bytes) == ("utf-8", 1)


def test_a_declaration_that_cannot_be_true_is_not_believed() -> None:
    data = b"<meta charset=utf-8>" + GERMAN.encode("cp1252")
    assert "Zwölf" in decode_page(data).text
    assert "Zwölf" in decode_page(data, charset="utf-8").text
    assert "Zwölf" in decode_page(data, charset="no-such-thing").text


@given(st.binary(max_size=300), st.sampled_from([None, "utf-7", "utf-16", "x-user-defined", "gbk", "\0"]))
def test_every_page_becomes_text_that_can_be_written(data: bytes, charset: str | None) -> None:
    decode_page(data, charset=charset).text.encode()
