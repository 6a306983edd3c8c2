"""What kind each character is, as eight bits: one look in a table per code point of a text.

Kinds come from Unicode's general categories as Python's `unicodedata` knows them, so that figures can change a
little with the Unicode version of the Python at hand; its number is part of `figures.VERSION`.
Knows nothing of words and lines (layout.py).
"""

from __future__ import annotations

import functools
import unicodedata

import numpy as np
from numpy.typing import NDArray

WHITE, LETTER, WORD, MARK, UNSPACED, TERMINAL, CLOSING, BULLET = (np.uint8(1 << bit) for bit in range(8))
# WHITE     what str.isspace() says, which is where str.split() splits
# LETTER    category L: what str.isalpha() says
# WORD      a letter, mark or number (L, M, N): what makes a word more than punctuation
# MARK      category M: accents, vowel signs; never begins a word of an unspaced script
# UNSPACED  a letter or mark of a script that is written without spaces between words
# TERMINAL  ends a sentence: Unicode's property Sentence_Terminal
# CLOSING   closes a quotation or bracket that a sentence may end in
# BULLET    begins an item of a list

BULLETS = "•●‣*-"
"""What Gopher's "lines starting with a bullet point" may start with."""

ELLIPSIS = 0x2026

# Unicode 17's property Sentence_Terminal, `. ! ?` and their kin, which `unicodedata` does not know.
_TERMINAL_RANGES = (
    "0021 002E 003F 0589 061D-061F 06D4 0700-0702 07F9 0837 0839 083D-083E 0964-0965 104A-104B 1362 1367-1368 "
    "166E 1735-1736 17D4-17D5 1803 1809 1944-1945 1AA8-1AAB 1B4E-1B4F 1B5A-1B5B 1B5E-1B5F 1B7D-1B7F 1C3B-1C3C "
    "1C7E-1C7F 2024 203C-203D 2047-2049 2CF9-2CFB 2E2E 2E3C 2E53-2E54 2E60-2E61 3002 A4FF A60E-A60F A6F3 A6F7 "
    "A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE12 FE15-FE16 FE52 FE56-FE57 FF01 FF0E FF1F "
    "FF61 10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 110BE-110C1 11141-11143 111C5-111C6 111CD "
    "111DE-111DF 11238-11239 1123B-1123C 112A9 113D4-113D5 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 "
    "1173C-1173E 11944 11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 "
    "16B37-16B38 16B44 16D6E-16D6F 16E98 1BC9F 1DA88 "
)

QUOTES = "\"'”’」』"
"""Marks that close a quotation: C4 keeps a line that ends in one of them."""

# Where words are not told apart by spaces: the letters of these ranges, each a word of its own (layout.py).
_UNSPACED_RANGES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x109F),  # Tibetan, Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x3005, 0x3007),  # ideographic iteration and closing marks, zero
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana extensions
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),  # Han
    (0xA980, 0xA9FF),  # Javanese, Myanmar
    (0xAA60, 0xAA7F),  # Myanmar
    (0xAA80, 0xAADF),  # Tai Viet
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9F),  # Katakana, halfwidth
    (0x1AFF0, 0x1B16F),  # Kana
    (0x20000, 0x3347F),  # Han
)
_LAST_LETTER = 0x3347F
_LAST_WHITE = 0x3000
_VARIATION_SELECTORS = (0xE0100, 0xE01EF)  # the only marks beyond _LAST_LETTER


def flags_of(text: str) -> tuple[NDArray[np.uint8] | NDArray[np.uint32], NDArray[np.uint8]]:
    """The code points of `text` and the kinds of each, [characters] both; bytes where all of it is ASCII."""
    if text.isascii():
        data = text.encode("ascii")
        return np.frombuffer(data, np.uint8), np.frombuffer(data.translate(_ascii_flags()), np.uint8)
    letters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return letters, _flags().take(letters)


def terminals() -> str:
    """Every character that ends a sentence."""
    ranges = (range_.partition("-")[::2] for range_ in _TERMINAL_RANGES.split())
    return "".join(
        chr(code) for first, last in ranges for code in range(int(first, 16), int(last or first, 16) + 1)
    )


@functools.cache
def _ascii_flags() -> bytes:
    flags = _flags_below(0x80)
    return flags.tobytes() + bytes(0x80)


@functools.cache
def _flags() -> NDArray[np.uint8]:
    """The kinds of every code point, [0x110000]; made at the first text that is not ASCII, in about 40 ms."""
    flags = np.zeros(0x110000, np.uint8)
    flags[: _LAST_LETTER + 1] = _flags_below(_LAST_LETTER + 1)
    first, last = _VARIATION_SELECTORS
    flags[first : last + 1] = WORD | MARK
    return flags


def _flags_below(count: int) -> NDArray[np.uint8]:
    letters = list(map(chr, range(count)))
    by_category = {category: _kind(category) for category in _CATEGORIES}
    kinds = map(by_category.__getitem__, map(unicodedata.category, letters))
    flags = np.fromiter(kinds, np.uint8, count)
    for place, letter in enumerate(letters[: _LAST_WHITE + 1]):
        if letter.isspace():
            flags[place] |= WHITE
    for first, last in _UNSPACED_RANGES:
        part = flags[first : last + 1]
        part[(part & (LETTER | MARK)) != 0] |= UNSPACED
    for kind, members in ((TERMINAL, terminals()), (CLOSING, QUOTES), (BULLET, BULLETS)):
        places = np.array([ord(member) for member in members])
        flags[places[places < count]] |= kind
    return flags


def _kind(category: str) -> int:
    return int(
        WORD * (category[0] in "LMN")
        | LETTER * (category[0] == "L")
        | MARK * (category[0] == "M")
        | CLOSING * (category in ("Pe", "Pf"))
    )


_CATEGORIES = (
    *("Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Zs", "Zl", "Zp"),
    *("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Cc", "Cf", "Cs", "Co", "Cn"),
)
