"""Preference pairs: each shape people write, and pairs that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.data.conversations import Message
from workbench.data.preferences import read_preferences, read_transcript
from workbench.errors import BadInput

ASKED = (Message("user", "Hi"),)
USER = {"role": "user", "content": "Hi"}
GOOD = {"role": "assistant", "content": "Hello."}
BAD = {"role": "assistant", "content": "What?"}


def write(folder: Path, *records: Any) -> Path:
    path = folder / "x.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("record", "format_name"),
    [
        ({"prompt": "Hi", "chosen": "Hello.", "rejected": " What?"}, "prompt/chosen/rejected"),
        ({"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}, "prompt/chosen/rejected"),
        ({"prompt": "Hi", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, "prompt/chosen/rejected"),
        (
            {"prompt": "\n\nHuman: Hi\n\nAssistant:", "chosen": " Hello.", "rejected": " What?"},
            "prompt/chosen/rejected",
        ),
        ({"chosen": [USER, GOOD], "rejected": [USER, BAD]}, "shared prefix"),
        (
            {
                "chosen": "\n\nHuman: Hi\n\nAssistant: Hello.",
                "rejected": "\n\nHuman: Hi\n\nAssistant: What?",
            },
            "shared prefix",
        ),
        (
            {"instruction": "Hi", "input": "", "output": "x", "chosen": "Hello.", "rejected": "What?"},
            "Alpaca preference",
        ),
        (
            {
                "conversations": [{"from": "human", "value": "Hi"}],
                "chosen": {"from": "gpt", "value": "Hello."},
                "rejected": {"from": "gpt", "value": "What?"},
            },
            "ShareGPT preference",
        ),
    ],
)
def test_each_shape_is_detected_and_read(tmp_path: Path, record: dict[str, Any], format_name: str) -> None:
    found = read_preferences(write(tmp_path, record))
    (pair,) = found.examples
    assert found.format == format_name
    assert (pair.prompt, pair.chosen, pair.rejected) == (ASKED, "Hello.", "What?")


def test_a_transcript_keeps_its_turns() -> None:
    messages = read_transcript("\n\nHuman: a\n\nb\n\nAssistant: c\n\nHuman: d\n\nAssistant: e")
    assert [(message.role, message.content) for message in messages] == [
        ("user", "a\n\nb"),
        ("assistant", "c"),
        ("user", "d"),
        ("assistant", "e"),
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"chosen": [USER, GOOD], "rejected": [{"role": "user", "content": "Ho"}, BAD]}, "before the last"),
        ({"chosen": [GOOD], "rejected": [BAD]}, "out of order"),
        ({"chosen": "Hello.", "rejected": "What?"}, "transcript"),
        ({"chosen": [USER, GOOD], "rejected": [USER]}, "the last turn is user"),
    ],
)
def test_a_pair_without_a_shared_prompt_is_rejected(
    tmp_path: Path, record: dict[str, Any], reason: str
) -> None:
    found = read_preferences(write(tmp_path, record), max_bad_records=1)
    assert not found.examples and reason in found.rejected[0].reason


def test_equal_replies_are_counted_but_do_not_make_the_file_bad(tmp_path: Path) -> None:
    same = {"prompt": "Hi", "chosen": "Hello.", "rejected": "Hello. "}
    pair = {"prompt": "Hi", "chosen": "Hello.", "rejected": "What?"}
    found = read_preferences(write(tmp_path, same, pair), max_bad_records=0)
    assert len(found.examples) == 1
    assert [row.reason for row in found.rejected] == ["chosen and rejected are the same reply"]


def test_an_empty_reply_is_a_bad_record(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"x\.jsonl:1: rejected is empty"):
        read_preferences(write(tmp_path, {"prompt": "Hi", "chosen": "Hello.", "rejected": ""}))


@pytest.mark.parametrize(
    "record",
    [{"messages": [USER, GOOD], "label": True}, {"prompt": "Hi", "completion": "x", "kto_tag": False}],
)
def test_unpaired_judgements_are_refused_with_a_word(tmp_path: Path, record: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"x\.jsonl:1: .*KTO.*chosen and rejected"):
        read_preferences(write(tmp_path, record))


def test_an_unknown_shape_names_what_is_accepted(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="good evil; accepted are prompt/chosen/rejected") as caught:
        read_preferences(write(tmp_path, {"good": "x", "evil": "y"}))
    assert "label" not in str(caught.value)
