from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.data import near_copies
from workbench.data.near_copies import WORDS, ShingleIndex, shingles


def words(seed: int, count: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices("abcdefghij", k=5)) for _ in range(count)]


def by_hand(text: str) -> list[tuple[str, ...]]:
    """The shingles as words, the slow way."""
    found = re.findall(r"[^\W_]+", text.lower())
    return [tuple(found[i : i + WORDS]) for i in range(len(found) - WORDS + 1)]


@given(st.text(st.sampled_from("ab é—.\n1"), max_size=120))
def test_hashes_are_equal_exactly_where_the_words_are(text: str) -> None:
    hashes, plain = shingles(text).tolist(), by_hand(text)
    assert len(hashes) == len(plain)
    assert len(set(hashes)) == len(set(plain))
    assert len(set(zip(hashes, plain, strict=True))) == len(set(plain))


def test_long_texts_are_hashed_in_pieces_as_if_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(words(1, 500))
    whole = shingles(text).tolist()
    monkeypatch.setattr(near_copies, "_CHUNK_CHARACTERS", 64)
    assert shingles(text).tolist() == whole


def test_a_share_is_the_part_that_stands_elsewhere() -> None:
    copied, own = words(1, 107), words(2, 107)
    index = ShingleIndex([" ".join(copied), " ".join(own), " ".join(copied + own), "too short"])
    index.mark(["before " + ", ".join(copied).upper() + " after", *["short"] * 10])
    shares = index.shares()
    assert shares[:2] == [1.0, 0.0]
    assert shares[2] == pytest.approx(100 / 207)
    assert shares[3] == 0.0


def test_neighbouring_texts_make_no_shingle_together() -> None:
    text = words(3, 40)
    index = ShingleIndex([" ".join(text)])
    index.mark([" ".join(text[i : i + 7]) for i in range(0, 40, 7)])
    assert index.shares() == [0.0]
