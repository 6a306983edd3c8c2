"""Questions before something that cannot be taken back: what would be lost, and the command that does the same.

Cancel is the default everywhere.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import DescendantFocus
from textual.widgets import Button, Static

from tui import commands
from tui.compat import Dialog
from tui.keys import bind
from tui.run_seen import RunSeen
from tui.steering import TRAINING, what_stopping_loses
from tui.widgets.key_bar import KeyBar
from workbench.runs import STOP_NOW


@dataclass(frozen=True, slots=True)
class Way:
    """One answer but the one that changes nothing: what the run is asked for, the button, the same in a shell."""

    request: str
    label: str
    command: str


class AskScreen(Dialog[str]):
    """What the run is to be asked for, or nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "dismiss('')", description="cancel", tooltip="Leave everything as it is"),
        bind("cursor_left", "cursor(-1)", show=False, tooltip="The button before"),
        bind("cursor_right", "cursor(1)", show=False, tooltip="The next button"),
    ]
    DEFAULT_CSS = """
    AskScreen { align: center middle; background: $background 60%; }
    AskScreen #command { color: $dim; }
    """
    AUTO_FOCUS = "#cancel"

    def __init__(self, question: Content, facts: str, ways: Sequence[Way]) -> None:
        super().__init__()
        self._question, self._facts, self._ways = question, facts, ways

    def compose(self) -> ComposeResult:
        """The question, the facts and the ways."""
        with Vertical(id="dialog"):
            yield Static(self._question)
            yield Static(self._facts, id="facts", markup=False)
            yield Static(commands.shown_command(self.command()), id="command", markup=False)
            with Horizontal():
                yield Button("Cancel", id="cancel", compact=True)
                for number, way in enumerate(self._ways):
                    yield Button(way.label, id=f"way-{number}", variant="warning", compact=True)
        yield KeyBar()

    def command(self) -> str:
        """The same in a shell: of the button that has the keys, or of the first way."""
        return (self._way_of(self.focused) or self._ways[0]).command

    def _way_of(self, button: object) -> Way | None:
        chosen = button.id if isinstance(button, Button) else None
        return next((way for number, way in enumerate(self._ways) if chosen == f"way-{number}"), None)

    def action_cursor(self, direction: int) -> None:
        """To the button beside, round the end."""
        if direction < 0:
            self.focus_previous()
        else:
            self.focus_next()

    @on(DescendantFocus)
    def _tell(self) -> None:
        self.query_one("#command", Static).update(commands.shown_command(self.command()))

    @on(Button.Pressed)
    def _chosen(self, event: Button.Pressed) -> None:
        way = self._way_of(event.button)
        self.dismiss(way.request if way is not None else "")


class StopScreen(AskScreen):
    """Stop a run? With a checkpoint, or, where there are any, without."""

    def __init__(self, seen: RunSeen, home: Path) -> None:
        labels = {"stop": "Checkpoint, then stop", STOP_NOW: "Stop now"}
        if seen.stage not in TRAINING:
            labels = {"stop": "Stop"}
        super().__init__(
            Content.assemble("Stop ", (seen.name, "bold"), "?"),
            what_stopping_loses(seen, now=time.time()),
            [
                Way(request, label, commands.steer(home, seen.path.name, request))
                for request, label in labels.items()
            ],
        )


class DecayScreen(AskScreen):
    """Let the learning rate of a WSD schedule fall from here?"""

    def __init__(self, seen: RunSeen, home: Path) -> None:
        request = "tune decay=now"
        super().__init__(
            Content.assemble("Start the decay of ", (seen.name, "bold"), " now?"),
            "The learning rate falls from the next step on, over decay_ratio of the steps so far, and the training "
            "ends with it. This cannot be taken back: a checkpoint is kept at this step, and B branches from it. "
            "What comes of it is this run's alone.",
            [Way(request, "Start the decay", commands.steer(home, seen.path.name, request))],
        )
