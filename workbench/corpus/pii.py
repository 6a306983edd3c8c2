"""What identifies a person or opens a door, masked: e-mail and IP addresses, phone, card and account numbers, keys.

Each kind has a pattern that proposes and a check that decides (Luhn's sum, the checksum of an IBAN, the ranges of
addresses, words before a number), because versions, dates, ISBNs and digests look alike. A look at the bytes tells
beforehand whether a kind can be there at all: clean text costs a few nanoseconds a character.

    joe@example.org      →  [email]            +49 30 901820  →  [phone number]
    84.17.45.2           →  [ip address]       4111 1111 …    →  [card number]
    -----BEGIN … KEY     →  [secret]           DE89 3704 …    →  [iban]

Not found: names, street addresses, numbers without any sign of what they are.
"""

from __future__ import annotations

import heapq
import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["secrets", "emails", "ibans", "card_numbers", "ip_addresses", "phone_numbers"]
KINDS: tuple[Kind, ...] = ("secrets", "emails", "ibans", "card_numbers", "ip_addresses", "phone_numbers")
"""In the order in which they are masked: the surest first."""
MASKS: dict[Kind, str] = {
    "secrets": "[secret]",
    "emails": "[email]",
    "ibans": "[iban]",
    "card_numbers": "[card number]",
    "ip_addresses": "[ip address]",
    "phone_numbers": "[phone number]",
}
SAMPLE_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Masked:
    """A text with its masks, how many of each kind, and what they were, made unreadable."""

    text: str
    counts: Counter[Kind]
    samples: tuple[tuple[Kind, str], ...]


def mask(
    text: str, kinds: Sequence[Kind], *, private_addresses: bool = False, max_samples: int = 3
) -> Masked:
    """`text` with everything of `kinds` masked, in linear time.

    `private_addresses`: mask also IP addresses that say nothing outside of their network (localhost, 10.0.0.1,
    those for documentation).
    """
    counts: Counter[Kind] = Counter()
    samples: list[tuple[Kind, str]] = []
    data = text.encode("utf-8", "surrogatepass")
    for kind in KINDS:
        if kind not in kinds:
            continue
        find = _FINDERS[kind]
        if kind == "ip_addresses" and private_addresses:
            find = _all_ip_addresses
        found = [span for window in _windows(kind, text, data) for span in find(text, *window)]
        if found:
            counts[kind] = len(found)
            samples += [(kind, hidden(text[start:end])) for start, end in found[:max_samples]]
            text = _replaced(text, found, MASKS[kind])
            data = text.encode("utf-8", "surrogatepass")
    return Masked(text, counts, tuple(samples))


def hidden(text: str) -> str:
    """The shape of `text` and its first character: `jxx@xxxxxxx.xxx`."""
    shape = "".join(
        "x" if c.isalpha() else "0" if c.isdigit() else c if c.isprintable() else " " for c in text[1:]
    )
    return (text[:1] + shape)[:SAMPLE_CHARACTERS]


def _replaced(text: str, spans: Sequence[tuple[int, int]], by: str) -> str:
    parts, at = [], 0
    for start, end in spans:
        parts += [text[at:start], by]
        at = end
    parts.append(text[at:])
    return "".join(parts)


# --- Where can it be? ------------------------------------------------------------------------------------------

_MARGIN = 48  # what a pattern looks at before and after what a look at the bytes finds
_SEPARATORS = frozenset(b" -()./\t\xc2\xa0")
_NUMBER_CLASSES = bytes(0x30 if 48 <= c <= 57 else 0x2D if c in _SEPARATORS else 0x78 for c in range(256))
_NUMBER = re.compile(rb"0(?:-{0,4}0){6}")
_DOT_CLASSES = bytes(0x30 if 48 <= c <= 57 else 0x2E if c == 46 else 0x78 for c in range(256))
_DOTTED = re.compile(rb"0\.0{1,3}\.0{1,3}\.0")
_COLONS = re.compile(rb":(?::|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:)")
_WORD_CLASSES = bytes(0x61 if c < 128 and (chr(c).isalnum() or c in b"_-+/=") else 0x20 for c in range(256))
_LONG_WORD = b"a" * 16
_KEY_BLOCK = b"PRIVATE KEY"


def _windows(kind: Kind, text: str, data: bytes) -> Iterator[tuple[int, int]]:
    """Stretches of `text`, apart and in order, outside of which there is none of `kind`. `data` is it in UTF-8."""
    start = end = -1
    for low, high in _character_spans(text, data, _byte_spans(kind, data)):
        if end >= 0 and low - _MARGIN > end:
            yield start, end
            start = low - _MARGIN
        elif end < 0:
            start = max(0, low - _MARGIN)
        end = max(end, min(len(text), high + _MARGIN))
    if end >= 0:
        yield start, end


def _byte_spans(kind: Kind, data: bytes) -> Iterator[tuple[int, int]]:
    """Where a look at the bytes, at a nanosecond each, does not exclude `kind`."""
    if kind == "emails":
        at = data.find(b"@")
        while at >= 0:
            yield max(0, at - 64), min(len(data), at + 256)
            at = data.find(b"@", at + 1)
    elif kind == "ip_addresses":
        dotted = (match.span() for match in _DOTTED.finditer(data.translate(_DOT_CLASSES)))
        yield from heapq.merge(dotted, (match.span() for match in _COLONS.finditer(data)))
    elif kind == "secrets":
        yield from heapq.merge(_long_words(data.translate(_WORD_CLASSES)), _key_blocks(data))
    else:
        yield from (match.span() for match in _NUMBER.finditer(data.translate(_NUMBER_CLASSES)))


def _long_words(classes: bytes) -> Iterator[tuple[int, int]]:
    at = classes.find(_LONG_WORD)
    while at >= 0:
        end = classes.find(b" ", at)
        end = len(classes) if end < 0 else end
        yield at, end
        at = classes.find(_LONG_WORD, end)


def _key_blocks(data: bytes) -> Iterator[tuple[int, int]]:
    at = data.find(_KEY_BLOCK)
    while at >= 0:
        yield at, min(len(data), at + 12_000)
        at = data.find(_KEY_BLOCK, at + 1)


def _character_spans(text: str, data: bytes, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans of bytes of `data`, by where they begin, as spans of characters of `text`."""
    if len(data) == len(text):
        yield from spans
        return
    at_byte = at_character = 0
    for low, high in spans:
        at_character += _count_characters(data[at_byte:low])
        at_byte = low
        yield at_character, at_character + _count_characters(data[low:high])


def _count_characters(data: bytes) -> int:
    """Of UTF-8: every byte but those that go on."""
    return len(data.translate(None, _CONTINUATIONS))


_CONTINUATIONS = bytes(range(0x80, 0xC0))


# --- E-mail addresses ------------------------------------------------------------------------------------------

_BEFORE_AT = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._%+-]*[A-Za-z0-9_+-])?\Z")
_AFTER_AT = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}([A-Za-z]{2,24})(?![A-Za-z0-9_-])"
)
_FILE_ENDINGS = (
    "png",
    "jpg",
    "jpeg",
    "gif",
    "svg",
    "webp",
    "css",
    "js",
    "ts",
    "map",
    "min",
    "json",
    "html",
    "htm",
    "php",
    "py",
)


def _emails(text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    at, end = text.find("@", first, last), first
    while at >= 0:
        window = text[max(end, at - 64) : at]
        before, after = _BEFORE_AT.search(window), _AFTER_AT.match(text, at + 1)
        if before and after and after[1].lower() not in _FILE_ENDINGS:
            start, end = at - len(before[0]), after.end()
            yield start, end
        at = text.find("@", max(at + 1, end), last)


# --- IP addresses ----------------------------------------------------------------------------------------------

_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4})?(?::[0-9A-Fa-f]{0,4}){2,8}(?![\w:])")
_VERSION_BEFORE = re.compile(
    r"(?:\bv|\bver|version|release|revision|build|firmware|kernel|driver|section|sect|chapter|clause|figure|fig|table|appendix"
    r"|§|paragraph|article|rule|part|edition|oid)s?[\s.:#(]{0,3}\Z",
    re.IGNORECASE,
)


def _ip_addresses(
    text: str, first: int, last: int, *, private_addresses: bool = False
) -> Iterator[tuple[int, int]]:
    spans = [
        match.span()
        for match in _IPV4.finditer(text, first, last)
        if _is_ipv4(match[0], private_addresses)
        and not _VERSION_BEFORE.search(text[max(0, match.start() - 16) : match.start()])
    ]
    six = (
        match.span() for match in _IPV6.finditer(text, first, last) if _is_ipv6(match[0], private_addresses)
    )
    return heapq.merge(spans, six)


def _all_ip_addresses(text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    return _ip_addresses(text, first, last, private_addresses=True)


def _is_ipv4(text: str, private_addresses: bool) -> bool:
    if max(map(len, text.split("."))) == 1:
        return False  # 1.2.3.4 is a version or a section, and nobody's address
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return private_addresses or address.is_global


def _is_ipv6(text: str, private_addresses: bool) -> bool:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    first = int(address) >> 112
    is_public = 0x2000 <= first < 0x4000 and int(address) >> 96 != 0x20010DB8
    if is_public:
        return any(c.isdigit() for c in text) and len([group for group in text.split(":") if group]) >= 2
    # `a::b` is a name in many programming languages: private ones only in their well-known ranges.
    return private_addresses and (text == "::1" or first & 0xFFC0 == 0xFE80 or first & 0xFE00 == 0xFC00)


# --- Numbers of cards and accounts -----------------------------------------------------------------------------

_CARD = re.compile(
    r"(?<![\w.,+-])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5})(?![\w-]|[.,]\d)"
)
_CARD_LENGTHS: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    # First four digits from, to, and how many there are in all: ISO/IEC 7812 issuers.
    (4000, 4999, (13, 16, 19)),
    (5100, 5599, (16,)),
    (2221, 2720, (16,)),
    (3400, 3499, (15,)),
    (3700, 3799, (15,)),
    (3528, 3589, (16,)),
    (3000, 3059, (14,)),
    (3600, 3699, (14,)),
    (3800, 3999, (14,)),
    (6011, 6011, (16, 19)),
    (6440, 6599, (16, 19)),
    (6200, 6299, (16, 17, 18, 19)),
)


def _card_numbers(text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    for match in _CARD.finditer(text, first, last):
        digits = re.sub("[ -]", "", match[0])
        issued = any(
            first <= int(digits[:4]) <= last and len(digits) in lengths
            for first, last, lengths in _CARD_LENGTHS
        )
        if issued and len(set(digits)) > 1 and is_luhn(digits):
            yield match.span()


def is_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of those before it (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) << (place & 1)
        total += value - 9 * (value > 9)
    return total % 10 == 0


_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"
)
_COUNTRIES_BY_LENGTH = {
    15: "NO",
    16: "BE",
    18: "DK FI FO GL NL",
    19: "MK SI",
    20: "AT BA EE KZ LT LU XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "PT",
    26: "IS TR",
    27: "FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB PL",
    29: "BR EG PS QA UA",
    30: "JO KW MU",
    31: "MT SC",
    32: "LC",
}
_IBAN_LENGTHS = {
    country: length for length, countries in _COUNTRIES_BY_LENGTH.items() for country in countries.split()
}


def _ibans(text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    for match in _IBAN.finditer(text, first, last):
        # A word in capitals may follow the last group: the country says how long the number is.
        length, places = (
            _IBAN_LENGTHS.get(match[0][:2], 0),
            [place for place, c in enumerate(match[0]) if c != " "],
        )
        if not 0 < length <= len(places):
            continue
        end = match.start() + places[length - 1] + 1
        is_whole = end == match.end() or text[end] == " "
        if is_whole and is_iban(text[match.start() : end].replace(" ", "")):
            yield match.start(), end


def is_iban(compact: str) -> bool:
    """Whether the two check digits of an IBAN without spaces are right (ISO 13616)."""
    moved = compact[4:] + compact[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


# --- Phone numbers ---------------------------------------------------------------------------------------------

_PHONE = re.compile(
    r"(?<![\w.,/+-])(?:\+|\(\+|\()?\d(?:[\d]|[ \u00a0./()-]{1,2}(?=[\d(])){5,24}\d(?![\w]|[.,-]\d)"
)
_NORTH_AMERICAN = re.compile(r"(?:1[-. ])?\(?[2-9]\d{2}\)?[-. ]{1,2}[2-9]\d{2}[-. ]\d{4}\Z")
_FRENCH = re.compile(r"0[1-9](?:[ .-]\d{2}){4}\Z")
_TRUNK = re.compile(r"\(?0[1-9]\d{1,4}\)?[ /-]{1,2}\d{3,8}(?:[ -]\d{2,8}){0,3}\Z")
_CALLED_BEFORE = re.compile(
    r"(?:\bt|tel|phone|telephone|mobile|mob|cell|fax|call|hotline|whatsapp|sms|ring|dial|telefon|t[ée]l[ée]phone|tel[ée]fono|handy"
    r"|mobil|rufnummer|тел)\b[\w ]{0,12}[.:)#]{0,2}[ \u00a0]{0,2}(?:\(?\+?)?\Z",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"(?:19|20)\d\d[-./ ]?[01]?\d[-./ ]?[0-3]?\d\Z|[0-3]?\d[-./ ][0-3]?\d[-./ ](?:19|20)\d\d\Z"
)


def _phone_numbers(text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    for match in _PHONE.finditer(text, first, last):
        if _is_phone_number(match[0], text[max(0, match.start() - 32) : match.start()]):
            yield match.span()


def _is_phone_number(number: str, before: str) -> bool:
    digits = sum(map(str.isdigit, number))
    if not 7 <= digits <= 15 or number.count("(") != number.count(")") or _DATE.match(number):
        return False
    plain = number.replace("\u00a0", " ")
    if plain.startswith(("+", "(+")):
        return digits >= 8 and plain.lstrip("(+")[0] != "0"  # no country's code begins with 0
    if _NORTH_AMERICAN.match(plain) or _FRENCH.match(plain):
        return True
    if _TRUNK.match(plain) and 9 <= digits <= 12:
        return True
    return _CALLED_BEFORE.search(before) is not None


# --- Keys and tokens -------------------------------------------------------------------------------------------

_SECRET = re.compile(
    r"""
    -----BEGIN[ ](?:[A-Z0-9]+[ ]){0,3}PRIVATE[ ]KEY(?:[ ]BLOCK)?-----
        [\s\S]{0,10000}?(?:-----END[ ](?:[A-Z0-9]+[ ]){0,3}PRIVATE[ ]KEY(?:[ ]BLOCK)?-----|\Z)
    |(?<![A-Za-z0-9])(?:
        (?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}                     # AWS
        |gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{50,255}     # GitHub
        |glpat-[\w-]{20,64}                                      # GitLab
        |xox[abeoprs]-[A-Za-z0-9-]{10,250}                       # Slack
        |AIza[\w-]{35}|ya29\.[\w-]{20,300}                       # Google
        |[sr]k_(?:live|test)_[A-Za-z0-9]{16,250}                 # Stripe
        |sk-(?:proj-|ant-|svcacct-)?(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{32,250}    # OpenAI, Anthropic
        |hf_[A-Za-z0-9]{30,64}|npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{50,250}       # Hugging Face, npm, PyPI
        |SG\.[\w-]{16,64}\.[\w-]{16,64}                          # SendGrid
        |eyJ[\w-]{8,2000}\.eyJ[\w-]{8,4000}\.[\w-]{8,2000}       # JSON web tokens
    )(?![A-Za-z0-9])
    """,
    re.VERBOSE | re.ASCII,
)


def _secrets(text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    for match in _SECRET.finditer(text, first, last):
        yield match.span()


_FINDERS: dict[Kind, Callable[[str, int, int], Iterator[tuple[int, int]]]] = {
    "secrets": _secrets,
    "emails": _emails,
    "ibans": _ibans,
    "card_numbers": _card_numbers,
    "ip_addresses": _ip_addresses,
    "phone_numbers": _phone_numbers,
}
"""(text, from, to) -> where a kind stands between, in order and apart."""
