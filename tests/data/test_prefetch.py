"""Made ahead, in order, by one thread that ends when nobody asks any more."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator

import pytest

from workbench.data.prefetch import prefetched


def prefetching() -> int:
    return sum(thread.name.startswith("prefetch") for thread in threading.enumerate())


@pytest.mark.parametrize("ahead", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_nothing_changes_but_who_makes_it(count: int, ahead: int) -> None:
    makers = set()

    def items() -> Iterator[int]:
        for number in range(count):
            makers.add(threading.current_thread().name)
            yield number

    assert list(prefetched(items(), ahead=ahead)) == list(range(count))
    assert makers == ({"prefetch_0"} if count else set())
    assert prefetching() == 0


def test_at_most_so_many_are_made_ahead() -> None:
    made: list[int] = []
    third = threading.Event()

    def items() -> Iterator[int]:
        for number in itertools.count():
            made.append(number)
            if number == 2:
                third.set()
            yield number

    with contextlib.closing(prefetched(items(), ahead=2)) as stream:
        assert next(stream) == 0
        assert third.wait(timeout=30)  # 1 and 2 come without being asked for
        assert made == [0, 1, 2]
        assert next(stream) == 1
    assert len(made) <= 4
    assert prefetching() == 0


def test_a_failure_comes_through_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield 0
        yield 1
        raise OSError("the disk went away")

    stream = prefetched(items(), ahead=4)
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(OSError, match="the disk went away"):
        next(stream)
    assert list(stream) == [] and prefetching() == 0


def test_who_is_not_asked_makes_nothing() -> None:
    stream = prefetched(iter([1]))
    assert prefetching() == 0
    stream.close()
