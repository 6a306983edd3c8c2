from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from workbench.data.documents import Document
from workbench.data.heldout import HeldOut


def document(size: int) -> Document:
    return Document(str(size), "x" * size, "s")


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 30)), unique_by=lambda entry: entry[0]),
    st.randoms(),
)
def test_the_order_of_arrival_does_not_matter(entries: list[tuple[int, int]], random: Random) -> None:
    sides = []
    for _ in range(2):
        heldout = HeldOut(max_bytes=50)
        lost = [each for at, size in entries for each in heldout.add(document(size), at)]
        assert sum(len(each.text) for each in heldout.documents()) <= 50
        assert len(heldout.documents()) + len(lost) == len(entries)
        sides.append([each.id for each in heldout.documents()])
        random.shuffle(entries)
    assert sides[0] == sides[1]


def test_the_lowest_positions_stay_lowest_first() -> None:
    heldout = HeldOut(max_bytes=10)
    assert heldout.add(document(4), 30) == []
    assert heldout.add(document(5), 20) == []
    assert [each.id for each in heldout.add(document(3), 10)] == ["4"]
    assert [each.id for each in heldout.add(document(1), 99)] == ["1"]
    assert [each.id for each in heldout.add(document(11), 0)] == ["11"]
    assert [each.id for each in heldout.documents()] == ["3", "5"]
