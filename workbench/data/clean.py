"""Text as people typed it: mojibake undone, one normal form, plain newlines, nothing invisible but meant.

What is *kept* although it cannot be seen: tab and newline, joiners (Persian, Hindi and emoji are spelled with
them), bidi marks (Hebrew and Arabic need them), variation selectors, tags. Showing text to a terminal is
somebody else's care (safe_text.py); this is the text a model learns from.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from dataclasses import dataclass
from typing import Literal

from ftfy import fix_encoding
from ftfy.badness import is_bad

Normalization = Literal["NFC", "NFKC", "none"]

MOST_MARKS = 30
"""Combining marks kept on one letter: the Stream-Safe Text Format of UAX #15. No language needs more than a
few, and canonical ordering takes the square of a run's length, so a crafted megabyte of marks would hang."""

_NEWLINES = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# C0 but \t and \n | DEL and C1 | soft hyphen, zero-width space, word joiner, byte order mark | surrogates |
# noncharacters
_JUNK = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u200b\u2060\ufeff\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
# What every pattern of ftfy.badness contains, 40 times faster (a test holds the two together).
_SUSPECT = re.compile("[\x80-\x9f]|[^\x00-\x7f]{2}|[ŒœÂÃ]")
_LONG_FOREIGN = re.compile(f"[^\x00-\x7f]{{{MOST_MARKS + 1}}}")  # what every long run of marks is
_ASCII_JUNK = re.compile("[\x00-\x08\x0e-\x1f\x7f]")

CHANGES = ("mojibake", "newlines", "control_characters", "combining_marks", "normal_form", "blanks")
"""What `clean` may change, in the order it does."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A clean text, and which of CHANGES it took to get there."""

    text: str
    changes: tuple[str, ...]


def clean(text: str, *, repair: bool = True, normalization: Normalization = "NFC") -> Cleaned:
    """`text` cleaned. Takes linear time whatever the text; what is clean stays as it is.

    `repair` undoes text decoded with the wrong encoding ("cafÃ©"), line by line, only where ftfy's heuristic
    finds it (Speer 2019). White space at line ends, and around the whole
    text, goes; indentation and blank lines stay.
    """
    changes: list[str] = []

    def became(change: str, after: str) -> str:
        if after != text:
            changes.append(change)
        return after

    if text.isascii():  # most English text: nothing to repair, normalise or combine
        text = became("newlines", _plain_newlines(text))
        text = became("control_characters", _ASCII_JUNK.sub("", text))
    else:
        if repair and _SUSPECT.search(text):
            text = became("mojibake", "\n".join(_repaired(line) for line in text.split("\n")))
        text = became("newlines", _plain_newlines(text))
        text = became("control_characters", _JUNK.sub("", text))
        if _LONG_FOREIGN.search(text):
            text = became("combining_marks", _long_mark_runs().sub(r"\1", text))
        if normalization != "none":
            text = became("normal_form", unicodedata.normalize(normalization, text))
    text = became("blanks", _trimmed(text))
    return Cleaned(text, tuple(changes))


def _repaired(line: str) -> str:
    return fix_encoding(line) if _SUSPECT.search(line) and is_bad(line) else line


def _plain_newlines(text: str) -> str:
    return _NEWLINES.sub("\n", text)


def _trimmed(text: str) -> str:
    if " \n" in text or "\t\n" in text:
        text = "\n".join(line.rstrip(" \t") for line in text.split("\n"))
    return text.lstrip("\n").rstrip()


@functools.cache
def _long_mark_runs() -> re.Pattern[str]:
    """Runs of more than MOST_MARKS characters that combine (canonical combining class above 0)."""
    marks = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.combining(chr(code))]
    ranges, first = [], marks[0]
    for mark, following in zip(marks, [*marks[1:], ""], strict=True):
        if not following or ord(following) != ord(mark) + 1:
            ranges.append(f"{first}-{mark}")
            first = following
    mark_class = f"[{''.join(ranges)}]"
    return re.compile(f"({mark_class}{{{MOST_MARKS}}}){mark_class}+")
