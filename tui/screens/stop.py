"""Questions before something that cannot be taken back: what would be lost, and the command that does the same.

Cancel is the default everywhere.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Static

from tui import commands
from tui.compat import Dialog
from tui.keys import bind
from tui.run_seen import RunSeen
from tui.steering import what_stopping_loses
from tui.widgets.key_bar import KeyBar


class AskScreen(Dialog[bool]):
    """True: do it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "dismiss(False)", description="cancel", tooltip="Leave everything as it is"),
        bind("cursor_left", "app.focus_next", show=False, tooltip="The other button"),
        bind("cursor_right", "app.focus_next", show=False, tooltip="The other button"),
    ]
    DEFAULT_CSS = """
    AskScreen { align: center middle; background: $background 60%; }
    AskScreen #command { color: $dim; }
    """
    AUTO_FOCUS = "#cancel"

    def __init__(self, question: Content, facts: str, *, yes: str, command: str) -> None:
        super().__init__()
        self._question, self._facts, self._yes, self._command = question, facts, yes, command

    def compose(self) -> ComposeResult:
        """The question, the facts and the two ways."""
        with Vertical(id="dialog"):
            yield Static(self._question)
            yield Static(self._facts, id="facts", markup=False)
            yield Static(commands.shown_command(self._command), id="command", markup=False)
            with Horizontal():
                yield Button("Cancel", id="cancel", compact=True)
                yield Button(self._yes, id="yes", variant="warning", compact=True)
        yield KeyBar()

    def command(self) -> str:
        """The same in a shell."""
        return self._command

    @on(Button.Pressed)
    def _chosen(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")


class StopScreen(AskScreen):
    """Stop a run? It always saves first."""

    def __init__(self, seen: RunSeen, home: Path) -> None:
        super().__init__(
            Content.assemble("Stop ", (seen.name, "bold"), "?"),
            what_stopping_loses(seen, now=time.time()),
            yes="Checkpoint, then stop",
            command=commands.steer(home, seen.path.name, "stop"),
        )


class DecayScreen(AskScreen):
    """Let the learning rate of a WSD schedule fall from here?"""

    def __init__(self, seen: RunSeen, home: Path) -> None:
        super().__init__(
            Content.assemble("Start the decay of ", (seen.name, "bold"), " now?"),
            "The learning rate falls from the next step on, over decay_ratio of the steps so far, and the training "
            "ends with it. This cannot be taken back: a checkpoint is kept at this step, and B branches from it. "
            "What comes of it is this run's alone.",
            yes="Start the decay",
            command=commands.steer(home, seen.path.name, "tune decay=now"),
        )
