from __future__ import annotations

import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.corpus import shingles as module
from workbench.corpus.shingles import shingle_pieces, shingles


def words(seed: int, count: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices("abcdefghij", k=draw.randint(1, 40))) for _ in range(count)]


def by_hand(text: str, ngram: int) -> list[tuple[str, ...]]:
    """The shingles as words, the slow way."""
    found = re.findall(r"[^\W_]+", text.lower())
    return [tuple(found[i : i + ngram]) for i in range(len(found) - ngram + 1)]


def per_text(texts: list[str], ngram: int, *, whole_if_short: bool) -> list[list[int]]:
    """The shingles of each text, put together again from the pieces."""
    found: list[list[int]] = [[] for _ in texts]
    for piece in shingle_pieces(texts, ngram, whole_if_short=whole_if_short):
        assert len(piece.hashes) == piece.counts_N.sum()
        for number, part in enumerate(np.split(piece.hashes, np.cumsum(piece.counts_N)[:-1]), piece.first):
            found[number] += part.tolist()
    return found


@given(st.text(st.sampled_from("abÉ é—.\n1"), max_size=120), st.sampled_from([1, 2, 5]))
def test_hashes_are_equal_exactly_where_the_words_are(text: str, ngram: int) -> None:
    hashes, plain = shingles(text, ngram).tolist(), by_hand(text, ngram)
    assert len(hashes) == len(plain)
    assert len(set(hashes)) == len(set(plain))
    assert len(set(zip(hashes, plain, strict=True))) == len(set(plain))


@given(st.lists(st.text(st.sampled_from("ab é.\n🙂"), max_size=60), max_size=8), st.booleans())
def test_a_text_has_the_same_shingles_alone_and_among_others(texts: list[str], whole: bool) -> None:
    together = per_text(texts, 3, whole_if_short=whole)
    assert together == [per_text([text], 3, whole_if_short=whole)[0] for text in texts]


def test_a_short_text_is_one_shingle_that_only_its_equal_has() -> None:
    texts = ["one", "one two", "two one", "One, two!", "one two three", "", "…"]
    found = per_text(texts, 3, whole_if_short=True)
    assert [len(each) for each in found] == [1, 1, 1, 1, 1, 0, 0]
    assert found[1] == found[3]
    assert len({each[0] for each in found[:5]}) == 4
    assert per_text(texts, 3, whole_if_short=False)[:4] == [[], [], [], []]


@pytest.mark.parametrize("short", [False, True])
def test_long_texts_are_hashed_in_pieces_as_if_in_one(monkeypatch: pytest.MonkeyPatch, short: bool) -> None:
    texts = [" ".join(words(1, 500)), "few words", "x" * 200, " ".join(words(2, 90)), " \n" * 100]
    whole = per_text(texts, 5, whole_if_short=False)
    monkeypatch.setattr(module, "_PIECE_CHARACTERS", 64)
    in_pieces = per_text(texts, 5, whole_if_short=False)
    assert in_pieces[0] == whole[0] and in_pieces[3] == whole[3]
    assert [len(each) for each in per_text(texts, 5, whole_if_short=True)][1] == 1
    assert per_text(texts, 5, whole_if_short=short)[4] == []


def test_a_chinese_character_is_a_word_and_a_korean_word_is_one() -> None:
    assert len(shingles("我们今天去学校。", 1)) == 7
    assert len(shingles("ひらがな", 1)) == 4
    assert len(shingles("오늘 학교", 1)) == 2
    assert shingles("ab我cd", 1).tolist() == shingles("ab 我 cd", 1).tolist()


def test_words_of_every_length_differ_where_they_differ() -> None:
    long = ["a" * length for length in range(1, 100)]
    assert len(set(shingles(" ".join(long), 1).tolist())) == 99
    assert shingles("x" * 70 + "y", 1) != shingles("x" * 70 + "z", 1)
    assert shingles("é" + "X" * 70, 1).tolist() == shingles("É" + "x" * 70, 1).tolist()


def test_lone_surrogates_and_null_bytes_are_survived() -> None:
    assert len(shingles("a\ud800b \x00 c\udfff", 1)) == 2
