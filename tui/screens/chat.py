"""Chat: one model, or two side by side that hear the same words. Each conversation is a widget of its own.

What was said to a model is there again when it is talked to again. One that is put beside it hears all of it, with the
first one's replies; what is said to both belongs to the conversation of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.screen import Screen

from tui import commands
from tui.clipboard import copy
from tui.keys import bind
from tui.messages import ActionFailed
from tui.screens.pick import PickScreen
from tui.state import state_of
from tui.talks import Talk, talks_of
from tui.widgets.composer import Composer
from tui.widgets.conversation import MARKDOWN, Conversation
from tui.widgets.key_bar import KeyBar
from tui.widgets.transcript import Turn
from workbench.chat_client import ChatClient, Request, request_of
from workbench.errors import WorkbenchError
from workbench.safe_text import one_line, safe_text
from workbench.saved_chat import file_named, read_chat, write_chat

LEFT_OFF = "this goes on where it was left off; ctrl+n forgets it"
HEARD = "it has heard what was said to {}, replies too; ctrl+r lets both answer the last message again"


@dataclass
class ModelsFound(Message):
    """Which models there are to put beside."""

    choices: Sequence[tuple[str, str]]


class ChatScreen(Screen[None]):
    """A conversation with the model that `reference` names; with `beside`, with two at once."""

    DEFAULT_CSS = """
    ChatScreen { overflow: hidden; }
    ChatScreen #conversations { height: 1fr; }
    ChatScreen.-slim #conversations, ChatScreen.-tiny #conversations { layout: vertical; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", description="stop, back", tooltip="Stop the reply; when there is none, back"),
        bind("again", "send('/regenerate')"),
        bind("forget"),
        bind("beside", tooltip="Put a second model beside this one, or take it away"),
        bind("markdown"),
        bind("copy_shown", "copy_reply", show=False, tooltip="Copy the last reply, as the model wrote it"),
        bind("page_up", "scroll(-1)", show=False, tooltip="Earlier in the conversation"),
        bind("page_down", "scroll(1)", show=False, tooltip="Later in the conversation"),
    ]
    AUTO_FOCUS = "Composer"

    def __init__(
        self,
        home: Path,
        reference: str,
        *,
        beside: str | None = None,
        client: ChatClient | None = None,
        second_client: ChatClient | None = None,
    ) -> None:
        super().__init__()
        self._home, self._reference, self._beside = home, reference, beside
        self._clients = (client, second_client)
        self._conversations: list[Conversation] = []

    def compose(self) -> ComposeResult:
        """Conversations, input."""
        talk = talks_of(self.app).take_up(self._reference)
        second = _heard_beside(talk, self._beside) if self._beside is not None else None
        _tell(talk, LEFT_OFF)
        self._conversations = [Conversation(self._home, talk, client=self._clients[0])]
        if second is not None:
            self._conversations.append(Conversation(self._home, second, client=self._clients[1]))
            self._conversations[1].add_class("-second")
        yield Horizontal(*self._conversations, id="conversations")
        yield Composer(
            placeholder="say something; enter sends it     /set temperature 0.7   /system …", id="say"
        )
        yield KeyBar()

    def command(self) -> str:
        """The same in a shell; with two models, `/compare` in the chat of the first."""
        return commands.workbench(self._home, "chat", self._reference)

    @on(Conversation.Left)
    def _one_left(self) -> None:
        self.query_one(Composer).disabled = all(each.has_left for each in self._conversations)

    @on(Composer.Submitted)
    def _submitted(self, event: Composer.Submitted) -> None:
        if self.action_send(event.text):
            event.composer.sent()

    def action_send(self, line: str) -> bool:
        """Send a typed line to all who listen; False when it has to wait or cannot be sent."""
        if line.strip() in ("/exit", "/quit"):
            self.app.pop_screen()
            return True
        if line.strip() == "/help":
            self.call_later(self.app.run_action, "keys")
            return True
        if self._must_wait():
            return False
        try:
            return self._do(line)
        except WorkbenchError as error:
            self.post_message(ActionFailed(str(error)))
            return False

    def _must_wait(self) -> bool:
        """Whether a reply has to come to its end first, and say so."""
        if waits := any(each.is_replying for each in self._conversations):
            self.post_message(ActionFailed("a reply is still coming; esc stops it"))
        return waits

    def _do(self, line: str) -> bool:
        """Do what a line says; whether there was something to do. Raises WorkbenchError when it cannot be done."""
        command, _, rest = line.strip().partition(" ")
        if command == "/save":
            self._save(file_named(rest, example="/save talk.json"))
            return True
        if command == "/load":
            request = Request("load", {"messages": read_chat(file_named(rest, example="/load talk.json"))})
        else:
            request = request_of(line)
        for each in self._conversations:
            if request.kind in ("reset", "system"):
                each.begin_anew(system=request.fields.get("text"))
            else:
                each.say(safe_text(line), request)
        return True

    def _save(self, path: Path) -> None:
        messages = self._conversations[0].talk.messages()
        write_chat(path, messages)
        told = f"saved {len(messages)} messages to {path}"
        self.notify(one_line(told, 300), markup=False)

    def action_forget(self) -> None:
        """Begin anew, with the same prompt and settings."""
        if not self._must_wait():
            for each in self._conversations:
                each.begin_anew()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Where nothing was said there is nothing to forget: shown, but dim."""
        return action != "forget" or any(each.talk.said for each in self._conversations) or None

    def why_not(self, action: str, _: tuple[object, ...]) -> str:
        """Why a key does nothing just now."""
        return "type something first" if action == "submit" else "nothing was said yet"

    def action_back(self) -> None:
        """Stop what is being said, or leave."""
        if not [each for each in self._conversations if each.stop_reply()]:
            self.app.pop_screen()

    def action_markdown(self) -> None:
        """Show finished messages as Markdown, or letter by letter; remembered."""
        state = state_of(self.app)
        state.put(MARKDOWN, not state.get(MARKDOWN, False))
        for each in self._conversations:
            each.format(state.get(MARKDOWN, False))

    def action_copy_reply(self) -> None:
        """Copy the last reply; of two models the first one's."""
        if reply := self._conversations[0].last_reply():
            copy(self.app, reply.text)
        else:
            self.post_message(ActionFailed("there is no reply to copy yet"))

    def action_scroll(self, direction: int) -> None:
        """A page up or down."""
        for each in self._conversations:
            each.scroll_turns(direction)

    def action_beside(self) -> None:
        """Choose a second model; where there is one, take it away."""
        if len(self._conversations) > 1:
            self._conversations.pop().remove()
        else:
            self._find()

    @work(thread=True, exclusive=True, group="find", exit_on_error=False)
    def _find(self) -> None:
        from workbench.choices import models_of  # recipes and plans: not needed to talk

        try:
            self.post_message(ModelsFound(list(models_of(self._home))))
        except OSError as error:
            self.post_message(ActionFailed(str(error)))

    @on(ModelsFound)
    def _choose(self, message: ModelsFound) -> None:
        self.app.push_screen(
            PickScreen("Beside which model?", message.choices, empty="No run has made one yet."), self._add
        )

    def _add(self, reference: str | None) -> None:
        if reference and len(self._conversations) == 1:
            talk = _heard_beside(self._conversations[0].talk, reference)
            self._conversations.append(Conversation(self._home, talk))
            self._conversations[1].add_class("-second")
            self.query_one("#conversations").mount(self._conversations[1])


def _heard_beside(talk: Talk, reference: str) -> Talk:
    """What the model `reference` is to hear of a conversation that it is put beside."""
    heard = talk.taken_up(reference)
    _tell(heard, HEARD.format(one_line(talk.reference, 100)))
    return heard


def _tell(talk: Talk, note: str) -> None:
    """Say below what was said before why it is there, and above it what the model is to be."""
    if talk.said:
        talk.turns.append(Turn("note", note))
    if talk.system:
        talk.turns.insert(0, Turn("note", one_line(f"system prompt: {talk.system}", 400)))
