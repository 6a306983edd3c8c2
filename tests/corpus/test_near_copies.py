from __future__ import annotations

import random

import pytest

from workbench.corpus.near_copies import ShingleIndex, ShingleTable


def words(seed: int, count: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices("abcdefghij", k=5)) for _ in range(count)]


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


def test_what_another_process_found_can_be_marked() -> None:
    text = " ".join(words(4, 50))
    index = ShingleIndex([text])
    elsewhere = ShingleTable(index.hashes)
    index.mark_places(elsewhere.places_in(["nothing of it", text[: len(text) // 2]]))
    assert 0.3 < index.shares()[0] < 0.6
