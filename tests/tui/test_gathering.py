"""A fast stream in batches, by a clock that only sleeping moves."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise

from tui.gathering import gathered
from workbench.chat_client import ChatEvent, Done, Ended, Token

DONE, ENDED = Done("stop_token", 1, 1.0, 1), Ended(0, "")


class Line:
    """Events that come at given times, and the clock they come by."""

    def __init__(self, *comings: tuple[float, ChatEvent]) -> None:
        self.now = 0.0
        self._comings = list(comings)

    def next_event(self, timeout: float) -> ChatEvent | None:
        if not self._comings or self._comings[0][0] > self.now + timeout:
            self.now += timeout
            return None
        at, event = self._comings.pop(0)
        self.now = max(self.now, at)
        return event

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def batches(self, seconds: float = 0.1) -> Iterator[tuple[ChatEvent, ...]]:
        return gathered(self.next_event, seconds=seconds, clock=lambda: self.now, sleep=self.sleep)


def test_a_thousand_tokens_a_second_are_ten_batches_a_second_and_nothing_is_lost() -> None:
    line = Line(*((number / 1000, Token(f"{number} ")) for number in range(2000)), (2.0, DONE), (2.0, ENDED))
    at, said = [], ""
    for batch in line.batches():
        at.append(line.now)
        assert len([event for event in batch if isinstance(event, Token)]) <= 1
        said += "".join(event.text for event in batch if isinstance(event, Token))
    assert said == "".join(f"{number} " for number in range(2000))
    assert len(at) <= 22 and all(later - sooner > 0.0999 for sooner, later in pairwise(at))


def test_the_first_token_after_a_pause_does_not_wait() -> None:
    line = Line((0.5, Token("a")), (3.0, Token("b")), (3.01, Token("c")), (3.01, ENDED))
    heard = [(round(line.now, 2), batch) for batch in line.batches() if batch]
    assert heard[:2] == [(0.5, (Token("a"),)), (3.0, (Token("b"),))]
    assert heard[2][1] == (Token("c"), ENDED) and heard[2][0] <= 3.11


def test_the_order_of_what_is_no_token_is_kept() -> None:
    line = Line((0.0, Token("a")), (0.0, Token("b")), (0.0, DONE), (0.0, Token("c")), (0.0, ENDED))
    assert [batch for batch in line.batches() if batch] == [(Token("ab"), DONE, Token("c"), ENDED)]


def test_silence_gives_the_reader_a_moment_now_and_then() -> None:
    assert list(islice(Line().batches(), 3)) == [(), (), ()]


def test_a_stream_that_never_pauses_is_cut_into_batches() -> None:
    class Flood(Line):
        def next_event(self, timeout: float) -> ChatEvent:
            self.now += 0.001
            return Token("x")

    first, second = islice(Flood().batches(), 2)
    assert 90 <= len(first[0].text) <= 101 and len(second) == 1  # type: ignore[union-attr]
