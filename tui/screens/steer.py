"""Everything that can be asked of a run, in one list: what it does, its command, and why not where it cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingsMap, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui.commands import shown_command
from tui.compat import Dialog
from tui.keys import bind
from tui.steering import Action
from tui.widgets.key_bar import KeyBar


class SteerScreen(Dialog[str]):
    """The name of the action that was chosen, or nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "dismiss('')", description="close", tooltip="Leave everything as it is")
    ]
    DEFAULT_CSS = """
    SteerScreen { align: center middle; background: $background 60%; }
    SteerScreen OptionList, SteerScreen OptionList:focus {
        height: auto; max-height: 16; background: $panel; border: none; padding: 0;
    }
    SteerScreen OptionList > .option-list--option-highlighted { background: $surface; }
    SteerScreen OptionList > .option-list--option-disabled { color: $faint; }
    SteerScreen #about { height: 4; margin: 1 0 0 0; }
    """
    AUTO_FOCUS = "OptionList"

    def __init__(self, name: str, actions: Sequence[Action]) -> None:
        super().__init__()
        self._run_name, self._actions = name, actions
        letters = BindingsMap(bind(each.name, f"choose('{each.name}')", show=False) for each in actions)
        self._bindings = BindingsMap.merge([self._bindings, letters])

    def compose(self) -> ComposeResult:
        """The list, and about the one under the cursor."""
        cells = max(len(action.label) for action in self._actions)
        with Vertical(id="dialog"):
            yield Static(Content.assemble("Steer ", (self._run_name, "bold")))
            yield OptionList(
                *(Option(_line(action, cells), id=action.name) for action in self._actions), markup=False
            )
            yield Static("", id="about", markup=False)
        yield KeyBar()

    def command(self) -> str:
        """The same in a shell."""
        return self._under_cursor().command

    def on_mount(self) -> None:
        """The cursor on the first that can be done; one key is enough, too: each on the list has its own."""
        possible = [index for index, action in enumerate(self._actions) if not action.why_not]
        self.query_one(OptionList).highlighted = possible[0] if possible else 0

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The letter of what cannot be done now is dim."""
        return None if action == "choose" and self.why_not(action, parameters) else True

    def why_not(self, action: str, parameters: tuple[object, ...]) -> str:
        """Why what a letter chooses cannot be done now; empty where it can."""
        return next((each.why_not for each in self._actions if each.name in parameters), "")

    def _under_cursor(self) -> Action:
        return self._actions[self.query_one(OptionList).highlighted or 0]

    @on(OptionList.OptionHighlighted)
    def _tell(self) -> None:
        action = self._under_cursor()
        why = (f"not now: {action.why_not}\n", "$warning") if action.why_not else ""
        self.query_one("#about", Static).update(
            Content.assemble(why, f"{action.about}\n", (shown_command(action.command), "$dim"))
        )

    @on(OptionList.OptionSelected)
    def _selected(self) -> None:
        self.action_choose(self._under_cursor().name)

    def action_choose(self, name: str) -> None:
        """Close with it, if it can be done now."""
        if not next(action for action in self._actions if action.name == name).why_not:
            self.dismiss(name)


def _line(action: Action, cells: int) -> Content:
    dim = "$faint" if action.why_not else ""
    why = (f"  {action.why_not}", "$faint") if action.why_not else ""
    return Content.assemble(
        (f"{action.key}  ", dim or "$primary bold"), (f"{action.label:<{cells}}", dim), why
    )
