"""The REPL over a child that speaks the protocol without a model."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.chat_client import ChatClient
from workbench.cli.repl import GoneError, Repl

CHILD = Path(__file__).parents[1] / "fixtures" / "fake_chat_child.py"


@pytest.fixture
def repl(tmp_path: Path) -> Iterator[Repl]:
    with ChatClient([sys.executable, str(CHILD)]) as client:
        yield Repl(client, "echo", home=tmp_path)


def test_a_reply_is_on_stdout_and_the_talk_on_stderr(repl: Repl, capsys: pytest.CaptureFixture[str]) -> None:
    assert repl.take("naïve 🙂")
    told = capsys.readouterr()
    assert told.out == "you said naïve 🙂\n"
    assert told.err == ""


def test_what_the_model_says_cannot_steer_the_terminal(
    repl: Repl, capsys: pytest.CaptureFixture[str]
) -> None:
    repl.take("hostile")
    out = capsys.readouterr().out
    assert "visible" in out and "[@click=app.bell]x[/]" in out
    assert not set(out) & set("\x1b\x07\x9b\u202e\r")


def test_commands(repl: Repl, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for line in (
        "/help",
        "/set temperature 0.1",
        "/set nonsense 1",
        "/reset",
        "/fly",
        "/set",
        "/load nowhere",
    ):
        assert repl.take(line)
    told = capsys.readouterr()
    assert "/compare REF" in told.out
    for said in (
        "temperature 0.1",
        "nonsense is not a setting",
        "forgotten",
        "/fly is not a command",
        "nowhere",
    ):
        assert said in told.err
    assert not repl.take("/exit")


def test_a_conversation_is_saved_whole(
    repl: Repl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a talk.json"
    repl.take(f"/save '{path}'")
    assert json.loads(path.read_text()) == {"messages": []}
    repl.take(f"/save {tmp_path}/nowhere/x.json")
    assert "cannot be written" in capsys.readouterr().err


def test_a_model_that_dies_ends_the_talk_with_its_last_words(repl: Repl) -> None:
    with pytest.raises(GoneError, match="no such checkpoint"):
        repl.take("die")
