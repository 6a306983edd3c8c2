"""A chat with a model that says what the test lets it, when the test lets it: nothing to race with."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from tests.tui.test_screens import running, say, text_of, until
from tui.app import WorkbenchApp
from tui.messages import ChatHeard
from tui.screens.chat import ChatScreen
from tui.widgets.composer import Composer
from tui.widgets.conversation import Conversation
from workbench.chat_client import ChatEvent, Done, Messages, Ready, Token

READY = Ready("echo", 256, {"temperature": 0.8, "top_p": 1.0})
DONE = Done("stop_token", 2, 10.0, 30)
STOPPED = Done("stopped", 3, 10.0, 30)


class Puppet:
    """A child that is heard when the test says so."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.events: queue.Queue[ChatEvent] = queue.Queue()

    def __enter__(self) -> Puppet:
        return self

    def __exit__(self, *_: object) -> None: ...

    def send(self, kind: str, **fields: Any) -> None:
        self.sent.append({"type": kind, **fields})

    def next_event(self, timeout_seconds: float | None = None) -> ChatEvent | None:
        try:
            return self.events.get(timeout=timeout_seconds)
        except queue.Empty:
            return None


class Chat:
    """The chat that is open in `app`, and the puppets behind it: one for each model."""

    def __init__(self, app: WorkbenchApp, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot
        self.clients: list[Puppet] = []

    @property
    def client(self) -> Puppet:
        """The puppet of the first model of the chat that was opened last."""
        return self.clients[0]

    @property
    def screen(self) -> ChatScreen:
        """The screen, while it is up."""
        assert isinstance(self.app.screen, ChatScreen)
        return self.app.screen

    @property
    def composer(self) -> Composer:
        return self.screen.query_one(Composer)

    def conversation(self, number: int = 0) -> Conversation:
        """The first conversation, or the second."""
        return list(self.screen.query(Conversation))[number]

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return text_of(self.app)

    async def open(self, home: Path, reference: str = "quickstart", *, beside: str | None = None) -> None:
        """Open the chat with a model that still loads."""
        self.clients = [Puppet(), Puppet()]
        first, second = self.clients
        await self.app.push_screen(
            ChatScreen(home, reference, beside=beside, client=first, second_client=second)  # type: ignore[arg-type]
        )

    async def leave(self) -> None:
        """Back to where it was opened from."""
        screen = self.screen
        await self.pilot.press("escape")
        await until(self.pilot, lambda: not screen.is_attached)

    async def hears(self, *events: ChatEvent, number: int = 0) -> None:
        """These events reach a conversation now, as one batch."""
        conversation = self.conversation(number)
        await self.until(lambda: conversation.client is not None)  # a thread starts it
        taken = asyncio.Event()
        conversation.post_message(ChatHeard(events))
        conversation.call_later(taken.set)  # taken in order
        await asyncio.wait_for(taken.wait(), 30)

    async def sends(self, text: str, *, kind: str = "user") -> None:
        """`text` is said, and has reached the child."""
        before = len(self.client.sent)
        await say(self.pilot, text)
        await until(
            self.pilot,
            lambda: len(self.client.sent) > before and self.client.sent[-1]["type"] == kind,
        )

    async def talks(self, said: str, reply: str) -> None:
        """`said` is answered by `reply`, to the end."""
        await self.sends(said)
        await self.hears(Token(reply), DONE)

    async def forgets(self) -> None:
        """ctrl+n, and the child's answer."""
        before = len(self.client.sent)
        await self.pilot.press("ctrl+n")
        await until(self.pilot, lambda: len(self.client.sent) > before)
        await self.hears(Messages([]))

    async def shows(self, *texts: str) -> None:
        """All of these stand on the screen."""
        await until(self.pilot, lambda: all(text in self.text for text in texts))

    async def until(self, true: Any) -> None:
        """Wait for something to come true."""
        await until(self.pilot, true)


@contextlib.asynccontextmanager
async def chatting(
    home: Path, *, read_only: bool = False, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Chat]:
    """The app with the chat of `quickstart` open, its model loaded, nothing said yet unless it is kept in `home`."""
    app = WorkbenchApp(home, read_only=read_only)
    async with running(app, size) as pilot:
        chat = Chat(app, pilot)
        await chat.open(home)
        await chat.hears(READY)
        yield chat
