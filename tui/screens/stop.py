"""The question before a run is stopped. Cancel is the default; stopping always saves first."""

from __future__ import annotations

import time
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from tui import words
from tui.feed import RunSeen


class StopScreen(ModalScreen[bool]):
    """True: stop."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(False)", "cancel", tooltip="Let the run go on"),
        Binding("left,right", "app.focus_next", "choose", show=False, tooltip="The other button"),
    ]
    AUTO_FOCUS = "#cancel"

    def __init__(self, seen: RunSeen) -> None:
        super().__init__()
        self._seen = seen

    def compose(self) -> ComposeResult:
        """The facts and the two ways."""
        with Vertical(id="dialog"):
            yield Static(Content.assemble("Stop ", (self._seen.name, "bold"), "?"))
            yield Static(self._facts(), id="facts")
            with Horizontal():
                yield Button("Cancel", id="cancel", compact=True)
                yield Button("Checkpoint, then stop", id="stop", variant="warning", compact=True)

    def _facts(self) -> str:
        if self._seen.checkpoint_at is None:
            saved = "It has no checkpoint yet."
        else:
            saved = f"Last checkpoint {words.age(time.time() - self._seen.checkpoint_at)}."
        return f"{saved} Nothing is lost: it saves first, and R resumes it from there."

    @on(Button.Pressed)
    def _chosen(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "stop")
