"""A conversation with a model that says what the test lets it: what is shown of a reply, and what a stop cuts off."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events

from tests.tui.puppet import DONE, STOPPED, chatting
from tui.screens.home import HomeScreen
from workbench.chat_client import (
    LONGEST_MESSAGE,
    Done,
    Ended,
    Failed,
    Messages,
    Token,
)


async def test_not_one_token_is_shown_after_a_stop_and_the_screen_says_so_at_once(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.sends("hello")
        await chat.hears(Token("one "), Token("two "))
        await chat.pilot.press("escape")
        await chat.shows("one two", "stopped")
        assert chat.client.sent[-1] == {"type": "stop", "shown": 8}
        await chat.hears(Token("three "))
        assert "three" not in chat.text
        await chat.sends("and now")  # nobody has to wait for the model to hear it
        assert chat.client.sent[-1] == {"type": "user", "text": "and now"}
        await chat.hears(Token("four "), STOPPED, Token("new reply"))
        shown = chat.text
        assert "four" not in shown and "3 tokens · 10 tok/s · stopped" in shown and "new reply" in shown
        await chat.hears(Done("stop_token", 2, 10.0, 40))
        assert "2 tokens · 10 tok/s" in chat.text and "context 40 of 256" in chat.text


async def test_a_reply_that_ended_as_it_was_stopped_stays_as_it_was_seen(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.sends("hello")
        await chat.hears(Token("one "))
        await chat.pilot.press("escape")
        await chat.shows("stopped")
        await chat.hears(Token("two"), DONE)
        assert "two" not in chat.text and "2 tokens · 10 tok/s · stopped" in chat.text
        await chat.pilot.press("escape")  # there is nothing to stop any more
        await chat.until(lambda: isinstance(chat.app.screen, HomeScreen))
        assert [sent["type"] for sent in chat.client.sent] == ["user", "stop"]


async def test_escape_twice_leaves_a_model_that_does_not_hear(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.sends("hello")
        await chat.pilot.press("escape", "escape")
        await chat.until(lambda: isinstance(chat.app.screen, HomeScreen))


async def test_what_cannot_be_answered_says_why_and_leaves_nothing_waiting(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.pilot.press("ctrl+r")
        await chat.until(lambda: len(chat.client.sent) == 1)
        await chat.hears(Failed("there is no reply to make again"))
        assert "no reply to make again" in chat.text and "model  …" not in chat.text
        await chat.sends("hello")
        await chat.hears(Token("a reply"), DONE)
        await chat.pilot.press("ctrl+r")
        await chat.until(lambda: "a reply" not in chat.text)
        await chat.hears(Failed("the message is too long"))
        assert "a reply" in chat.text and "too long" in chat.text
        await chat.sends("goes on")
        await chat.hears(Token("it does"), DONE)
        assert "it does" in chat.text


async def test_an_empty_reply_is_told(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.sends("hello")
        assert "model  …" in chat.text
        await chat.hears(Done("stop_token", 0, 0.0, 30))
        assert "(nothing)" in chat.text and "0 tokens" in chat.text and "model  …" not in chat.text


async def test_a_model_that_dies_in_mid_reply_leaves_what_it_said(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.sends("hello")
        await chat.hears(Token("half a "), Ended(-9, "the model's process ended with code -9"))
        shown = chat.text
        assert "half a" in shown and "not finished" in shown and "code -9" in shown


async def test_a_system_prompt_is_told_and_a_new_conversation_is_empty(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.sends("/system Be brief.\x1b[31m", kind="system")
        await chat.hears(Messages([{"role": "system", "content": "Be brief.\x1b[31m"}]))
        assert "system prompt: Be brief.[31m" in chat.text


async def test_a_message_of_many_lines_is_written_sent_and_brought_back(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        composer = chat.composer
        await chat.pilot.press("o", "n", "e", "ctrl+j", "t", "w", "o")
        await chat.until(lambda: composer.text == "one\ntwo" and composer.size.height == 2)
        await chat.pilot.press("enter")
        await chat.until(lambda: composer.text == "" and composer.size.height == 1)
        assert chat.client.sent[-1] == {"type": "user", "text": "one\ntwo"}
        assert "you    one\n        two" in "\n".join(row.rstrip() for row in chat.text.splitlines())
        await chat.pilot.press("x", "enter")
        await chat.shows("a reply is still coming")
        assert composer.text == "x" and len(chat.client.sent) == 1
        await chat.pilot.press("backspace")
        await chat.hears(Token("fine"), Done("stop_token", 1, 10.0, 30))
        await chat.pilot.press("up", "exclamation_mark", "enter")
        await chat.until(lambda: chat.client.sent[-1] == {"type": "user", "text": "one\ntwo!"})
        await chat.hears(Token("fine"), Done("stop_token", 1, 10.0, 30))
        await chat.until(lambda: composer.text == "")
        await chat.pilot.press("up", "up", "up", "up")  # from the first line of one to the one before
        await chat.until(lambda: composer.text == "one\ntwo")


async def test_a_pasted_text_keeps_its_lines_and_a_pasted_disk_is_refused(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        composer = chat.composer
        chat.app.post_message(events.Paste("a\n\tb\n" * 20))
        await chat.until(lambda: composer.text == "a\n\tb\n" * 20 and composer.size.height == 6)
        composer.clear()
        chat.app.post_message(events.Paste("x" * (LONGEST_MESSAGE + 1)))
        await chat.shows("that is 100,001")
        assert composer.text == ""


async def test_the_keys_of_the_app_work_while_a_message_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []
    monkeypatch.setattr("tui.screens.chat.copy", lambda _, text: copied.append(text))
    async with chatting(tmp_path) as chat:
        await chat.sends("hello")
        await chat.hears(Token("\tone\n" * 60), Done("stop_token", 1, 10.0, 30))
        await chat.pilot.press("d", "r", "a", "f", "t")
        await chat.pilot.press("ctrl+y")
        await chat.until(lambda: copied == ["\tone\n" * 60])
        await chat.pilot.press("pageup")
        await chat.shows("↓ more below")
        await chat.pilot.press("pagedown", "pagedown", "pagedown")
        await chat.until(lambda: "↓ more below" not in chat.text)
        assert chat.composer.text == "draft"
        suspend = [
            active for active in chat.screen.active_bindings.values() if active.binding.key == "ctrl+z"
        ]
        assert suspend[0].binding.action == "suspend_process"


async def test_a_reply_that_is_longer_than_anybody_reads_is_cut(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.sends("hello")
        await chat.hears(Token("word " * 30_000), Token("more " * 30_000), Done("stop_token", 1, 10.0, 30))
        assert "[cut: too much text]" in chat.text


async def test_markdown_is_off_until_it_is_asked_for_and_remembered_then(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        await chat.sends("hello")
        await chat.hears(Token("*some* `code`"), Done("stop_token", 4, 10.0, 30))
        await chat.shows("*some* `code`")
        await chat.pilot.press("ctrl+g")
        await chat.shows("model  some code", "30 of 256 tokens  temperature 0.8  markdown")
        await chat.sends("more")
        await chat.hears(Token("**growing**"))
        await chat.shows("model  **growing**")
        await chat.hears(Done("stop_token", 4, 10.0, 40))
        await chat.shows("model  growing")
    async with chatting(tmp_path) as chat:
        await chat.shows("temperature 0.8  markdown")
        await chat.pilot.press("ctrl+g")
        await chat.until(lambda: "0.8  markdown" not in chat.text)
