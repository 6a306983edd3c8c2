"""The keys of the screen beneath, from the same table that dispatches them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

LEGEND = "● running  ◐ paused  ✓ done  ✗ failed  ◌ stopped  ? crashed  ○ waiting"


class HelpScreen(ModalScreen[None]):
    """One line a key, scrolled where the terminal is short. Any of escape, q and ? closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,f1,q", "dismiss", "close", tooltip="Close the help")
    ]

    def __init__(self, bindings: Iterable[tuple[str, str]]) -> None:
        super().__init__()
        self._lines = list(bindings)

    def compose(self) -> ComposeResult:
        """The table."""
        width = max((len(key) for key, _ in self._lines), default=0)
        table = Content("\n").join(
            Content.assemble((f"{key:>{width}}", "bold $primary"), "  ", text) for key, text in self._lines
        )
        with VerticalScroll(id="dialog"):
            yield Static(Content.assemble(("Keys", "bold")))
            yield Static(table, id="keys")
            yield Static(Content.styled(LEGEND, "$dim"), id="legend")
