"""A conversation with a model that says what the test lets it: what is shown of a reply, and what a stop cuts off."""

from __future__ import annotations

import asyncio
import queue
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot

from tests.tui.test_screens import running, say, text_of, until
from tui.app import WorkbenchApp
from tui.messages import ChatHeard
from tui.screens.chat import ChatScreen
from tui.screens.home import HomeScreen
from tui.widgets.composer import Composer
from tui.widgets.conversation import Conversation
from workbench.chat_client import (
    LONGEST_MESSAGE,
    ChatEvent,
    Done,
    Ended,
    Failed,
    Messages,
    Ready,
    Settings,
    Token,
)

READY = Ready("echo", 256, {"temperature": 0.8, "top_p": 1.0})
STOPPED = Done("stopped", 3, 10.0, 30)


class Puppet:
    """A child that is heard when the test says so."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self._events: queue.Queue[ChatEvent] = queue.Queue()

    def __enter__(self) -> Puppet:
        return self

    def __exit__(self, *_: object) -> None: ...

    def send(self, kind: str, **fields: Any) -> None:
        self.sent.append({"type": kind, **fields})

    def next_event(self, timeout_seconds: float | None = None) -> ChatEvent | None:
        try:
            return self._events.get(timeout=timeout_seconds)
        except queue.Empty:
            return None


def puppet_app(tmp_path: Path) -> tuple[WorkbenchApp, ChatScreen, Puppet]:
    client = Puppet()
    return WorkbenchApp(tmp_path), ChatScreen(tmp_path, "quickstart", client=client), client  # type: ignore[arg-type]


async def hears(pilot: Pilot[None], *events: ChatEvent) -> None:
    """These events reach the conversation now, as one batch."""
    conversation = pilot.app.screen.query_one(Conversation)
    taken = asyncio.Event()
    conversation.post_message(ChatHeard(events))
    conversation.call_later(taken.set)  # taken in order
    await asyncio.wait_for(taken.wait(), 30)


async def sends(pilot: Pilot[None], client: Puppet, text: str, *, kind: str = "user") -> None:
    """`text` is said, and has reached the child."""
    before = len(client.sent)
    await say(pilot, text)
    await until(pilot, lambda: len(client.sent) > before and client.sent[-1]["type"] == kind)


async def shows(pilot: Pilot[None], *texts: str) -> None:
    """All of these stand on the screen."""
    await until(pilot, lambda: all(text in text_of(pilot.app) for text in texts))  # type: ignore[arg-type]


async def test_not_one_token_is_shown_after_a_stop_and_the_screen_says_so_at_once(tmp_path: Path) -> None:
    app, chat, client = puppet_app(tmp_path)
    async with running(app) as pilot:
        await app.push_screen(chat)
        await hears(pilot, READY)
        await sends(pilot, client, "hello")
        await hears(pilot, Token("one "), Token("two "))
        await pilot.press("escape")
        await shows(pilot, "one two", "stopped")
        assert app.screen is chat and client.sent[-1] == {"type": "stop", "shown": 8}
        await hears(pilot, Token("three "))
        assert "three" not in text_of(app)
        await sends(pilot, client, "and now")  # nobody has to wait for the model to hear it
        assert client.sent[-1] == {"type": "user", "text": "and now"}
        await hears(pilot, Token("four "), STOPPED, Token("new reply"))
        shown = text_of(app)
        assert "four" not in shown and "3 tokens · 10 tok/s · stopped" in shown and "new reply" in shown
        await hears(pilot, Done("stop_token", 2, 10.0, 40))
        assert "2 tokens · 10 tok/s" in text_of(app) and "context 40 of 256" in text_of(app)


async def test_a_reply_that_ended_as_it_was_stopped_stays_as_it_was_seen(tmp_path: Path) -> None:
    app, chat, client = puppet_app(tmp_path)
    async with running(app) as pilot:
        await app.push_screen(chat)
        await hears(pilot, READY)
        await sends(pilot, client, "hello")
        await hears(pilot, Token("one "))
        await pilot.press("escape")
        await shows(pilot, "stopped")
        await hears(pilot, Token("two"), Done("stop_token", 2, 10.0, 30))
        assert "two" not in text_of(app) and "2 tokens · 10 tok/s · stopped" in text_of(app)
        await pilot.press("escape")  # there is nothing to stop any more
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        assert [sent["type"] for sent in client.sent] == ["user", "stop"]


async def test_escape_twice_leaves_a_model_that_does_not_hear(tmp_path: Path) -> None:
    app, chat, client = puppet_app(tmp_path)
    async with running(app) as pilot:
        await app.push_screen(chat)
        await hears(pilot, READY)
        await sends(pilot, client, "hello")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))


async def test_what_cannot_be_answered_says_why_and_leaves_nothing_waiting(tmp_path: Path) -> None:
    app, chat, client = puppet_app(tmp_path)
    async with running(app) as pilot:
        await app.push_screen(chat)
        await hears(pilot, READY)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: len(client.sent) == 1)
        await hears(pilot, Failed("there is no reply to make again"))
        assert "no reply to make again" in text_of(app) and "model  …" not in text_of(app)
        await sends(pilot, client, "hello")
        await hears(pilot, Token("a reply"), Done("stop_token", 2, 10.0, 30))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "a reply" not in text_of(app))
        await hears(pilot, Failed("the message is too long"))
        assert "a reply" in text_of(app) and "too long" in text_of(app)
        await sends(pilot, client, "goes on")
        await hears(pilot, Token("it does"), Done("stop_token", 2, 10.0, 30))
        assert "it does" in text_of(app)


async def test_an_empty_reply_is_told(tmp_path: Path) -> None:
    app, chat, client = puppet_app(tmp_path)
    async with running(app) as pilot:
        await app.push_screen(chat)
        await hears(pilot, READY)
        await sends(pilot, client, "hello")
        assert "model  …" in text_of(app)
        await hears(pilot, Done("stop_token", 0, 0.0, 30))
        assert "(nothing)" in text_of(app) and "0 tokens" in text_of(app) and "model  …" not in text_of(app)


async def test_a_model_that_dies_in_mid_reply_leaves_what_it_said(tmp_path: Path) -> None:
    app, chat, client = puppet_app(tmp_path)
    async with running(app) as pilot:
        await app.push_screen(chat)
        await hears(pilot, READY)
        await sends(pilot, client, "hello")
        await hears(pilot, Token("half a "), Ended(-9, "the model's process ended with code -9"))
        shown = text_of(app)
        assert "half a" in shown and "not finished" in shown and "code -9" in shown


async def test_a_system_prompt_is_told_and_a_new_conversation_is_empty(tmp_path: Path) -> None:
    app, chat, client = puppet_app(tmp_path)
    async with running(app) as pilot:
        await app.push_screen(chat)
        await hears(pilot, READY)
        await sends(pilot, client, "/system Be brief.\x1b[31m", kind="system")
        await hears(pilot, Messages([{"role": "system", "content": "Be brief.\x1b[31m"}]))
        assert "system prompt: Be brief.[31m" in text_of(app)


async def test_a_message_of_many_lines_is_written_sent_and_brought_back(tmp_path: Path) -> None:
    app, chat, client = puppet_app(tmp_path)
    async with running(app) as pilot:
        await app.push_screen(chat)
        await hears(pilot, READY)
        composer = chat.query_one(Composer)
        await pilot.press("o", "n", "e", "ctrl+j", "t", "w", "o")
        await until(pilot, lambda: composer.text == "one\ntwo" and composer.size.height == 2)
        await pilot.press("enter")
        await until(pilot, lambda: composer.text == "" and composer.size.height == 1)
        assert client.sent[-1] == {"type": "user", "text": "one\ntwo"}
        assert "you    one\n        two" in "\n".join(row.rstrip() for row in text_of(app).splitlines())
        await pilot.press("x", "enter")
        await shows(pilot, "a reply is still coming")
        assert composer.text == "x" and len(client.sent) == 1
        await pilot.press("backspace")
        await hears(pilot, Token("fine"), Done("stop_token", 1, 10.0, 30))
        await pilot.press("up", "exclamation_mark", "enter")
        await until(pilot, lambda: client.sent[-1] == {"type": "user", "text": "one\ntwo!"})
        await hears(pilot, Token("fine"), Done("stop_token", 1, 10.0, 30))
        await until(pilot, lambda: composer.text == "")
        await pilot.press("up", "up", "up", "up")  # from the first line of one to the one before
        await until(pilot, lambda: composer.text == "one\ntwo")


async def test_a_pasted_text_keeps_its_lines_and_a_pasted_disk_is_refused(tmp_path: Path) -> None:
    app, chat, _ = puppet_app(tmp_path)
    async with running(app) as pilot:
        await app.push_screen(chat)
        await hears(pilot, READY)
        composer = chat.query_one(Composer)
        app.post_message(events.Paste("a\n\tb\n" * 20))
        await until(pilot, lambda: composer.text == "a\n\tb\n" * 20 and composer.size.height == 6)
        composer.clear()
        app.post_message(events.Paste("x" * (LONGEST_MESSAGE + 1)))
        await shows(pilot, "that is 100,001")
        assert composer.text == ""


async def test_the_keys_of_the_app_work_while_a_message_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, chat, client = puppet_app(tmp_path)
    copied: list[str] = []
    monkeypatch.setattr("tui.screens.chat.copy", lambda _, text: copied.append(text))
    async with running(app) as pilot:
        await app.push_screen(chat)
        await hears(pilot, READY)
        await sends(pilot, client, "hello")
        await hears(pilot, Token("\tone\n" * 60), Done("stop_token", 1, 10.0, 30))
        await pilot.press("d", "r", "a", "f", "t")
        await pilot.press("ctrl+y")
        await until(pilot, lambda: copied == ["\tone\n" * 60])
        await pilot.press("pageup")
        await shows(pilot, "↓ more below")
        await pilot.press("pagedown", "pagedown", "pagedown")
        await until(pilot, lambda: "↓ more below" not in text_of(app))
        assert chat.query_one(Composer).text == "draft"
        suspend = [active for active in app.screen.active_bindings.values() if active.binding.key == "ctrl+z"]
        assert suspend[0].binding.action == "suspend_process"


async def test_a_reply_that_is_longer_than_anybody_reads_is_cut(tmp_path: Path) -> None:
    app, chat, client = puppet_app(tmp_path)
    async with running(app) as pilot:
        await app.push_screen(chat)
        await hears(pilot, READY)
        await sends(pilot, client, "hello")
        await hears(pilot, Token("word " * 30_000), Token("more " * 30_000), Done("stop_token", 1, 10.0, 30))
        assert "[cut: too much text]" in text_of(app)


async def test_markdown_is_off_until_it_is_asked_for_and_remembered_then(tmp_path: Path) -> None:
    app, chat, client = puppet_app(tmp_path)
    async with running(app) as pilot:
        await app.push_screen(chat)
        await hears(pilot, READY)
        await sends(pilot, client, "hello")
        await hears(pilot, Token("*some* `code`"), Done("stop_token", 4, 10.0, 30))
        await shows(pilot, "*some* `code`")
        await pilot.press("ctrl+g")
        await shows(pilot, "model  some code", "30 of 256 tokens  temperature 0.8  markdown")
        await sends(pilot, client, "more")
        await hears(pilot, Token("**growing**"))
        await shows(pilot, "model  **growing**")
        await hears(pilot, Done("stop_token", 4, 10.0, 40))
        await shows(pilot, "model  growing")
    app, chat, client = puppet_app(tmp_path)
    async with running(app) as pilot:
        await app.push_screen(chat)
        await hears(pilot, READY)
        await shows(pilot, "temperature 0.8  markdown")
        await pilot.press("ctrl+g")
        await until(pilot, lambda: "0.8  markdown" not in text_of(app))


async def test_a_model_that_is_put_beside_samples_as_the_first_does(tmp_path: Path) -> None:
    app, chat, _ = puppet_app(tmp_path)
    client = Puppet()
    second = Conversation(tmp_path, "other", client=client, settings={"temperature": 0.3, "top_p": 1.0})  # type: ignore[arg-type]
    async with running(app) as pilot:
        await app.push_screen(chat)
        await chat.query_one("#conversations").mount(second)
        second.post_message(ChatHeard((READY,)))
        await until(pilot, lambda: client.sent == [{"type": "set", "key": "temperature", "value": 0.3}])
        notes = len(second.transcript.turns)
        second.post_message(ChatHeard((Settings({"temperature": 0.3, "top_p": 1.0}),)))
        await until(pilot, lambda: second.settings["temperature"] == 0.3)
        assert len(second.transcript.turns) == notes, "nobody asked on this screen"
