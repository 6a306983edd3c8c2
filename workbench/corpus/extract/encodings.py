"""Bytes of a web page to text, whatever their encoding; in order, the first that holds:

    mark        a byte order mark: UTF-8, UTF-16, UTF-32
    zeros       every second byte is zero: UTF-16 without a mark
    UTF-8       it is valid UTF-8. Text in another encoding that happens to be so is all but impossible, while
                pages that declare another encoding and are UTF-8 are common, so this goes before what is declared
    declared    what the HTTP header says, then <meta charset>, in the names of the WHATWG encoding standard
    mixed       mostly UTF-8 with strays: the strays are read as Windows-1252 and counted
    detected    what uchardet, Mozilla's detector, makes of the first and last 64 kB
    fallback    Windows-1252

What an encoding does not have becomes U+FFFD and is counted; when that is more than MAX_FOREIGN_SHARE the next way
is tried. The last always ends, so every page becomes text; whether it is any good is for later steps to judge.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

MAX_FOREIGN_SHARE = 0.02
"""Of all bytes. A declared encoding that fails more often than this was declared by a template, not for the text."""
META_BYTES = 4096
"""How far <meta charset> is looked for: the standard says 1,024, pages do not keep to it."""
DETECTED_BYTES = 128_000

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_META = re.compile(
    rb"<meta[^>]{0,400}?charset\s{0,8}=\s{0,8}[\"']?\s{0,8}([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE
)
_XML = re.compile(
    rb"\s{0,80}<\?xml[^>]{0,100}?encoding\s{0,8}=\s{0,8}[\"']([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE
)
_ISO_2022 = re.compile(rb"\x1b[$(]")
_FOREIGN_BYTE = re.compile("[\udc80-\udcff]")
# Supersets that contain what pages labelled so really hold.
_SUPERSETS = {
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "iso2022_jp": "iso2022_jp_2",
}


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text, the encoding it was read in (a Python codec), and the bytes that were not of it."""

    text: str
    encoding: str
    foreign_bytes: int = 0


def decode_page(data: bytes, *, charset: str | None = None) -> Decoded:
    """`data` as text; `charset` is what the HTTP header said. Takes linear time and never fails."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _replaced(data[len(mark) :], encoding)
    if (zeros := _utf_16_by_zeros(data[:META_BYTES])) is not None:
        return _replaced(data, zeros)
    declared = [found for label in (charset, *_declared_inside(data)) if (found := _codec(label)) is not None]
    if _ISO_2022.search(data, 0, META_BYTES) and (seven_bit := [name for name in declared if "2022" in name]):
        return _replaced(data, seven_bit[0])
    try:
        return Decoded(data.decode(), "utf-8")
    except UnicodeDecodeError:
        pass
    allowed = MAX_FOREIGN_SHARE * len(data)
    for encoding in declared:
        if encoding != "utf-8" and (read := _replaced(data, encoding)).foreign_bytes <= allowed:
            return read
    mixed = decode_mixed(data)
    if mixed.foreign_bytes <= allowed and mixed.foreign_bytes < _high_bytes(data) / 2:
        return mixed
    detected = _codec(detect_encoding(data, max_len=DETECTED_BYTES, html5_compatible=False))
    if detected not in (None, "utf-8") and (read := _replaced(data, str(detected))).foreign_bytes <= allowed:
        return read
    return _replaced(data, "cp1252")


def decode_mixed(data: bytes) -> Decoded:
    """`data` as UTF-8 with every byte that is not of it read as Windows-1252."""
    text = data.decode("utf-8", "surrogateescape")
    text, foreign = _FOREIGN_BYTE.subn(_as_windows_1252, text)
    return Decoded(text, "utf-8", foreign)


def _as_windows_1252(match: re.Match[str]) -> str:
    return bytes([ord(match[0]) - 0xDC00]).decode("cp1252", "replace")


def _replaced(data: bytes, encoding: str) -> Decoded:
    text = data.decode(encoding, "replace")
    return Decoded(text, encoding, text.count("\ufffd"))


def _utf_16_by_zeros(head: bytes) -> str | None:
    pairs = len(head) // 2
    if pairs < 8 or b"\0" not in head:
        return None
    first, second = head[0 : 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
    if second > 0.4 * pairs and first < 0.05 * pairs:
        return "utf-16-le"
    return "utf-16-be" if first > 0.4 * pairs and second < 0.05 * pairs else None


def _declared_inside(data: bytes) -> list[str]:
    found = (_XML.match(data, 0, META_BYTES), _META.search(data, 0, META_BYTES))
    return [match[1].decode("ascii") for match in reversed(found) if match]


def _codec(label: str | None) -> str | None:
    """The Python codec that the web means by `label`; None for a label that means nothing."""
    if not label:
        return None
    name = map_encoding_to_html5(label.strip("\"' \t"), fallback_utf8=False)
    if name is None:
        return None
    name = str(name).lower().replace("-", "_") if "iso2022" in str(name) else str(name).lower()
    return (
        "utf-8" if name in ("utf-16-le", "utf-16-be") else _SUPERSETS.get(name, name)
    )  # it has neither mark nor zeros


def _high_bytes(data: bytes) -> int:
    return len(data) - len(data.translate(None, bytes(range(0x80, 0x100))))
