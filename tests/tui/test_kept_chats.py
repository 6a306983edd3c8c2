"""What was said to a model is there again: after the screen was left, after the app, and beside another model."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.tui.puppet import DONE, READY, chatting
from tui import talks
from tui.screens.home import HomeScreen
from tui.screens.pick import PickScreen
from tui.talks import FOLDER, Talk, Talks
from tui.widgets.transcript import TURNS_KEPT, Turn
from workbench.chat_client import Ended, Failed, Messages, Settings, Token
from workbench.saved_chat import read_chat

TALK = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi \u202ethere"}]


def kept(home: Path) -> list[Path]:
    return sorted((home / FOLDER).glob("*")) if (home / FOLDER).is_dir() else []


async def test_a_chat_goes_on_where_it_was_left(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.talks("hello", "hi \u202ethere")
        await chat.leave()
        assert isinstance(chat.app.screen, HomeScreen)
        await chat.open(tmp_path)
        await chat.shows("loading the model", "you    hello", "hi there")
        await chat.hears(READY)
        assert chat.client.sent == [{"type": "load", "messages": TALK}], "word for word"
        await chat.hears(Messages(TALK))
        await chat.talks("and now?", "now too")
        assert chat.client.sent[1:] == [{"type": "user", "text": "and now?"}]
        assert "you    hello" in chat.text and "now too" in chat.text and "left off" in chat.text
        assert "2 tokens · 10 tok/s" in chat.text


async def test_of_a_long_chat_the_end_is_seen_first(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        for number in range(12):
            await chat.talks(f"question {number}", f"answer {number}")
        await chat.leave()
        await chat.open(tmp_path)
        await chat.shows("question 11", "answer 11", "left off")
        rows = [row.strip(" ▕") for row in chat.text.splitlines()]
        at = next(number for number, row in enumerate(rows) if "left off" in row)
        assert not any(rows[at + 1 : -2]) and len(rows[at + 1 : -2]) <= 1, "as much above it as fits"
        assert "question 0" not in chat.text and "more below" not in chat.text


async def test_a_chat_with_another_model_is_another_one(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.talks("hello", "hi")
        await chat.leave()
        await chat.open(tmp_path, "other")
        await chat.hears(READY)
        assert chat.client.sent == [] and "you    hello" not in chat.text


async def test_what_is_said_while_the_model_loads_comes_after_what_was_said_before(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.talks("hello", "hi \u202ethere")
        await chat.leave()
        await chat.open(tmp_path)
        chat.composer.text = "and now?"
        await chat.pilot.press("enter")
        await chat.shows("you    and now?")
        assert chat.client.sent == [], "nobody empties the pipe yet"
        await chat.hears(READY)
        assert chat.client.sent == [
            {"type": "load", "messages": TALK},
            {"type": "user", "text": "and now?"},
        ]


async def test_another_reply_can_be_asked_for_while_the_model_loads(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.talks("hello", "hi \u202ethere")
        await chat.leave()
        await chat.open(tmp_path)
        await chat.pilot.press("ctrl+r")
        await chat.until(lambda: "hi there" not in chat.text)
        await chat.hears(READY)
        assert chat.client.sent == [{"type": "load", "messages": TALK}, {"type": "regenerate"}]
        await chat.hears(Messages(TALK), Token("another"), DONE)
        assert "model  another" in chat.text


async def test_a_reply_that_was_left_in_the_middle_stays_as_it_was_seen(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.sends("hello")
        await chat.hears(Token("half a "))
        before = chat.conversation()
        chat.app.pop_screen()
        await chat.open(tmp_path)
        before.talk.turns[-1].said += "and a late word"  # what the view that was left still hears
        await chat.shows("half a", "not finished")
        await chat.hears(READY)
        assert chat.client.sent[0]["messages"][1:] == [{"role": "assistant", "content": "half a "}]


async def test_a_message_that_the_model_refused_is_not_told_again(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.talks("hello", "hi \u202ethere")
        await chat.sends("much")
        await chat.hears(Failed("the message is too long"))
        await chat.leave()
        await chat.open(tmp_path)
        await chat.hears(READY)
        assert chat.client.sent == [{"type": "load", "messages": TALK}]


async def test_a_chat_goes_on_after_its_model_died(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.talks("hello", "hi \u202ethere")
        await chat.hears(Ended(-9, "killed"))
        await chat.leave()
        await chat.open(tmp_path)
        await chat.hears(READY)
        assert chat.client.sent == [{"type": "load", "messages": TALK}] and not chat.composer.disabled


async def test_settings_and_the_system_prompt_stay_too(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.sends("/system Be brief.", kind="system")
        await chat.hears(Messages([{"role": "system", "content": "Be brief."}]))
        await chat.sends("/set temperature 0.3", kind="set")
        await chat.hears(Settings({"temperature": 0.3, "top_p": 1.0}))
        await chat.leave()
        await chat.open(tmp_path)
        await chat.hears(READY)
        assert chat.client.sent == [
            {"type": "set", "key": "temperature", "value": 0.3},
            {"type": "load", "messages": [{"role": "system", "content": "Be brief."}]},
        ]
        assert "system prompt: Be brief." in chat.text
        notes = len(chat.conversation().talk.turns)
        await chat.hears(Settings({"temperature": 0.3, "top_p": 1.0}))
        assert len(chat.conversation().talk.turns) == notes, "nobody asked on this screen"
        await chat.hears(Messages([{"role": "system", "content": "Be brief."}]))
        await chat.talks("hello", "hi")
        await chat.forgets()
        assert "hello" not in chat.text and "system prompt: Be brief." in chat.text


async def test_ctrl_n_forgets_for_good_and_says_why_it_does_nothing(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.pilot.press("ctrl+n")
        await chat.shows("new: nothing was said yet")
        assert chat.client.sent == []
        await chat.talks("hello", "hi")
        assert len(kept(tmp_path)) == 1
        await chat.forgets()
        assert chat.client.sent[-1] == {"type": "reset"} and "hello" not in chat.text
        assert kept(tmp_path) == []
        await chat.leave()
        await chat.open(tmp_path)
        await chat.hears(READY)
        assert chat.client.sent == [] and "hello" not in chat.text


async def test_what_is_said_right_after_ctrl_n_is_not_forgotten_too(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.talks("hello", "hi")
        await chat.pilot.press("ctrl+n")
        await chat.sends("anew")
        await chat.hears(Messages([]), Token("yes"), DONE)
        assert "you    anew" in chat.text and "model  yes" in chat.text and "hello" not in chat.text


async def test_an_empty_message_says_why_it_is_not_sent(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.pilot.press("enter")
        await chat.shows("send: type something first")
        assert chat.client.sent == [] and chat.composer.text == ""


async def test_the_last_chat_survives_the_app(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.talks("hello", "hi \u202ethere")
    (path,) = kept(tmp_path)
    assert read_chat(path) == TALK and path.name.startswith("quickstart-")
    assert (tmp_path / FOLDER).stat().st_mode & 0o077 == 0, "for the owner's eyes only"
    async with chatting(tmp_path) as chat:
        assert chat.client.sent == [{"type": "load", "messages": TALK}]
        assert "you    hello" in chat.text and "hi there" in chat.text


async def test_a_window_that_only_looks_keeps_nothing_for_the_next_time(tmp_path: Path) -> None:
    async with chatting(tmp_path, read_only=True) as chat:
        await chat.talks("hello", "hi \u202ethere")
        await chat.leave()
        await chat.open(tmp_path)
        await chat.hears(READY)
        assert chat.client.sent == [{"type": "load", "messages": TALK}]
    assert kept(tmp_path) == []


async def test_a_kept_chat_that_is_broken_is_told_and_left_until_something_is_said(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.talks("hello", "hi")
    (path,) = kept(tmp_path)
    path.write_text("{")
    async with chatting(tmp_path) as chat:
        await chat.shows("what was said the last time is lost", "is not a saved conversation")
        assert chat.client.sent == []
    assert path.read_text() == "{"
    async with chatting(tmp_path) as chat:
        await chat.talks("anew", "yes")
    assert [message["content"] for message in read_chat(path)] == ["anew", "yes"]


def test_only_so_many_chats_and_so_much_of_each_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talks, "MOST_KEPT", 3)
    monkeypatch.setattr(talks, "LONGEST_KEPT", 20)
    held = Talks(tmp_path)
    for number in range(5):
        talk = held.take_up(f"run/sft@{number}")
        talk.turns += [Turn("you", "a" * 10, said="a" * 10), Turn("model", "b", said="b")] * 3
        held.keep(talk)
        newest = max(tmp_path.iterdir(), key=lambda path: path.name.partition("@")[2])
        os.utime(newest, (number, number))
    left = sorted(path.name.partition("@")[2][0] for path in tmp_path.iterdir())
    assert left == ["2", "3", "4"]
    messages = read_chat(next(tmp_path.iterdir()))
    assert [message["role"] for message in messages] == ["user", "assistant"], "from a person's turn on"


def test_names_of_models_that_look_alike_are_two_chats(tmp_path: Path) -> None:
    held = Talks(tmp_path)
    for name in ("a/b", "a b", "../a", "/", "\udce9" * 300):
        talk = held.take_up(name)
        talk.turns.append(Turn("you", name, said=name))
        held.keep(talk)
    again = Talks(tmp_path)
    assert again.take_up("a/b").messages()[0]["content"] == "a/b"
    assert len(list(tmp_path.iterdir())) == 5


async def test_save_and_load_as_at_the_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with chatting(tmp_path) as chat:
        await chat.talks("hello", "hi \u202ethere")
        chat.composer.text = "/save 'a talk.json'"
        await chat.pilot.press("enter")
        await chat.shows("saved 2 messages to a talk.json")
        assert json.loads(Path("a talk.json").read_text()) == {"messages": TALK}
        await chat.forgets()
        await chat.sends("/load 'a talk.json'", kind="load")
        assert chat.client.sent[-1] == {"type": "load", "messages": TALK}
        await chat.hears(Messages(TALK))
        await chat.shows("you    hello", "hi there")
        for line, said in (
            ("/load nowhere", "cannot be read"),
            ("/load .", "is not a file"),
            ("/save nowhere/x", "cannot be written"),
            ("/save", "write one file name"),
        ):
            chat.composer.text = line
            await chat.pilot.press("enter")
            await chat.shows(said)


async def test_a_second_model_hears_what_was_said_to_the_first(tmp_path: Path) -> None:
    async with chatting(tmp_path, size=(240, 24)) as chat:
        await chat.talks("hello", "hi \u202ethere")
        await chat.leave()
        await chat.open(tmp_path, beside="other")
        await chat.until(lambda: chat.text.count("you    hello") == 2)
        assert "said by quickstart" in chat.text
        await chat.hears(READY)
        await chat.hears(READY, number=1)
        heard = {"type": "load", "messages": TALK}
        assert [client.sent for client in chat.clients] == [[heard], [heard]]
        await chat.pilot.press("ctrl+r")
        await chat.until(lambda: all(client.sent[-1] == {"type": "regenerate"} for client in chat.clients))
        for number, word in enumerate(("first", "second")):
            await chat.hears(Messages(TALK), Token(word), DONE, number=number)
        assert "model  first" in chat.text and "model  second" in chat.text
        await chat.leave()
        for reference, content in (("quickstart", "first"), ("other", "")):
            await chat.open(tmp_path, reference)
            await chat.hears(READY)
            told = chat.client.sent[0]["messages"][-1]["content"] if chat.client.sent else ""
            assert told == content, "what both heard belongs to the conversation of the first"
            await chat.leave()


async def test_a_model_that_is_put_beside_starts_from_the_conversation_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.choices.models_of", lambda _: [("other", "another model")])
    monkeypatch.setattr("tui.widgets.conversation.ChatClient.start", lambda *_, **__: chat.clients[1])
    async with chatting(tmp_path, size=(240, 24)) as chat:
        await chat.talks("hello", "hi \u202ethere")
        await chat.sends("/set temperature 0.3", kind="set")
        await chat.hears(Settings({"temperature": 0.3, "top_p": 1.0}))
        await chat.pilot.press("ctrl+o")
        await chat.until(lambda: isinstance(chat.app.screen, PickScreen) and "another model" in chat.text)
        await chat.pilot.press("enter")
        await chat.shows("it has heard what was said to quickstart")
        await chat.hears(READY, number=1)
        wanted = [
            {"type": "set", "key": "temperature", "value": 0.3},
            {"type": "load", "messages": TALK},
        ]
        await chat.until(lambda: chat.clients[1].sent == wanted and "said by quickstart" in chat.text)


def test_a_talk_is_taken_up_without_notes_and_with_every_turn_at_its_end() -> None:
    talk = Talk("a", "Be brief.")
    talk.turns += [
        Turn("note", "settings"),
        Turn("you", "refused"),
        Turn("you", "hello", said="hello"),
        Turn("model", "half", is_finished=False, said="half"),
    ]
    again, other = talk.taken_up(), talk.taken_up("b")
    assert [turn.footnote for turn in again.turns] == ["", "not finished"]
    assert [turn.footnote for turn in other.turns] == ["", "said by a"] and other.reference == "b"
    again.turns[1].said += " more"
    assert talk.messages() == other.messages() != again.messages()


def test_of_a_very_long_chat_the_last_turns_are_shown() -> None:
    talk = Talk("a")
    talk.take([{"role": "user", "content": str(number)} for number in range(TURNS_KEPT + 5)])
    assert [talk.turns[0].text, talk.turns[-1].said] == ["5", str(TURNS_KEPT + 4)]
