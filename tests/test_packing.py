"""Packing arithmetic, against best-fit decreasing done piece by piece."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.packing import best_fit, packing_figures, pieces_of

ROW = 32
pieces = st.lists(st.integers(1, ROW), min_size=1, max_size=200)


def room_left_one_by_one(lengths: list[int]) -> list[int]:
    """Best-fit decreasing as the textbook has it: the room left in every row."""
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [room for room in rooms if room >= length]
        rooms.append(rooms.pop(rooms.index(min(fitting))) - length if fitting else ROW - length)
    return sorted(rooms)


@given(pieces)
def test_groups_of_equal_pieces_are_packed_as_one_by_one(lengths: list[int]) -> None:
    fills = best_fit(Counter(lengths), row_length=ROW)
    rooms, packed = [], Counter[int]()
    for fill in fills:
        rooms += [ROW - sum(length * times for length, times in fill.pieces)] * fill.rows
        for length, times in fill.pieces:
            packed[length] += times * fill.rows
    assert packed == Counter(lengths)
    assert sorted(rooms) == room_left_one_by_one(lengths)


def test_only_what_is_longer_than_a_row_is_cut() -> None:
    assert pieces_of({5: 2, 32: 1, 70: 3}, ROW) == {5: 2, 32: 1 + 2 * 3, 6: 3}


def test_figures_of_best_fit() -> None:
    figures = packing_figures({20: 2, 12: 1, 8: 1, 70: 1}, packing="best-fit", row_length=ROW)
    # 32, 32 | 20 + 12 | 20 + 8, and the rest of 6 begins a fifth row: 4 + 26 positions are left
    assert (figures.rows, figures.tokens) == (5, 130)
    assert figures.padding_share == pytest.approx(30 / 160)
    assert figures.cut_share == pytest.approx((70 - 32) / 130)


@pytest.mark.parametrize("length", [1, 2, 7, 31, 32, 33, 100])
def test_what_a_stream_cuts_is_the_mean_over_all_places(length: int) -> None:
    whole = sum(min(length, ROW - place) for place in range(ROW)) / ROW
    figures = packing_figures({length: 64}, packing="stream", row_length=ROW)
    assert figures.cut_share == pytest.approx(1 - whole / length)
    assert figures.padding_share == 0


def test_the_cost_does_not_grow_with_the_corpus() -> None:
    """A thousand million documents: what is packed is how many there are of each length."""
    lengths = {length: 10**9 // length for length in range(1, 2049)}
    figures = packing_figures(lengths, packing="best-fit", row_length=2048)
    assert figures.rows >= figures.tokens / 2048
    assert figures.padding_share < 0.001 and figures.cut_share == 0


def test_nothing_is_no_rows() -> None:
    for packing in ("stream", "best-fit"):
        figures = packing_figures({}, packing=packing, row_length=ROW)  # type: ignore[arg-type]
        assert (figures.rows, figures.padding_share, figures.cut_share) == (0, 0.0, 0.0)
