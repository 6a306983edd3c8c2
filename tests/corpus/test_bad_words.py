from __future__ import annotations

from pathlib import Path

import pytest

from workbench.corpus.bad_words import BadWords, read_bad_words
from workbench.errors import BadInput

WORDS = BadWords(["darn", "Holy Cow", "d@rn", "#$!", "@ss", "émile", "坏词", "नरक", "", "  "])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("Darn it, darn. DARN!", 3),
        ("darned undarn darn2 darning", 0),
        ("holy cow, holy\ncow holy cows", 1),
        ("D@RN d@rns", 1),
        ("what the #$! is #$!#$!", 3),
        ("kick @ss p@ss", 1),
        ("ÉMILE émiles", 1),
        ("这是坏词吗", 1),
        ("नरक नरकों", 1),
    ],
)
def test_entries_are_found_where_nothing_of_a_word_touches_them(text: str, count: int) -> None:
    assert WORDS.count([text, "nothing here", text]).tolist() == [count, 0, count]


def test_texts_do_not_touch_each_other() -> None:
    assert WORDS.count(["holy", "cow"]).tolist() == [0, 0]


def test_a_list_is_read_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "en.txt").write_bytes(b"\xef\xbb\xbfdarn\r\n\n  heck \n")
    words = read_bad_words([tmp_path / "en.txt"])
    assert len(words) == 2
    assert words.count(["Oh heck, darn"]).tolist() == [2]
    assert read_bad_words([]).count(["darn"]).tolist() == [0]


def test_a_bad_list_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"good\nb\xe9d\n")
    with pytest.raises(BadInput, match=r"list\.txt:2: is not UTF-8"):
        read_bad_words([tmp_path / "list.txt"])
    with pytest.raises(BadInput, match="cannot be read"):
        read_bad_words([tmp_path / "none.txt"])
