"""Text as people typed it: mojibake undone, one normal form, plain newlines, nothing invisible but meant.

    removed    control characters, NUL, lone surrogates, noncharacters, whole terminal escapes (`ESC[31m`, not only
               ESC), soft hyphens, zero-width spaces, word joiners, byte order marks; each counted by kind
    kept       tab and newline; joiners (Persian, Hindi and emoji are spelled with them); bidi marks, embeddings and
               isolates (Hebrew and Arabic need them, and this is not what is shown); variation selectors, tags

Showing text to a terminal is somebody else's care (safe_text.py); this is the text a model learns from.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ftfy import fix_encoding
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad

Normalization = Literal["NFC", "NFKC", "none"]

MOST_MARKS = 30
"""Combining marks kept on one letter: the Stream-Safe Text Format of UAX #15. No language needs more than a
few, and canonical ordering takes the square of a run's length, so a crafted megabyte of marks would hang."""

CHANGES = (
    "mojibake",
    "newlines",
    "terminal_escapes",
    "control_characters",
    "zero_width",
    "combining_marks",
    "normal_form",
    "blanks",
)
"""What `clean` may change, in the order it does."""
REMOVED = ("terminal_escapes", "control_characters", "zero_width")
"""Those of CHANGES that take something away, and are counted."""

_NEWLINES = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_ESCAPES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]"  # CSI: colours, cursor
    "|\x1b[\\]PX^_][^\x07\x1b\n]{0,2000}(?:\x07|\x1b\\\\)"  # OSC and kin: titles, links, clipboard
    "|\x1b[()][0-9A-Za-z]"  # character sets
)
# C0 but \t and \n, and DEL | C1 | surrogates | noncharacters
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_ZERO_WIDTH = re.compile(
    "[\xad\u200b\u2060\ufeff]"
)  # soft hyphen, zero-width space, word joiner, byte order mark

# What is neither plain ASCII nor white space of it. Most texts have little of it, and little that differs: everything
# is decided by these runs, and a text without any bad one is never looked at again.
_ODD_RUN = re.compile("[^\t\n -~]+")
_PLAIN = bytes([9, 10, *range(32, 127)])
_TYPOGRAPHY = frozenset(
    "‘’“”–—…•\xa0·"
)  # no mojibake among themselves and ASCII (tested), and as NFC has them
_ANY_REMOVED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u2028\u2029\u2060\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]"
)
_LONG_RUN = re.compile(f"[^\x00-\x7f]{{{MOST_MARKS + 1}}}")  # what every long run of marks is

# ftfy finds mojibake by two or more neighbours of its categories, or by one of a few letters. Letters of Greek and
# Cyrillic are neighbours in every word of them, so one of the other categories must be among the two.
_ALWAYS_NEAR = ("lower_common", "upper_common", "common")
_SUSPECT_CLASS = "".join(
    re.sub(r"[\]\[\\^]", r"\\\g<0>", letters)
    for category, letters in MOJIBAKE_CATEGORIES.items()
    if category not in _ALWAYS_NEAR
)
_SUSPECT = re.compile(f"[\x80-\x9fŒœÂÃЂ]|[{_SUSPECT_CLASS}][^\x00-\x7f]|[^\x00-\x7f][{_SUSPECT_CLASS}]")
_BAD_CHARACTERS = 8


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A clean text, which of CHANGES it took to get there, and how much of it each removed."""

    text: str
    changes: tuple[str, ...]
    removed: Mapping[str, int] = field(default_factory=dict)
    """Characters (escapes: sequences) that went, by change, where any did."""


def clean(text: str, *, repair: bool = True, normalization: Normalization = "NFC") -> Cleaned:
    """`text` cleaned. Takes linear time whatever the text; what is clean stays as it is.

    `repair` undoes text decoded with the wrong encoding ("cafÃ©"), line by line, only where ftfy's heuristic
    finds it (Speer 2019). White space at line ends, and around the whole
    text, goes; indentation and blank lines stay.
    """
    changes: list[str] = []
    removed: dict[str, int] = {}

    def became(change: str, after: str) -> str:
        if after != text:
            changes.append(change)
        return after

    def without(change: str, pattern: re.Pattern[str]) -> str:
        after, count = pattern.subn("", text)
        if count:
            removed[change] = count
        return became(change, after)

    data = text.encode("utf-8", "surrogatepass")
    odd_bytes = data.translate(None, _PLAIN)
    if odd_bytes and (
        normalization == "NFKC" or not _TYPOGRAPHY.issuperset(odd_bytes.decode("utf-8", "surrogatepass"))
    ):
        runs = dict.fromkeys(_ODD_RUN.findall(text))
        odd = "\n".join(runs)
        if repair and _SUSPECT.search(odd) and _has_bad_line(text, runs):
            text = became("mojibake", "\n".join(_repaired(line) for line in text.split("\n")))
            odd = "\n".join(dict.fromkeys(_ODD_RUN.findall(text))) if changes else odd
        if _ANY_REMOVED.search(odd):
            text = became("newlines", _NEWLINES.sub("\n", text))
            text = without("terminal_escapes", _ESCAPES)
            text = without("control_characters", _CONTROLS)
            text = without("zero_width", _ZERO_WIDTH)
        if _LONG_RUN.search(text if changes else odd):
            text = became("combining_marks", _long_mark_runs().sub(r"\1", text))
        if normalization != "none":
            text = became("normal_form", unicodedata.normalize(normalization, text))
        if changes:
            data = text.encode("utf-8", "surrogatepass")
    if b" \n" in data or b"\t\n" in data:
        text = became("blanks", "\n".join(line.rstrip(" \t") for line in text.split("\n")))
    if (trimmed := text.lstrip("\n").rstrip()) != text:
        text = trimmed
        changes += ["blanks"] if "blanks" not in changes else []
    return Cleaned(text, tuple(changes), removed)


def _has_bad_line(text: str, runs: Iterable[str]) -> bool:
    """Whether ftfy may find a line of `text` bad, by a look at the surroundings of its suspect runs of characters.

    Everything that ftfy finds has a suspect run within it and is at most _BAD_CHARACTERS long.
    """
    for run in runs:
        if not _SUSPECT.search(run):
            continue
        at = text.find(run)
        while at >= 0:
            after = at + len(run)
            if is_bad(text[max(0, at - _BAD_CHARACTERS) : after + _BAD_CHARACTERS]):
                return True
            at = text.find(run, after)
    return False


def _repaired(line: str) -> str:
    return fix_encoding(line) if _SUSPECT.search(line) and is_bad(line) else line


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
