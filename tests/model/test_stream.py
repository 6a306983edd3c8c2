from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import BadInput
from workbench.model.generate import generate
from workbench.model.stream import TextStream, overlap, stream_text
from workbench.model.transformer import Decoder


class Bytes:
    """A tokenizer whose tokens are single bytes."""

    def token_bytes(self, token_id: int, /) -> bytes:
        return bytes([token_id])


def feed(data: bytes, stop_texts: Sequence[str] = ()) -> tuple[list[str], str | None]:
    stream = TextStream(Bytes(), stop_texts=stop_texts)
    pieces = [stream.feed(byte) for byte in data]
    return [*pieces, stream.flush()], stream.stopped_by_text


def test_a_character_appears_when_it_is_whole() -> None:
    pieces, _ = feed("aé€😀".encode())
    assert pieces == ["a", "", "é", "", "", "€", "", "", "", "😀", ""]


@given(st.binary(max_size=60))
def test_nothing_is_lost_or_invented(data: bytes) -> None:
    assert "".join(feed(data)[0]) == data.decode("utf-8", errors="replace")


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3))
def test_the_text_ends_before_the_first_stop_text(text: str, stops: list[str]) -> None:
    pieces, stopped = feed(text.encode(), stops)
    # The first to be complete wins, for that is when the stream must decide.
    ends = [(text.index(stop) + len(stop), text.index(stop), stop) for stop in stops if stop in text]
    if not ends:
        assert stopped is None and "".join(pieces) == text
        return
    end = min(ends)[0]
    start = min(begin for stop_end, begin, _ in ends if stop_end == end)
    assert "".join(pieces) == text[:start]
    assert stopped is not None and text[start:].startswith(stopped)


def test_what_could_become_a_stop_text_waits_and_is_given_back() -> None:
    pieces, stopped = feed(b"x<|enough", ["<|end|>"])
    assert pieces == ["x", "", "", "", "", "<|eno", "u", "g", "h", ""]
    assert stopped is None


def test_the_beginning_of_a_stop_text_is_given_at_the_end() -> None:
    assert feed(b"x<|e", ["<|end|>"])[0][-1] == "<|e"


def test_after_the_stop_text_there_is_nothing() -> None:
    stream = TextStream(Bytes(), stop_texts=["."])
    assert [stream.feed(byte) for byte in b"a.b"] == ["a", "", ""]
    assert stream.flush() == ""


def test_an_empty_stop_text_is_refused() -> None:
    with pytest.raises(BadInput, match="empty"):
        TextStream(Bytes(), stop_texts=[""])


@pytest.mark.parametrize(
    ("text", "length"), [("ab", 2), ("xa", 1), ("xaba", 3), ("abac", 0), ("", 0), ("b", 0)]
)
def test_overlap_is_the_longest_end_that_begins_the_stop(text: str, length: int) -> None:
    assert overlap(text, "abac") == length


def test_a_stop_text_ends_the_generation(llama: Decoder) -> None:
    said = list(generate(llama, [7], max_new_tokens=12))
    text = "".join(map(chr, said))
    generation = generate(llama, [7], max_new_tokens=12)
    stop = text[4:6]
    assert "".join(stream_text(generation, Bytes(), stop_texts=[stop])) == text[: text.index(stop)]
    assert generation.reply.stopped_by == "stop_text"
    assert len(generation.reply.ids) == text.index(stop) + 2


def test_a_reply_without_stop_text_is_streamed_whole(llama: Decoder) -> None:
    generation = generate(llama, [7], max_new_tokens=12)
    assert "".join(stream_text(generation, Bytes())) == "".join(map(chr, generation.reply.ids))
    assert generation.reply.stopped_by == "max_new_tokens"


def test_a_stop_is_heard_after_a_token_that_says_nothing(llama: Decoder) -> None:
    class Silent(Bytes):
        def token_bytes(self, token_id: int, /) -> bytes:
            return b""

    asked = iter([False, False, False, True])
    generation = generate(llama, [7], max_new_tokens=12)
    assert list(stream_text(generation, Silent(), is_stopped=lambda: next(asked))) == []
    assert generation.reply.stopped_by == "stopped" and len(generation.reply.ids) == 3


def test_the_token_that_was_computed_when_the_stop_came_is_not_said(llama: Decoder) -> None:
    said = "".join(map(chr, generate(llama, [7], max_new_tokens=12)))
    generation = generate(llama, [7], max_new_tokens=12)
    heard: list[str] = []
    for piece in stream_text(generation, Bytes(), is_stopped=lambda: len(heard) == 2):
        heard.append(piece)
    assert "".join(heard) == said[:2] and generation.reply.stopped_by == "stopped"


def test_a_stop_that_came_first_spares_the_reading_of_the_prompt(llama: Decoder) -> None:
    generation = generate(llama, [7], max_new_tokens=12)
    assert list(stream_text(generation, Bytes(), is_stopped=lambda: True)) == []
    assert generation.seconds == 0 and generation.reply.stopped_by == "stopped"
