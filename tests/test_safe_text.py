"""No character of data makes a terminal do anything, whole or in pieces; printable text is untouched."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.safe_text import HARMFUL, MOST_MARKS, MOST_NEWLINES, SafeStream, one_line, safe_text

ESC, BEL, ST = "\x1b", "\x07", "\x1b\\"
PAYLOADS = {
    "osc52-clipboard": f"{ESC}]52;c;Y2xpcA=={BEL}",
    "osc0-title": f"{ESC}]0;pwn{BEL}",
    "osc8-link": f"{ESC}]8;;file:///etc/passwd{ST}click{ESC}]8;;{ST}",
    "osc-unterminated": f"{ESC}]0;open",
    "csi-sgr": f"{ESC}[38;5;1m",
    "csi-dsr-query": f"{ESC}[6n",
    "csi-altscreen": f"{ESC}[?1049l",
    "paste-end": f"{ESC}[201~",
    "dcs-sixel": f"{ESC}Pq#0;2;0;0;0{ST}",
    "dcs-tmux": f"{ESC}Ptmux;{ESC}{ESC}]52;c;x{BEL}{ST}",
    "apc-kitty": f"{ESC}_Ga=d{ST}",
    "pm": f"{ESC}^x{ST}",
    "sos": f"{ESC}Xx{ST}",
    "ris": f"{ESC}c",
    "decaln": f"{ESC}#8",
    "charset": f"{ESC}(0",
    "shift-out": "a\x0eb",
    "backspace": "safe\b\b\b\bevil",
    "cr": "GOOD\rEVIL",
    "bell-nul-vt-ff-del": "\x07\x00\x0b\x0c\x7f",
    "c1": "\x9b1H\x9d0;x\x9c\x90q\x9c",
    "bidi": "\u202e\u2067\u2069\u200f\u061c",
    "tags": "a\U000e0041\U000e0042b",
    "invisible": "a\u200b\u2060\ufeff\u180eb",
    "separators": "a\u2028b\u2029c\x85d",
    "interlinear": "\ufff9a\ufffab\ufffb",
    "surrogate": "a\udce9b",
    "zalgo": "a" + "\u0301" * 200 + "b",
    "newlines": "\n" * 100_000,
    "long-line": "x" * 200_000,
}


def harmless(text: str) -> bool:
    return not any(
        (unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\n\t")
        or re.match(f"[{HARMFUL}]", c)
        for c in text
    )


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("visible", [False, True])
def test_no_payload_keeps_a_control_character(payload: str, visible: bool) -> None:
    assert harmless(safe_text(payload, visible=visible))
    assert harmless(one_line(payload))


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_stream_is_safe_character_by_character(payload: str) -> None:
    stream = SafeStream()
    shown = "".join(stream.feed(c) for c in payload[:2000]) + stream.close()
    assert harmless(shown)
    assert "\n" * (MOST_NEWLINES + 1) not in shown
    assert "\u0301" * (MOST_MARKS + 1) not in shown


def test_the_guard_covers_every_control_and_bidi_character_of_unicode() -> None:
    must_go = [
        chr(c)
        for c in range(0x110000)
        if unicodedata.category(chr(c)) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(chr(c))
        in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    ]
    assert [c for c in must_go if c not in "\n\t" and not re.match(f"[{HARMFUL}]", c)] == []


@pytest.mark.parametrize(
    "text",
    [
        "plain\n\ttext",
        "naïve café €12 — 你好 🙂",
        "می‌خواهم",
        "👩‍💻",
        "क्‍ष",
        "שָׁלוֹם",
        "[b]not markup[/b]",
        "x[i]=y[/2]",
    ],
)
def test_printable_text_is_untouched(text: str) -> None:
    stream = SafeStream()
    assert safe_text(text) == safe_text(text, visible=True) == text
    assert "".join(stream.feed(c) for c in text) + stream.close() == text


def test_visible_shows_what_would_be_hidden() -> None:
    assert safe_text("\x1b[31m\x7f\x9b\u202e\udce9", visible=True) == "␛[31m␡<U+009B><U+202E><U+DCE9>"


def test_a_carriage_return_never_overprints() -> None:
    assert safe_text("GOOD\rEVIL\r\nnext") == "GOOD\nEVIL\nnext"


@given(st.text(alphabet=st.sampled_from("ab\r\n\t\x1b[\u0301\u202e")), st.data())
def test_how_a_text_is_cut_into_pieces_does_not_matter(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    whole, pieces = SafeStream(), SafeStream()
    shown = pieces.feed(text[:cut]) + pieces.feed(text[cut:]) + pieces.close()
    assert shown == whole.feed(text) + whole.close()


@given(st.text(alphabet=st.characters(codec=None)))
def test_safe_text_is_harmless_and_stable(text: str) -> None:
    assert harmless(safe_text(text))
    assert safe_text(safe_text(text)) == safe_text(text)


def test_a_stream_ends_at_its_limit() -> None:
    stream = SafeStream(limit=10)
    assert stream.feed("x" * 25) == "x" * 10 + "\n[cut: too much text]\n"
    assert stream.feed("more") == ""


def test_one_line_folds_and_cuts() -> None:
    assert one_line(" a\n\tb\x1b  c ") == "a b c"
    assert one_line("x" * 100, 10) == "x" * 9 + "…"
    assert one_line("x" * 10, 10) == "x" * 10
    assert one_line("x" * 10_000_000, 10) == "x" * 9 + "…"
