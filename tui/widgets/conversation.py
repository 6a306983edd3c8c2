"""One conversation: a view of what a child process holds (workbench.chat_client), with its own heading and turns.

The reply arrives in a thread, is cleaned, and reaches the screen at most five times a second, as plain text.
"""

from __future__ import annotations

import time
from pathlib import Path

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static
from textual.worker import Worker, get_current_worker

from tui.messages import ActionFailed, ChatHeard
from tui.widgets.still import StillText
from workbench.chat_client import (
    ChatClient,
    ChatEvent,
    Done,
    Ended,
    Failed,
    Messages,
    Ready,
    Request,
    Settings,
    Token,
)
from workbench.safe_text import SafeStream, one_line

FLUSH_SECONDS = 0.2
"""Each flush sends every row of the reply that is seen: oftener is no easier to read, and twice the bytes."""
_TURNS_KEPT = 200
_REPLY_LIMIT = 100_000

STOPPED_BY = {
    "stop_token": "",
    "stop_text": "stop text",
    "max_new_tokens": "cut at max_new_tokens",
    "context": "cut: the context is full",
    "stopped": "stopped",
}


FIRST_WORDS = (
    "It knows what its corpus told it, and answers as its examples did: ask about those. "
    "A small one rambles less after /set temperature 0.5."
)


class Turn(Horizontal):
    """One thing that was said, and who said it."""

    def __init__(self, who: str, text: str = "") -> None:
        super().__init__(classes=f"turn -{who}")
        self._who = who
        self._text = text
        self._footnote = ""

    def compose(self) -> ComposeResult:
        """Who on the left, what on the right."""
        yield Static(self._who, classes="who", markup=False)
        yield Static(self._said(), classes="said", markup=False)

    def grow(self, text: str, *, footnote: str = "") -> None:
        """Say more."""
        self._text += text
        self._footnote = footnote
        for place in self.query(".said").results(Static):
            place.update(self._said())

    def _said(self) -> Content:
        if not self._text and not self._footnote:
            return Content.styled("…", "$dim")  # it reads what was said
        note = (f"\n{self._footnote}", "$dim") if self._footnote else ""
        return Content.assemble(self._text, note)


class Conversation(Vertical):
    """A heading, and what was said to and by one model. Starts its child when it is mounted, ends it when it goes."""

    DEFAULT_CSS = """
    Conversation { width: 1fr; height: 1fr; }
    Conversation > .heading { height: 1; margin-bottom: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    Conversation > VerticalScroll { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    Conversation.-second { border-left: vkey $faint; }
    .-slim Conversation.-second, .-tiny Conversation.-second { border-left: none; border-top: hkey $faint; }
    """

    class Left(Message):
        """The model is gone: nothing more can be said to it."""

    def __init__(self, home: Path, reference: str, *, client: ChatClient | None = None) -> None:
        super().__init__()
        self._home, self.reference = home, reference
        self.client = client
        self.is_replying = self.has_left = False
        self._stream = SafeStream()
        self._ready: Ready | None = None

    def compose(self) -> ComposeResult:
        """Heading and turns."""
        heading = StillText()
        heading.add_class("heading")
        yield heading
        yield VerticalScroll(can_focus=False)

    def on_mount(self) -> None:
        """Start the child and listen."""
        self._head("loading the model…")
        self.query_one(VerticalScroll).anchor()
        self._listen()

    @work(thread=True, group="chat", exit_on_error=False)
    def _listen(self) -> None:
        """Start the child, hear it until this is taken away, end it: a child that still loads takes seconds to."""
        if self.client is None:
            self.client = ChatClient.start(self.reference, home=self._home)
        with self.client:
            self._hear(self.client, get_current_worker())

    def _hear(self, client: ChatClient, worker: Worker[None]) -> None:
        """Collect what the child says and hand it on in slices of FLUSH_SECONDS."""
        ended = False
        while not (worker.is_cancelled or ended):
            heard: list[ChatEvent] = []
            until = time.monotonic() + FLUSH_SECONDS
            while (left := until - time.monotonic()) > 0 and (event := client.next_event(left)) is not None:
                if isinstance(event, Token) and heard and isinstance(heard[-1], Token):
                    heard[-1] = Token(heard[-1].text + event.text)
                else:
                    heard.append(event)
                if ended := isinstance(event, Ended):
                    break
            if heard:
                self.post_message(ChatHeard(tuple(heard)))

    @on(ChatHeard)
    def _take(self, message: Message) -> None:
        assert isinstance(message, ChatHeard)
        message.stop()
        for event in message.events:
            self._take_one(event)

    def _take_one(self, event: ChatEvent) -> None:
        match event:
            case Ready():
                self._ready = event
                self._head(f"context {event.context_length:,} tokens")
                if not self.query(Turn):
                    self.add(Turn("note", FIRST_WORDS))
            case Token(text):
                self._reply_grew(self._stream.feed(text))
            case Done():
                self._reply_grew(self._stream.close())
                self._reply_ended(event)
            case Failed(message):
                self.is_replying = False
                self.post_message(ActionFailed(message))
            case Settings(settings):
                said = "  ".join(f"{key} {value}" for key, value in settings.items() if value is not None)
                self.add(Turn("note", one_line(said, 300)))
            case Messages(messages):
                if not [one for one in messages if one.get("role") != "system"]:
                    self.query_one(VerticalScroll).remove_children()
            case Ended(_, reason):
                self.is_replying = False
                self.has_left = True
                self._head("ended")
                self.add(Turn("note", one_line(reason or "The model has left.", 400)))
                self.post_message(self.Left())

    def _head(self, state: str) -> None:
        name = one_line(self._ready.model if self._ready is not None else self.reference, 100)
        self.query_one(".heading", StillText).put(
            Content.assemble(("chat", "bold $primary"), "  ", name, (f"  {state}", "$dim"))
        )

    def add(self, turn: Turn) -> None:
        """Show a turn; the oldest go when there are many."""
        turns = self.query_one(VerticalScroll)
        for old in list(turns.children)[: max(0, len(turns.children) + 1 - _TURNS_KEPT)]:
            old.remove()
        turns.mount(turn)

    def say(self, line: str, request: Request) -> None:
        """Send a request; `line` is what the person typed, cleaned."""
        if self.client is None or self.has_left:
            return
        if request.kind == "user":
            self.add(Turn("you", line))
        elif request.kind == "regenerate" and (reply := self._reply()):
            reply.remove()
        if request.kind in ("user", "regenerate"):
            self.is_replying = True
            self._stream = SafeStream(limit=_REPLY_LIMIT)
            self.add(Turn("model"))
        self.client.send(request.kind, **request.fields)

    def stop_reply(self) -> bool:
        """End the reply; False when there is none, or when the model still loads and cannot hear."""
        if self.is_replying and self._ready is not None and self.client is not None:
            self.client.send("stop")
            return True
        return False

    def scroll_turns(self, pages: int) -> None:
        """A page up or down."""
        turns = self.query_one(VerticalScroll)
        turns.scroll_relative(y=pages * max(1, turns.size.height - 2), animate=False)

    def _reply_grew(self, text: str) -> None:
        if reply := self._reply():
            reply.grow(text)

    def _reply(self) -> Turn | None:
        replies = list(self.query(".-model").results(Turn))
        return replies[-1] if replies else None

    def _reply_ended(self, done: Done) -> None:
        self.is_replying = False
        if reply := self._reply():
            facts = [f"{done.new_tokens} tokens", f"{done.tokens_per_second:.0f} tok/s"]
            facts.append(STOPPED_BY.get(done.stopped_by, ""))
            reply.grow("", footnote=one_line(" · ".join(filter(None, facts)), 100))
        if done.context_tokens and self._ready is not None:
            self._head(f"context {done.context_tokens:,} of {self._ready.context_length:,} tokens")
