"""A short list to pick one thing from, over the screen that asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui.compat import Dialog
from tui.keys import bind
from tui.widgets.key_bar import KeyBar
from workbench.safe_text import one_line


class PickScreen(Dialog[str | None]):
    """Gives back what was picked, or None."""

    DEFAULT_CSS = """
    PickScreen { align: center middle; background: $background 60%; }
    PickScreen #dialog { width: 64; max-width: 95%; height: auto; max-height: 80%; }
    PickScreen OptionList, PickScreen OptionList:focus {
        height: auto; max-height: 14; background: $panel; border: none; padding: 0;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "dismiss(None)", tooltip="Leave it as it is"),
    ]

    def __init__(
        self, question: str, choices: Sequence[tuple[str, str]], *, empty: str = "There is none."
    ) -> None:
        """choices: (what is given back, what is said of it)."""
        super().__init__()
        self._question, self._choices, self._empty = question, list(choices), empty

    def compose(self) -> ComposeResult:
        """The question and the list."""
        with Vertical(id="dialog"):
            yield Static(Content(one_line(self._question, 200)))
            if self._choices:
                named = [(one_line(name, 60), one_line(said, 60)) for name, said in self._choices]
                cells = max(cell_len(name) for name, _ in named)
                yield OptionList(
                    *(
                        Option(Content.assemble(set_cell_size(name, cells), (f"  {said}", "$dim")))
                        for name, said in named
                    ),
                    markup=False,
                )
            else:
                yield Static(Content.styled(self._empty, "$dim"))
        yield KeyBar()

    @on(OptionList.OptionSelected)
    def _picked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._choices[event.option_index][0])
