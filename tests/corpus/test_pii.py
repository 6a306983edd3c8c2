from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.corpus.pii import KINDS, MASKS, Kind, hidden, is_iban, is_luhn, mask

# Put together here, so that nobody's scanner takes a test for a leak.
KEYS = [
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "a1B2c3" * 10,
    "glpat-" + "x7Y8" * 5,
    "xoxb-" + "123456789012-abcdefABCDEF",
    "AIza" + "Sy0-" * 8 + "abc",
    "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "sk-proj-" + "A1b2C3d4" * 5,
    "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZ012345",
    "npm_" + "a1B2" * 9,
    "SG." + "ngeVfQFYQlKU0ufo8x5d1A" + "." + "TwL2iGABf9DHoTf-09kqeF8tAmbihYzrnopKc-1s5cr",
    "eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0" + ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA " + "PRIVATE KEY-----",
]
FOUND: list[tuple[Kind, str]] = [
    *(("secrets", key) for key in KEYS),
    ("emails", "joe@example.org"),
    ("emails", "first.last+tag@mail.sub-domain.example.co.uk"),
    ("emails", "o_o%x@example.museum"),
    ("ibans", "DE89 3704 0044 0532 0130 00"),
    ("ibans", "GB29NWBK60161331926819"),
    ("ibans", "FR1420041010050500013M02606"),
    ("card_numbers", "4111 1111 1111 1111"),
    ("card_numbers", "5500-0055-5555-5559"),
    ("card_numbers", "378282246310005"),
    ("card_numbers", "6011000990139424"),
    ("ip_addresses", "84.17.45.2"),
    ("ip_addresses", "2a00:1450:4001:81b::200e"),
    ("phone_numbers", "+49 30 901820"),
    ("phone_numbers", "+1 (415) 555-2671"),
    ("phone_numbers", "(415) 555-2671"),
    ("phone_numbers", "415-555-2671"),
    ("phone_numbers", "1-800-555-0199"),
    ("phone_numbers", "06 12 34 56 78"),
    ("phone_numbers", "030/901820-12"),
    ("phone_numbers", "01865 270000"),
]
LEFT = [
    "version 84.17.45.2",
    "v10.20.30.40",
    "Linux (kernel 2.6.20.1)",
    "+000000120",
    "see section 10.20.30.40",
    "1.2.3.4",
    "300.400.500.600",
    "127.0.0.1 and 10.0.0.1 and 192.168.1.20 and 203.0.113.7",
    "84.17.45.2.1",
    "std::vector and a::b and be::add and dead::beef",
    "12:30:45 and 1:2:3:4:5:6",
    "::1 and fe80::1 and 2001:db8::1",
    "on 2024-05-12, 12.05.2024, 05/12/2024 and 20240512",
    "1990-2000 and 2001 2002 2003",
    "ISBN 978-3-16-148410-0 and 0-306-40615-2",
    "4111 1111 1111 1112",
    "1234567890123456",
    "0000 0000 0000 0000",
    "d41d8cd98f00b204e9800998ecf8427e and 5d41402abc4b2a76b9719d911017c592",
    "3.14159265358979 and 1,234,567,890 and 6.02214076e23",
    "1700000000 seconds, 123-45-6789",
    "icon@2x.png and me@localhost and @handle and a @ b and x@y",
    "DE89 3704 0044 0532 0130 01",
    "sk-fading-circle-container-with-a-long-name",
    "https://example.org/a/very/long/path/with/many/parts/and-words-in-it",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA====",
    "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
]


@pytest.mark.parametrize(("kind", "what"), FOUND)
@pytest.mark.parametrize("around", ["Write to {} today.", "{}", "Grüße, „{}“\nund so fort", "(x) {}, y"])
def test_what_identifies_is_masked(kind: Kind, what: str, around: str) -> None:
    masked = mask(around.format(what), KINDS)
    assert masked.text == around.format(MASKS[kind])
    assert masked.counts == {kind: 1}
    assert [found for found, _ in masked.samples] == [kind]
    assert what not in str(masked.samples)


@pytest.mark.parametrize("text", LEFT)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    masked = mask(f"So: {text} there.", KINDS)
    assert masked.text == f"So: {text} there."
    assert not masked.counts


def test_only_the_kinds_that_are_asked_for_are_masked() -> None:
    text = "joe@example.org, +49 30 901820"
    assert mask(text, []).text == text
    assert mask(text, ["emails"]).text == "[email], +49 30 901820"


def test_private_addresses_are_masked_where_asked_for() -> None:
    text = "localhost is 127.0.0.1 or ::1, the router 192.168.1.20 or fe80::1a2b:3c"
    masked = mask(text, KINDS, private_addresses=True)
    assert masked.text == "localhost is [ip address] or [ip address], the router [ip address] or [ip address]"


def test_words_before_a_number_say_what_it_is() -> None:
    for before in ("Tel.: ", "phone ", "Call us: ", "Fax ", "Mobile number: ", "Téléphone : "):
        assert mask(f"{before}5552671000", ["phone_numbers"]).text == f"{before}[phone number]", before


def test_many_in_one_text_are_all_found_and_counted() -> None:
    text = "é joe@example.org 84.17.45.2\n" * 500
    masked = mask(text, KINDS)
    assert masked.text == "é [email] [ip address]\n" * 500
    assert masked.counts == {"emails": 500, "ip_addresses": 500}
    assert len(masked.samples) == 6


def test_samples_show_the_shape_only() -> None:
    assert hidden("joe@example.org") == "jxx@xxxxxxx.xxx"

    assert len(hidden("a" * 1000)) == 40


def test_checksums() -> None:
    assert is_luhn("79927398713")
    assert not is_luhn("79927398714")
    assert is_iban("GB82WEST12345698765432")
    assert not is_iban("GB82WEST12345698765433")


@given(st.text(max_size=200), st.text(st.sampled_from("0123456789 -+().:/@aA_é=\n"), max_size=200))
def test_no_text_is_too_odd(text: str, numbers: str) -> None:
    for each in (text, numbers, text + numbers):
        once = mask(each, KINDS, private_addresses=True)
        once.text.encode("utf-8", "surrogatepass")
        assert sum(once.counts.values()) == sum(
            once.text.count(MASKS[kind]) - each.count(MASKS[kind]) for kind in KINDS
        )


@pytest.mark.parametrize(
    "piece",
    [
        "0",
        "1 ",
        "@",
        "a@",
        "a@a.",
        "1.",
        "1.1.1.",
        ":",
        "::",
        "a:",
        "+1 ",
        "(1",
        "A",
        "-----BEGIN PRIVATE KEY-----",
        "eyJ",
        "DE89 ",
    ],
)
def test_crafted_texts_take_linear_time(piece: str) -> None:
    started = time.process_time()
    mask(piece * (400_000 // len(piece)), KINDS, private_addresses=True)
    assert time.process_time() - started < 10


def test_a_look_at_the_bytes_excludes_nothing_that_is_there() -> None:
    draw = random.Random(0)
    for _ in range(300):
        kind, what = draw.choice(FOUND)
        noise = "".join(draw.choices("abc é日 \n.,", k=draw.randint(0, 200)))
        assert mask(f"{noise} {what} {noise}", [kind]).counts == {kind: 1}
