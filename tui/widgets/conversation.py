"""One conversation: a view of what a child process holds (workbench.chat_client), with its own heading and turns.

The reply arrives in a thread, is cleaned, and reaches the screen at most ten times a second, as plain text. A reply
that was stopped is over at once: what the child still says of it is not shown, and the child forgets it too.
The child ends with the view, what was said does not (tui/talks.py): another child is told it when it has loaded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.worker import Worker, get_current_worker

from tui.gathering import gathered
from tui.messages import ActionFailed, ChatHeard
from tui.state import state_of
from tui.talks import LONGEST_TURN, Talk, talks_of
from tui.widgets.still import StillText
from tui.widgets.transcript import Transcript, Turn
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

FLUSH_SECONDS = 0.1
"""Oftener nobody can read, and every flush costs the same whatever it brings."""
MARKDOWN = "markdown"
"""The name under which is remembered whether finished messages are shown as Markdown."""
_REPLIES = ("user", "regenerate")

STOPPED_BY = {
    "stop_token": "",
    "stop_text": "stop text",
    "max_new_tokens": "cut at max_new_tokens: /set max_new_tokens 400 for more",
    "context": "cut: the context is full, ctrl+n begins anew",
    "stopped": "stopped",
}


FIRST_WORDS = (
    "It knows what its corpus told it, and answers as its examples did: ask about those. "
    "A small one rambles less after /set temperature 0.5."
)


@dataclass(eq=False, slots=True)
class Asked:
    """A request that was not answered to its end yet. Of what is to be replied to: its turn, and that of the reply."""

    kind: str
    message: Turn | None = None
    turn: Turn | None = None
    instead_of: Turn | None = None
    """The reply that stood there before, for a request that cannot be done."""
    is_stopped: bool = False
    """Nobody waits for the answer any more, or nobody did."""
    stream: SafeStream = field(default_factory=lambda: SafeStream(limit=LONGEST_TURN))


class Conversation(Vertical):
    """A heading, and what was said to and by one model. Starts its child when it is mounted, ends it when it goes."""

    DEFAULT_CSS = """
    Conversation { width: 1fr; height: 1fr; }
    Conversation > .heading { height: 1; margin-bottom: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    Conversation.-second { border-left: vkey $faint; }
    .-slim Conversation.-second, .-tiny Conversation.-second { border-left: none; border-top: hkey $faint; }
    """

    class Left(Message):
        """The model is gone: nothing more can be said to it."""

    def __init__(self, home: Path, talk: Talk, *, client: ChatClient | None = None) -> None:
        """talk: what was said before, which the model is told as soon as it can hear."""
        super().__init__()
        self._home, self.talk = home, talk
        self.client = client
        self.has_left = False
        self.transcript = Transcript(talk.turns)
        self._asked: deque[Asked] = deque()
        self._unsent: list[tuple[Asked, Mapping[str, Any]]] = []
        self._ready: Ready | None = None
        self.settings: Mapping[str, Any] = {}
        self._state = "loading the model…"
        self._is_formatted = False

    def compose(self) -> ComposeResult:
        """Heading and turns."""
        heading = StillText()
        heading.add_class("heading")
        yield heading
        yield self.transcript

    def on_mount(self) -> None:
        """Start the child and listen."""
        self.format(state_of(self.app).get(MARKDOWN, False))
        self._listen()

    def format(self, on: bool) -> None:
        """Show what is finished as Markdown, or letter by letter."""
        self._is_formatted = on
        self.transcript.format(on)
        self._head()

    def on_unmount(self) -> None:
        """What a reply has come to stays."""
        self._keep()

    @property
    def is_replying(self) -> bool:
        """Whether something comes that nobody has stopped and the next message is to follow."""
        waiting = (*self._asked, *(asked for asked, _ in self._unsent))
        return any(asked.kind in (*_REPLIES, "load") and not asked.is_stopped for asked in waiting)

    @work(thread=True, group="chat", exit_on_error=False)
    def _listen(self) -> None:
        """Start the child, hear it until this is taken away, end it: a child that still loads takes seconds to."""
        if self.client is None:
            self.client = ChatClient.start(self.talk.reference, home=self._home)
        with self.client:
            self._hear(self.client, get_current_worker())

    def _hear(self, client: ChatClient, worker: Worker[None]) -> None:
        """Hand on what the child says, in batches."""
        for heard in gathered(client.next_event, seconds=FLUSH_SECONDS):
            if worker.is_cancelled:
                return
            if heard:
                self.post_message(ChatHeard(heard))

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
                self.settings = event.settings
                self._state = f"context {event.context_length:,} tokens"
                if not self.talk.turns:
                    self._note(FIRST_WORDS)
                self._tell_all(event)
            case Token(text):
                self._reply_grew(text)
            case Done():
                self._reply_ended(event)
            case Failed(message):
                self._refused(message)
            case Settings(settings):
                asked = self._answered()
                self.settings = self.talk.settings = settings
                said = " · ".join(f"{key} {value}" for key, value in settings.items() if value is not None)
                if asked is None or not asked.is_stopped:
                    self._note(said)
            case Messages(messages):
                asked = self._answered()
                if asked is not None and asked.kind == "load" and not asked.is_stopped:
                    self.talk.take(messages)
                    self.transcript.replaced()
                    self._keep()
                    self.screen.refresh_bindings()
            case Ended(_, reason):
                for asked in (*self._asked, *(asked for asked, _ in self._unsent)):
                    if asked.turn is not None and not asked.is_stopped:
                        self.transcript.change(asked.turn, footnote="not finished")
                self._asked.clear()
                self._unsent.clear()
                self.has_left = True
                self._state = "ended"
                self._note(reason or "The model has left.")
                self.post_message(self.Left())
        self._head()

    @on(Transcript.Followed)
    def _head(self) -> None:
        name = one_line(self._ready.model if self._ready is not None else self.talk.reference, 100)
        more = ("  ↓ more below", "$warning") if self.transcript.has_more else ""  # pgdn, or say something
        about = "  ".join(filter(None, [self._state, self._sampled(), "markdown" * self._is_formatted]))
        self.query_one(".heading", StillText).put(
            Content.assemble(("chat", "bold $primary"), "  ", name, more, (f"  {about}", "$dim"))
        )

    def _sampled(self) -> str:
        """How it is sampled: the temperature, and whatever was set otherwise than it was at first."""
        first = self._ready.settings if self._ready is not None else {}
        told = {key: value for key, value in self.settings.items() if value != first.get(key)}
        if "temperature" in self.settings:
            told = {"temperature": self.settings["temperature"]} | told
        return one_line("  ".join(f"{key} {value}" for key, value in told.items()), 80) if told else ""

    def _note(self, text: str) -> None:
        self.transcript.add(Turn("note", one_line(text, 400)))

    # asking

    def _tell_all(self, ready: Ready) -> None:
        """Have it sample as was wanted, know what was said before, and hear what was said while it loaded."""
        for key, value in self.talk.settings.items():
            if value != ready.settings.get(key):
                self._ask(Asked("set", is_stopped=True), {"key": key, "value": value})
        waiting, self._unsent = self._unsent, []
        mine = {turn for asked, _ in waiting for turn in (asked.message, asked.turn)}
        before = self.talk.messages(without=mine)
        for asked, _ in waiting:
            if asked.instead_of is not None:  # it has to be there to be made again
                before.append({"role": "assistant", "content": asked.instead_of.said})
        if before:
            self._ask(Asked("load", is_stopped=True), {"messages": before})
        for asked, fields in waiting:
            self._ask(asked, fields)

    def _ask(self, asked: Asked, fields: Mapping[str, Any]) -> None:
        """Send a request, or keep it until the model has loaded: before that nobody empties the pipe."""
        if self._ready is None or self.client is None:
            self._unsent.append((asked, fields))
        else:
            self._asked.append(asked)
            self.client.send(asked.kind, **fields)

    def say(self, line: str, request: Request) -> None:
        """Send a request; `line` is what the person typed, cleaned."""
        if self.has_left:
            return
        asked = Asked(request.kind)
        if request.kind == "user":
            asked.message = self.transcript.add(Turn("you", line, said=request.fields["text"]))
        elif request.kind == "regenerate" and self.talk.said and (reply := self.talk.said[-1]).who == "model":
            asked.instead_of = reply
            self.transcript.take_away(reply)
        if request.kind in _REPLIES:
            asked.turn = self.transcript.add(Turn("model", is_finished=False))
        self._ask(asked, request.fields)
        self.screen.refresh_bindings()

    def begin_anew(self, *, system: str | None = None) -> None:
        """Forget what was said, here at once; with a `system` prompt take that one from now on."""
        self.transcript.clear()
        self._unsent = [each for each in self._unsent if each[0].kind == "set"]
        if system is not None:
            self.talk.system = system
        self._keep()
        if self.talk.system:
            self._note(f"system prompt: {self.talk.system}")
        if self._ready is not None and not self.has_left:
            kind, fields = ("reset", {}) if system is None else ("system", {"text": system})
            self._ask(Asked(kind), fields)
        self.screen.refresh_bindings()

    def stop_reply(self) -> bool:
        """End the reply, here at once and there between two tokens.

        False when there is none, or when the model still loads and has not even heard what to reply to.
        """
        for asked in self._asked:
            if asked.turn is not None and not asked.is_stopped and self.client is not None:
                asked.is_stopped = True
                self.transcript.change(asked.turn, footnote=STOPPED_BY["stopped"])
                self.client.send("stop", shown=len(asked.turn.said))
                return True
        return False

    def scroll_turns(self, pages: int) -> None:
        """A page up or down."""
        self.transcript.scroll_page(pages)

    # answers, which come in the order of the requests

    def _answered(self) -> Asked | None:
        return self._asked.popleft() if self._asked else None

    def _reply_grew(self, text: str) -> None:
        asked = next((each for each in self._asked if each.turn is not None), None)
        if asked is not None and asked.turn is not None and not asked.is_stopped:
            asked.turn.said += text
            self.transcript.grow(asked.turn, asked.stream.feed(text))

    def _reply_ended(self, done: Done) -> None:
        asked = self._answered()
        facts = [f"{done.new_tokens} token{'s' * (done.new_tokens != 1)}"]
        if (speed := done.tokens_per_second) > 0:
            facts.append(f"{speed:.0f} tok/s" if speed >= 10 else f"{speed:.1f} tok/s")
        if asked is not None and asked.turn is not None:
            if not asked.is_stopped:
                self.transcript.grow(asked.turn, asked.stream.close())
            facts.append(STOPPED_BY.get("stopped" if asked.is_stopped else done.stopped_by, ""))
            self.transcript.change(asked.turn, footnote=one_line(" · ".join(filter(None, facts)), 100))
        if done.context_tokens and self._ready is not None:
            self._state = f"context {done.context_tokens:,} of {self._ready.context_length:,} tokens"
        self._keep()

    def _refused(self, reason: str) -> None:
        asked = self._answered()
        if asked is None or asked.turn is None:
            self.post_message(ActionFailed(reason))
            return
        self.transcript.take_away(asked.turn)
        if asked.message is not None:
            asked.message.said = ""  # the model has not heard it
        if asked.instead_of is not None:
            self.transcript.add(asked.instead_of)
        self._note(reason)
        self.screen.refresh_bindings()

    def _keep(self) -> None:
        talks_of(self.app).keep(self.talk)

    def last_reply(self) -> Turn | None:
        """What the model said last."""
        return next((turn for turn in reversed(self.talk.turns) if turn.who == "model"), None)
