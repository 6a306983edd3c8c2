"""Chat: one model, or two side by side that hear the same words. Each conversation is a widget of its own."""

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
from tui.widgets.composer import Composer
from tui.widgets.conversation import MARKDOWN, Conversation
from tui.widgets.key_bar import KeyBar
from workbench.chat_client import ChatClient, request_of
from workbench.errors import BadInput
from workbench.safe_text import safe_text


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
        bind("forget", "send('/reset')"),
        bind("beside", tooltip="Put a second model beside this one, or take it away"),
        bind("markdown"),
        bind("copy_reply", show=False),
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
        self._home, self._reference = home, reference
        self._conversations = [Conversation(home, reference, client=client)]
        if beside is not None:
            self._conversations.append(Conversation(home, beside, client=second_client))
            self._conversations[1].add_class("-second")

    def compose(self) -> ComposeResult:
        """Conversations, input."""
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
        listening = [each for each in self._conversations if not each.has_left]
        if any(each.client is None or each.is_replying for each in listening):
            if line.strip():
                self.post_message(ActionFailed("a reply is still coming; esc stops it"))
            return False
        try:
            request = request_of(line)
        except BadInput as error:
            if line.strip():
                self.post_message(ActionFailed(str(error)))
            return False
        for each in listening:
            each.say(safe_text(line), request)
        return True

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
            second = Conversation(self._home, reference, settings=self._conversations[0].settings)
            second.add_class("-second")
            self._conversations.append(second)
            self.query_one("#conversations").mount(second)
