from __future__ import annotations

import time
import unicodedata

import pytest
from ftfy.badness import is_bad
from hypothesis import given
from hypothesis import strategies as st

from workbench.data import clean as clean_module
from workbench.data.clean import clean


@pytest.mark.parametrize(
    ("text", "expected", "changes"),
    [
        ("plain text\n\twith a tab", "plain text\n\twith a tab", ()),
        ("naïve café — “yes”", "naïve café — “yes”", ()),
        ("schÃ¶n, the cafÃ© isnâ€™t open", "schön, the café isn’t open", ("mojibake",)),
        ("a\r\nb\rc\x0cd\u2028e", "a\nb\nc\nd\ne", ("newlines",)),
        ("a\x00b\x1b[2Jc\x7f", "ab[2Jc", ("control_characters",)),
        ("zé\u200bro\u00ad\ufeff\ud800", "zéro", ("control_characters",)),
        ("cafe\u0301", "café", ("normal_form",)),
        ("  indented  \nnext\t\n\n\n", "  indented\nnext", ("blanks",)),
        ("\n\nfirst", "first", ("blanks",)),
        ("می\u200cخواهم 👩\u200d🚀 \u200eשלום", "می\u200cخواهم 👩\u200d🚀 \u200eשלום", ()),
    ],
)
def test_what_is_changed_and_what_is_not(text: str, expected: str, changes: tuple[str, ...]) -> None:
    cleaned = clean(text)
    assert cleaned.text == expected
    assert cleaned.changes == changes


def test_settings_are_obeyed() -> None:
    assert clean("cafÃ© ﬁn", repair=False).text == "cafÃ© ﬁn"
    assert clean("ﬁn", normalization="NFKC").text == "fin"
    assert clean("cafe\u0301", normalization="none").text == "cafe\u0301"


def test_mojibake_is_repaired_where_it_is_and_only_there() -> None:
    assert clean("Ã la carte is fine here\ncafÃ©\nŒuvre").text.splitlines()[1:] == ["café", "Œuvre"]


@given(st.text())
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = clean(text, repair=False)
    assert clean(once.text, repair=False).changes == ()
    assert unicodedata.is_normalized("NFC", once.text)
    once.text.encode()  # never a lone surrogate


@given(st.text(st.sampled_from("aZ .,\n" + "ÃÂâ€™œŒéîÐ\x80\x9d°ß√ВЂГР×²│»™à¡\xa0"), max_size=6))
def test_the_quick_look_never_misses_mojibake(text: str) -> None:
    if is_bad(text):
        assert clean_module._SUSPECT.search(text)


def test_crafted_texts_take_linear_time() -> None:
    started = time.process_time()
    clean("A" + "\u0301\u0316" * 200_000)
    clean("é" + " " * 1_000_000 + "x")
    clean("é" + "\n" * 1_000_000 + "x")
    assert time.process_time() - started < 5


def test_marks_beyond_reason_go() -> None:
    assert len(clean("A" + "\u0316" * 5000).text) == 1 + clean_module.MOST_MARKS
