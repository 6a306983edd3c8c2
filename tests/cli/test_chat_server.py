"""The chat child without a model: a fake speaker, the real protocol."""

from __future__ import annotations

import json
import queue
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from workbench.chat_client import Done, Failed, Messages, Ready, Settings, Token, parse_event
from workbench.cli.chat_server import DEFAULTS, REQUESTS, ChatSession, serve
from workbench.cli.speaker import Spoken
from workbench.cli.talk import chat
from workbench.data.conversations import Message
from workbench.errors import BadInput


class Echo:
    """Says what it was told, a word at a time; for ever when told `endless`."""

    context_length = 64

    def __init__(self) -> None:
        self.heard: list[list[Message]] = []

    def reply(
        self, messages: Sequence[Message], settings: Mapping[str, Any], stop: Callable[[], bool]
    ) -> Iterator[str | Spoken]:
        self.heard.append(list(messages))
        said = messages[-1].content
        if said == "too long":
            raise BadInput("the message is too long")
        text, stopped_by = "", "stop_token"
        for word in iter(lambda: "again ", "") if said == "endless" else said.split():
            if stop():
                stopped_by = "stopped"
                break
            text += word
            yield word
        yield Spoken(text, stopped_by, new_tokens=2, tokens_per_second=5.0, context_tokens=9)


def converse(*requests: Any, session: ChatSession | None = None) -> list[Any]:
    """The events that a whole conversation gives, through the client's own parser."""
    lines = [request if isinstance(request, bytes) else json.dumps(request).encode() for request in requests]
    written: list[str] = []
    serve(session or ChatSession(Echo(), name="echo"), iter(lines), written.append)
    events = [parse_event(line.encode()) for line in written]
    assert None not in events, "the client understands every line"
    return events


def user(text: str) -> dict[str, str]:
    return {"type": "user", "text": text}


def test_it_says_it_is_ready_and_answers_before_it_leaves() -> None:
    assert converse(user("hello there")) == [
        Ready("echo", 64, DEFAULTS),
        Token("hello"),
        Token("there"),
        Done("stop_token", 2, 5.0, 9),
    ]


def test_the_conversation_grows_and_can_be_put_away() -> None:
    speaker = Echo()
    events = converse(
        {"type": "system", "text": "Be brief."},
        user("one"),
        user("two"),
        {"type": "regenerate"},
        {"type": "reset"},
        {"type": "messages"},
        session=ChatSession(speaker, name="echo"),
    )
    roles = [[(message.role, message.content) for message in heard] for heard in speaker.heard]
    assert roles[1] == [("system", "Be brief."), ("user", "one"), ("assistant", "one"), ("user", "two")]
    assert roles[2] == roles[1]
    assert events[-1] == Messages([{"role": "system", "content": "Be brief."}])


def test_load_goes_on_from_a_conversation() -> None:
    speaker = Echo()
    saved = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    converse({"type": "load", "messages": saved}, user("c"), session=ChatSession(speaker, name="echo"))
    assert [message.content for message in speaker.heard[0]] == ["a", "b", "c"]


def test_set_changes_what_is_asked_and_nothing_else() -> None:
    _, first, second = converse(
        {"type": "set", "key": "temperature", "value": 0.5}, {"type": "set", "key": "stop", "value": "END"}
    )
    assert first == Settings({**DEFAULTS, "temperature": 0.5})
    assert second == Settings({**DEFAULTS, "temperature": 0.5, "stop": ["END"]})


@pytest.mark.parametrize(
    "request_",
    [
        {"type": "set", "key": "beauty", "value": 1},
        {"type": "set", "key": "temperature", "value": "hot"},
        {"type": "set", "key": "temperature", "value": -1},
        {"type": "set", "key": "max_new_tokens", "value": 0},
        {"type": "set", "key": "max_new_tokens", "value": True},
        {"type": "set", "key": "stop", "value": [""]},
        {"type": "sing"},
        {"type": ["\x1b", "\n"]},
        {"type": "user"},
        {"type": "user", "text": " \n"},
        {"type": "user", "text": 7},
        {"type": "user", "text": "x" * 1_000_001},
        {"type": "load", "messages": "all"},
        {"type": "load", "messages": [{"role": "tool", "content": "x"}]},
        {"type": "load", "messages": [7]},
        {"type": "regenerate"},
        user("too long"),
        b"not json",
        b"[1, 2]",
        b"\xff\xfe",
        b"[" * 5_000_000,
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_bad_request_is_answered_in_one_line_and_forgotten(request_: Any) -> None:
    _, failed, conversation = converse(request_, {"type": "messages"})
    assert isinstance(failed, Failed)
    assert failed.message and "\n" not in failed.message
    assert conversation == Messages([])


def test_every_type_of_request_is_known_and_in_the_help() -> None:
    for kind in REQUESTS:
        refused = [event.message for event in converse({"type": kind}) if isinstance(event, Failed)]
        assert not any("type of request" in message for message in refused)
        assert re.search(rf"\b{kind}\b", chat.__doc__ or "")


def test_stop_ends_the_reply_that_is_being_made() -> None:
    lines: queue.Queue[bytes | None] = queue.Queue()
    lines.put(json.dumps(user("endless")).encode())
    events: list[Any] = []

    def write(line: str) -> None:
        events.append(parse_event(line.encode()))
        if len(events) == 4:
            lines.put(b'{"type": "stop"}')
            lines.put(b'{"type": "messages"}')
            lines.put(None)

    serve(ChatSession(Echo(), name="echo"), iter(lines.get, None), write)
    *_, done, conversation = events
    assert done == Done("stopped", 2, 5.0, 9)
    assert conversation.messages[-1]["content"].startswith("again ")


def test_a_stop_that_comes_at_once_is_not_lost() -> None:
    assert converse(user("endless"), {"type": "stop"})[-1] == Done("stopped", 2, 5.0, 9)


def test_a_stop_is_not_for_what_comes_after_it() -> None:
    assert converse({"type": "stop"}, user("hello"))[-1] == Done("stop_token", 2, 5.0, 9)


def test_what_was_not_shown_of_a_stopped_reply_was_never_said() -> None:
    stop = {"type": "stop", "shown": 5}
    *_, conversation = converse(user("one two three"), stop, {"type": "messages"})
    assert conversation.messages[-1] == {"role": "assistant", "content": ""}, (
        "it was stopped before its first word"
    )
    lines: queue.Queue[bytes | None] = queue.Queue()
    lines.put(json.dumps(user("endless")).encode())
    events: list[Any] = []

    def write(line: str) -> None:
        events.append(parse_event(line.encode()))
        if len(events) == 4:  # three words are said, one of them was shown
            for request in ({"type": "stop", "shown": 6}, {"type": "messages"}):
                lines.put(json.dumps(request).encode())
            lines.put(None)

    serve(ChatSession(Echo(), name="echo"), iter(lines.get, None), write)
    assert events[-1].messages[-1]["content"] == "again "


def test_a_stop_that_comes_after_the_end_still_cuts_what_was_not_shown() -> None:
    lines: queue.Queue[bytes | None] = queue.Queue()
    lines.put(json.dumps(user("one two three")).encode())
    events: list[Any] = []

    def write(line: str) -> None:
        events.append(parse_event(line.encode()))
        if isinstance(events[-1], Done):
            for request in (
                {"type": "stop", "shown": 3},
                {"type": "messages"},
                {"type": "stop", "shown": 0},
                {"type": "messages"},
            ):
                lines.put(json.dumps(request).encode())
            lines.put(None)

    serve(ChatSession(Echo(), name="echo"), iter(lines.get, None), write)
    assert [event.messages[-1]["content"] for event in events[-2:]] == ["one", "one"], "messages is no reply"
    assert len([event for event in events if isinstance(event, Done)]) == 1


@pytest.mark.parametrize("shown", [-1, True, "x", None, 10**9])
def test_an_odd_number_of_shown_characters_cuts_nothing(shown: Any) -> None:
    lines: queue.Queue[bytes | None] = queue.Queue()
    lines.put(json.dumps(user("one two")).encode())
    events: list[Any] = []

    def write(line: str) -> None:
        events.append(parse_event(line.encode()))
        if isinstance(events[-1], Done):
            lines.put(json.dumps({"type": "stop", "shown": shown}).encode())
            lines.put(b'{"type": "messages"}')
            lines.put(None)

    serve(ChatSession(Echo(), name="echo"), iter(lines.get, None), write)
    assert events[-1].messages[-1]["content"] == "onetwo"
