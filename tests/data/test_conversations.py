"""Conversations: each shape people write, and each way it can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.conversations import Message, check_turns, read_conversations
from workbench.data.formats import UnusableError
from workbench.errors import BadInput

HELLO = (Message("user", "Hi"), Message("assistant", "Hello."))


def write(folder: Path, *records: Any) -> Path:
    path = folder / "x.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def turns(*pairs: tuple[str, Any], role: str = "role", content: str = "content") -> list[dict[str, Any]]:
    return [{role: who, content: what} for who, what in pairs]


@pytest.mark.parametrize(
    ("record", "format_name", "messages"),
    [
        ({"messages": turns(("user", "Hi"), ("assistant", "Hello."))}, "messages", HELLO),
        (
            {"messages": turns(("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello."))},
            "messages",
            (Message("system", "Be kind."), *HELLO),
        ),
        ({"messages": turns(("system", ""), ("user", "Hi"), ("assistant", "Hello."))}, "messages", HELLO),
        (
            {"conversations": turns(("human", "Hi"), ("gpt", "Hello."), role="from", content="value")},
            "ShareGPT",
            HELLO,
        ),
        ({"conversations": turns(("user", "Hi"), ("assistant", "Hello."))}, "ShareGPT", HELLO),
        (
            {
                "system": "Be kind.",
                "conversations": turns(("human", "Hi"), ("gpt", "Hello."), role="from", content="value"),
            },
            "ShareGPT",
            (Message("system", "Be kind."), *HELLO),
        ),
        ({"instruction": "Hi", "input": "", "output": "Hello."}, "Alpaca", HELLO),
        ({"instruction": "Hi", "output": "Hello."}, "Alpaca", HELLO),
        (
            {"instruction": "Add", "input": "1 2", "output": "3"},
            "Alpaca",
            (Message("user", "Add\n\n1 2"), Message("assistant", "3")),
        ),
        (
            {"instruction": "Go on", "output": "More.", "history": [["Hi", "Hello."]]},
            "Alpaca",
            (*HELLO, Message("user", "Go on"), Message("assistant", "More.")),
        ),
        ({"prompt": "Hi", "completion": " Hello."}, "prompt/completion", HELLO),
        (
            {"prompt": turns(("user", "Hi")), "completion": turns(("assistant", "Hello."))},
            "prompt/completion",
            HELLO,
        ),
        ({"prompt": "Hi", "response": "Hello."}, "prompt/response", HELLO),
        ({"question": "Hi", "answer": "Hello."}, "question/answer", HELLO),
    ],
)
def test_each_shape_is_detected_and_read(
    tmp_path: Path, record: dict[str, Any], format_name: str, messages: tuple[Message, ...]
) -> None:
    found = read_conversations(write(tmp_path, record))
    assert found.format == format_name
    assert found.examples[0].messages == messages
    assert not found.rejected


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (turns(("user", "Hi"), ("assistant", " ")), "turn 2 (assistant) is empty"),
        (turns(("user", "Hi")), "the last turn is user"),
        (turns(("assistant", "Hello.")), "out of order: turn 1 is assistant, expected user"),
        (turns(("system", "s"), ("user", "a"), ("user", "b")), "turn 3 is user, expected assistant"),
        (turns(("user", "Hi"), ("system", "s"), ("assistant", "x")), "turn 2 is system"),
        (turns(("user", "Hi"), ("robot", "x")), "unknown role 'robot'"),
        (turns(("user", "Hi"), (None, "x")), "unknown role"),  # type: ignore[arg-type]
        (turns(("user", "Hi"), ("assistant", None)), "is not text but NoneType"),
        (turns(("user", [{"type": "image"}]), ("assistant", "x")), "is not text but list"),
        (turns(("user", "Hi"), ("function_call", "{}"), ("observation", "{}")), "tool call"),
        ([], "at least one turn"),
        ("Hi", "not a list"),
        (["Hi"], "turn 1 is not an object"),
    ],
)
def test_a_bad_record_is_rejected_with_line_and_reason(tmp_path: Path, messages: Any, reason: str) -> None:
    good = {"messages": turns(("user", "Hi"), ("assistant", "Hello."))}
    found = read_conversations(write(tmp_path, good, {"messages": messages}), max_bad_records=0.5)
    assert len(found.examples) == 1
    (bad,) = found.rejected
    assert bad.line == 2 and reason in bad.reason


def test_too_many_bad_records_fail_naming_the_first(tmp_path: Path) -> None:
    good = {"question": "Hi", "answer": "Hello."}
    path = write(tmp_path, good, {"question": "Hi", "answer": ""}, {"question": "Hi"}, good)
    with pytest.raises(BadInput, match=r"x\.jsonl:2: answer .* is empty .*2 bad among 4"):
        read_conversations(path)


def test_an_unknown_shape_names_the_keys_and_what_is_accepted(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"x\.jsonl:1: .*utterances speaker.*accepted are messages.*Alpaca"):
        read_conversations(write(tmp_path, {"utterances": [], "speaker": "x"}))


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(BadInput, match="holds no records"):
        read_conversations(tmp_path / "x.jsonl")


@given(st.lists(st.sampled_from(["system", "user", "assistant"]), max_size=7))
def test_turns_are_right_exactly_when_they_alternate(roles: list[str]) -> None:
    turns_only = roles[1:] if roles[:1] == ["system"] else roles
    right = bool(turns_only) and turns_only == ["user", "assistant"] * (len(turns_only) // 2)
    try:
        check_turns([Message(role, "x") for role in roles], last="assistant")  # type: ignore[arg-type]
    except UnusableError:
        assert not right
    else:
        assert right
