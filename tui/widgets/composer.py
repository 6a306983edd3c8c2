"""Where a person writes to the model: one row that grows with the text. Enter sends, ctrl+j breaks the line."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.widgets import TextArea

from tui.keys import bind
from tui.messages import ActionFailed
from workbench.chat_client import LONGEST_MESSAGE

REMEMBERED = 200
"""Messages that the arrow up brings back, the last ones."""
_NOT_OURS = ("cursor_page_up", "cursor_page_down", "undo", "redo")
"""What these keys do in a text area; here they turn the page of the conversation, suspend the app and copy."""


class Composer(TextArea):
    """The message that is being written, and those that were sent."""

    DEFAULT_CSS = """
    Composer, Composer:focus {
        height: auto; max-height: 6; padding: 0 1; border: none;
        background: $panel; background-tint: $foreground 0%;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("open", "submit", description="send", tooltip="Send the message", show=False),
        bind("new_line", show=False),
        bind("recall", show=False),
    ]

    class Submitted(Message):
        """The message is to be sent."""

        def __init__(self, composer: Composer, text: str) -> None:
            super().__init__()
            self.composer, self.text = composer, text

        @property
        def control(self) -> Composer:
            """Where it was written."""
            return self.composer

    def __init__(self, *, placeholder: str, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(
            id=id, placeholder=placeholder, compact=True, soft_wrap=True, tab_behavior="focus",
            highlight_cursor_line=False,
        )  # fmt: skip
        self.cursor_blink = False
        self._sent: list[str] = []
        self._back = 0

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that a text area has for itself and that mean something else in the app are left to the app."""
        if action == "copy" and not self.selected_text:
            return False
        if action == "submit" and not self.text.strip():
            return None
        return action not in _NOT_OURS and super().check_action(action, parameters)

    def on_key(self, event: events.Key) -> None:
        """Enter would begin a line. With nothing to send it is left to the app, which says so."""
        if event.key == "enter":
            event.prevent_default()
            if self.text.strip():
                event.stop()
                self.action_submit()

    def on_paste(self, event: events.Paste) -> None:
        """A pasted disk would be laid out before anybody could refuse it."""
        if len(event.text) > LONGEST_MESSAGE:
            event.stop()
            event.prevent_default()
            told = f"that is {len(event.text):,} characters; at most {LONGEST_MESSAGE:,}"
            self.post_message(ActionFailed(told))

    def sent(self) -> None:
        """The message is on its way: remember it, and make room for the next."""
        if self.text not in self._sent[-1:]:
            self._sent = [*self._sent, self.text][-REMEMBERED:]
        self._back = 0
        self.clear()

    def action_submit(self) -> None:
        """Send it."""
        self.post_message(self.Submitted(self, self.text))

    def action_new_line(self) -> None:
        """Break the line here."""
        self.insert("\n")

    def action_recall(self) -> None:
        """A row up; from the first row to the message that was sent before."""
        is_ours = not self.text or (self._back > 0 and self.text == self._sent[-self._back])
        if self.cursor_at_first_line and is_ours and self._back < len(self._sent):
            self._back += 1
            self.text = self._sent[-self._back]
            self.move_cursor(self.document.end)
        else:
            self.action_cursor_up()
