from __future__ import annotations

import itertools
import time
import unicodedata

import pytest
from ftfy import fix_encoding
from ftfy.badness import is_bad
from hypothesis import given
from hypothesis import strategies as st

from workbench.data import clean as clean_module
from workbench.data.clean import CHANGES, clean


@pytest.mark.parametrize(
    ("text", "expected", "changes"),
    [
        ("plain text\n\twith a tab", "plain text\n\twith a tab", ()),
        ("naïve café — “yes”", "naïve café — “yes”", ()),
        ("schÃ¶n, the cafÃ© isnâ€™t open", "schön, the café isn’t open", ("mojibake",)),
        ("a\r\nb\rc\x0cd\u2028e", "a\nb\nc\nd\ne", ("newlines",)),
        ("a\x00b\x1b[2Jc\x7f", "abc", ("terminal_escapes", "control_characters")),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b\x1b[1;31mc\x1b(B", "abc", ("terminal_escapes",)),
        ("\x1b]0;never ended\nb", "]0;never ended\nb", ("control_characters",)),
        ("zé\u200bro\u00ad\ufeff", "zéro", ("zero_width",)),
        ("a\ud800\ufffeb\udfff", "ab", ("control_characters",)),
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


def test_what_is_removed_is_counted() -> None:
    cleaned = clean("a\x00\x00b\u200b\u00ad\ufeff \x1b[31mc\x1b[0m")
    assert cleaned.text == "ab c"
    assert cleaned.removed == {"terminal_escapes": 2, "control_characters": 2, "zero_width": 3}
    assert set(cleaned.changes) <= set(CHANGES)


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


@given(
    st.text(
        st.sampled_from("aZ .,\n" + "ÃÂâ€™œŒéîÐ\x80\x9d°ß√ВЂГРўя×²│»™à¡\xa0βΒΓΞā‚ÄØÙ®µ§¬®ﬁ…–"), max_size=6
    )
)
def test_the_quick_look_never_misses_mojibake(text: str) -> None:
    if is_bad(text):
        assert clean_module._SUSPECT.search(text)


@given(st.text(st.sampled_from("aZ .,\n" + "ÃÂâ€™œŒéîÐ\x80°ß√ВЂГРўя×²»™à¡\xa0βΒā‚ÄØÙ®µ“”—"), max_size=40))
def test_what_ftfy_repairs_in_a_line_is_repaired(text: str) -> None:
    lines = [fix_encoding(line) if is_bad(line) else line for line in text.split("\n")]
    assert clean(text).text == clean("\n".join(lines), repair=False).text


def test_typography_is_no_mojibake_and_in_normal_form() -> None:
    letters = [*clean_module._TYPOGRAPHY, *"aZ .\n1"]
    for length in (1, 2, 3):
        for characters in itertools.product(letters, repeat=length):
            text = "".join(characters)
            assert not is_bad(text)
            assert unicodedata.is_normalized("NFC", text)


@given(st.text(st.sampled_from("aZ .\n\t‘’“”–—…•\xa0·éÂ\u0301\x85\x00\ufb01"), max_size=12))
def test_the_quick_way_gives_what_the_long_one_does(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clean_module, "_TYPOGRAPHY", frozenset())
        slow = clean(text)
    assert clean(text) == slow


def test_crafted_texts_take_linear_time() -> None:
    started = time.process_time()
    clean("A" + "\u0301\u0316" * 200_000)
    clean("é" + " " * 1_000_000 + "x")
    clean("é" + "\n" * 1_000_000 + "x")
    assert time.process_time() - started < 5


def test_marks_beyond_reason_go() -> None:
    assert len(clean("A" + "\u0316" * 5000).text) == 1 + clean_module.MOST_MARKS
