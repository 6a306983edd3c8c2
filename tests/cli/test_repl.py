"""The REPL over a child that speaks the protocol without a model."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def test_ctrl_c_shows_not_one_more_token_and_tells_how_many_were(
    repl: Repl, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    send = ChatClient.send

    def record(client: ChatClient, kind: str, **fields: Any) -> None:
        sent.append({"type": kind, **fields})
        send(client, kind, **fields)

    monkeypatch.setattr(ChatClient, "send", record)
    write, said = sys.stdout.write, 0

    def interrupted(text: str) -> int:
        nonlocal said
        said += text == "again "
        if said == 3 and text == "again ":
            signal.raise_signal(signal.SIGINT)
        return write(text)

    monkeypatch.setattr(sys.stdout, "write", interrupted)
    assert repl.take("endless")
    told = capsys.readouterr()
    assert told.out.split() == ["again"] * 3 and "stopped" in told.err
    assert sent[1:] == [{"type": "stop", "shown": 18}]
    assert repl.take("hello") and capsys.readouterr().out == "you said hello\n", "and the talk goes on"
