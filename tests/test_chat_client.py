"""The client and a small child that speaks the protocol: replies, stop, death, and an end without leftovers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.chat_client import (
    LONGEST_MESSAGE,
    ChatClient,
    Done,
    Ended,
    Failed,
    Messages,
    Ready,
    Request,
    Settings,
    Token,
    parse_event,
    request_of,
)
from workbench.errors import BadInput

CHILD = Path(__file__).parent / "fixtures" / "fake_chat_child.py"


@pytest.fixture
def client() -> Iterator[ChatClient]:
    with ChatClient([sys.executable, str(CHILD)]) as client:
        assert client.next_event(20) == Ready("echo", 256, {"temperature": 0.8})
        yield client


def test_a_reply_comes_in_pieces_and_ends(client: ChatClient) -> None:
    *tokens, done = client.ask("naïve 🙂")
    assert "".join(token.text for token in tokens if isinstance(token, Token)) == "you said naïve 🙂"
    assert done == Done("stop_token", 4, 100.0, 8)


def test_lines_that_are_not_events_are_passed_over(client: ChatClient) -> None:
    assert isinstance(list(client.ask("noise"))[-1], Done)


def test_stop_ends_an_endless_reply(client: ChatClient) -> None:
    for event in client.ask("endless"):
        if isinstance(event, Token):
            client.send("stop")
        last = event
    assert isinstance(last, Done) and last.stopped_by == "stopped"


def test_who_stops_consuming_stops_the_reply(client: ChatClient) -> None:
    events = client.ask("endless")
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert isinstance(list(client.ask("hello"))[-1], Done)


def test_settings_messages_and_errors(client: ChatClient) -> None:
    client.send("set", key="temperature", value=0.1)
    assert client.next_event(20) == Settings({"temperature": 0.1})
    client.send("reset")
    assert client.next_event(20) == Messages([])
    client.send("set", key="nonsense", value=1)
    assert client.next_event(20) == Failed("nonsense is not a setting")


def test_an_early_death_is_explained_by_the_last_line_of_stderr(client: ChatClient) -> None:
    events = list(client.ask("die"))
    assert events[-1] == Ended(3, "no such checkpoint")
    client.send("user", text="are you there?")  # quietly nothing


def test_nobody_waits_for_a_child_that_is_gone(client: ChatClient) -> None:
    list(client.ask("die"))
    assert isinstance(client.next_event(), Ended)
    assert [type(event) for event in client.ask("still there?")] == [Ended]


def test_closing_ends_the_child_even_in_an_endless_reply() -> None:
    client = ChatClient([sys.executable, str(CHILD)])
    client.next_event(20)
    client.send("user", text="endless")
    client.close()
    client.close()
    assert client.returncode is not None


@pytest.mark.parametrize(
    "line", [b"", b"torch warning", b"[]", b"17", b'{"type": "token"}', b'{"type": "new thing"}', b"\xff\xfe"]
)
def test_a_foreign_line_is_no_event(line: bytes) -> None:
    assert parse_event(line) is None


def test_what_a_typed_line_asks_for() -> None:
    assert request_of("hello") == Request("user", {"text": "hello"})
    assert request_of("/set temperature 0.7") == Request("set", {"key": "temperature", "value": 0.7})
    assert request_of("/set stop END") == Request("set", {"key": "stop", "value": "END"})
    assert request_of("/system Be brief.") == Request("system", {"text": "Be brief."})
    assert request_of("/reset") == Request("reset", {})


@pytest.mark.parametrize(
    "line", ["", "  ", "/set", "/set temperature", "/fly", "/reset now", "x" * (LONGEST_MESSAGE + 1)]
)
def test_a_line_that_asks_for_nothing_is_refused_in_words(line: str) -> None:
    with pytest.raises(BadInput) as caught:
        request_of(line)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200
