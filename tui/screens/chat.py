"""Chat: a view of a conversation that a child process holds (workbench.chat_client).

The reply arrives in a thread, is cleaned, and reaches the screen at most ten times a second, as plain text.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input, Static
from textual.worker import Worker, get_current_worker

from tui.messages import ActionFailed, ChatHeard
from tui.widgets.key_bar import KeyBar
from workbench.chat_client import (
    LONGEST_MESSAGE,
    ChatClient,
    ChatEvent,
    Done,
    Ended,
    Failed,
    Messages,
    Ready,
    Settings,
    Token,
    request_of,
)
from workbench.errors import BadInput
from workbench.safe_text import SafeStream, one_line, safe_text

FLUSH_SECONDS = 0.1
_TURNS_KEPT = 200
_REPLY_LIMIT = 100_000

STOPPED_BY = {
    "stop_token": "",
    "stop_text": "stop text",
    "max_new_tokens": "cut at max_new_tokens",
    "context": "cut: the context is full",
    "stopped": "stopped",
}


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
        note = (f"\n{self._footnote}", "$dim") if self._footnote else ""
        return Content.assemble(self._text, note)


class ChatScreen(Screen[None]):
    """A conversation with the model that `reference` names."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape",
            "back",
            "stop, back",
            key_display="esc",
            tooltip="Stop the reply; when there is none, back",
        ),
        Binding("ctrl+r", "send('/regenerate')", "again", tooltip="Another reply to the last message"),
        Binding("ctrl+n", "send('/reset')", "new", tooltip="Forget the conversation"),
        Binding("f1", "app.keys", "help", tooltip="This list"),
        Binding("pageup", "scroll(-1)", "scroll", show=False, tooltip="Earlier in the conversation"),
        Binding("pagedown", "scroll(1)", "scroll", show=False, tooltip="Later in the conversation"),
    ]
    AUTO_FOCUS = "Input"

    def __init__(self, home: Path, reference: str, *, client: ChatClient | None = None) -> None:
        super().__init__()
        self._home, self._reference = home, reference
        self._client = client
        self._stream = SafeStream()
        self._replying = False
        self._ready: Ready | None = None

    def compose(self) -> ComposeResult:
        """Title, conversation, input."""
        yield Static(
            Content.assemble(
                ("chat", "bold $primary"), "  ", self._reference, ("  loading the model…", "$dim")
            ),
            id="title",
        )
        yield VerticalScroll(id="turns", can_focus=False)
        yield Input(
            placeholder="/set temperature 0.7   /system …   /reset",
            max_length=LONGEST_MESSAGE,
            id="say",
            compact=True,
        )
        yield KeyBar()

    def on_mount(self) -> None:
        """Start the child and listen."""
        self.query_one(Input).cursor_blink = False
        self.query_one(VerticalScroll).anchor()
        self._listen()

    @work(thread=True, group="chat", exit_on_error=False)
    def _listen(self) -> None:
        """Start the child, hear it until the screen is left, end it: a child that still loads takes seconds to."""
        if self._client is None:
            self._client = ChatClient.start(self._reference, home=self._home)
        with self._client:
            self._hear(self._client, get_current_worker())

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
        for event in message.events:
            self._take_one(event)

    def _take_one(self, event: ChatEvent) -> None:
        match event:
            case Ready():
                self._ready = event
                self._title(f"context {event.context_length:,} tokens")
            case Token(text):
                self._reply_grew(self._stream.feed(text))
            case Done():
                self._reply_grew(self._stream.close())
                self._reply_ended(event)
            case Failed(message):
                self._replying = False
                self.post_message(ActionFailed(message))
            case Settings(settings):
                said = "  ".join(f"{key} {value}" for key, value in settings.items() if value is not None)
                self._add(Turn("note", one_line(said, 300)))
            case Messages(messages):
                if not [one for one in messages if one.get("role") != "system"]:
                    self.query_one(VerticalScroll).remove_children()
            case Ended(_, reason):
                self._replying = False
                self._title("ended")
                self._add(Turn("note", one_line(reason or "The model has left.", 400)))
                self.query_one(Input).disabled = True

    def _title(self, state: str) -> None:
        name = one_line(self._ready.model, 100) if self._ready is not None else one_line(self._reference, 100)
        self.query_one("#title", Static).update(
            Content.assemble(("chat", "bold $primary"), "  ", name, (f"  {state}", "$dim"))
        )

    def _add(self, turn: Turn) -> None:
        turns = self.query_one(VerticalScroll)
        for old in list(turns.children)[: max(0, len(turns.children) + 1 - _TURNS_KEPT)]:
            old.remove()
        turns.mount(turn)

    def _reply_grew(self, text: str) -> None:
        if reply := self._reply():
            reply.grow(text)

    def _reply(self) -> Turn | None:
        replies = list(self.query(".-model").results(Turn))
        return replies[-1] if replies else None

    def _reply_ended(self, done: Done) -> None:
        self._replying = False
        if reply := self._reply():
            facts = [f"{done.new_tokens} tokens", f"{done.tokens_per_second:.0f} tok/s"]
            facts.append(STOPPED_BY.get(done.stopped_by, ""))
            reply.grow("", footnote=one_line(" · ".join(filter(None, facts)), 100))
        if done.context_tokens and self._ready is not None:
            self._title(f"context {done.context_tokens:,} of {self._ready.context_length:,} tokens")

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        if self.action_send(event.value):
            event.input.clear()

    def action_send(self, line: str) -> bool:
        """Send a typed line; False when it has to wait or cannot be sent."""
        if line.strip() in ("/exit", "/quit"):
            self.app.pop_screen()
            return True
        if self._client is None or self._replying:
            return False
        try:
            request = request_of(line)
        except BadInput as error:
            if line.strip():
                self.post_message(ActionFailed(str(error)))
            return False
        if request.kind == "user":
            self._add(Turn("you", safe_text(line)))
        elif request.kind == "regenerate" and (reply := self._reply()):
            reply.remove()
        if request.kind in ("user", "regenerate"):
            self._replying = True
            self._stream = SafeStream(limit=_REPLY_LIMIT)
            self._add(Turn("model"))
        self._client.send(request.kind, **request.fields)
        return True

    def action_back(self) -> None:
        """Stop the reply, or leave; a model that still loads cannot hear `stop`."""
        if self._replying and self._ready is not None and self._client is not None:
            self._client.send("stop")
        else:
            self.app.pop_screen()

    def action_scroll(self, direction: int) -> None:
        """A page up or down."""
        turns = self.query_one(VerticalScroll)
        turns.scroll_relative(y=direction * max(1, turns.size.height - 2), animate=False)
