from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from workbench.data.heldout import HeldOut


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 30)), unique_by=lambda entry: entry[0]),
    st.randoms(),
)
def test_the_order_of_arrival_does_not_matter(entries: list[tuple[int, int]], random: Random) -> None:
    sides = []
    for _ in range(2):
        heldout: HeldOut[int] = HeldOut(max_bytes=50)
        lost = [each for at, size in entries for each in heldout.add(size, at, size)]
        assert sum(heldout.documents()) <= 50
        assert len(heldout.documents()) + len(lost) == len(entries)
        sides.append(heldout.documents())
        random.shuffle(entries)
    assert sides[0] == sides[1]


def test_the_lowest_positions_stay_lowest_first() -> None:
    heldout: HeldOut[str] = HeldOut(max_bytes=10)
    assert heldout.add("a", 30, 4) == []
    assert heldout.add("b", 20, 5) == []
    assert heldout.add("c", 10, 3) == ["a"]
    assert heldout.add("d", 99, 1) == ["d"]
    assert heldout.add("e", 0, 11) == ["e"]
    assert heldout.documents() == ["c", "b"]
