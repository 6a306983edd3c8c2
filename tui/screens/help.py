"""Help that teaches: the keys of the screen beneath, and every figure on it, each in two sentences with a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui.compat import Dialog
from tui.keys import bind
from tui.widgets.key_bar import KeyBar
from workbench.eval_terms import Explanation
from workbench.safe_text import one_line

_NAME_CELLS = 20


@dataclass(frozen=True, slots=True)
class ActiveKey:
    """A key of the screen: what stands on it, what it does, more about it, and why it does nothing just now."""

    shown: str
    does: str
    about: str = ""
    why_not: str = ""


class HelpScreen(Dialog[None]):
    """A list to move through, and the explanation of what is under the cursor. esc, q and ? close it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("next_pane", "next_part", description="next part", tooltip="To the next part of the help"),
        bind("back", "dismiss", tooltip="Close the help"),
        bind("help", "dismiss", show=False, tooltip=""),
        replace(
            bind("leave", "dismiss", show=False, tooltip=""), key="q"
        ),  # ctrl+q leaves the app, as anywhere
    ]
    DEFAULT_CSS = """
    HelpScreen { background: $background; }
    HelpScreen #topics { height: 1fr; margin: 0 1; padding: 0; border: none; background: $background; }
    HelpScreen #about { height: 7; margin: 0 1; padding: 0 1; border-top: solid $faint; }
    HelpScreen.-short #about { height: 6; }
    """
    AUTO_FOCUS = "OptionList"

    def __init__(
        self,
        keys: Sequence[ActiveKey],
        topics: Sequence[tuple[str, Sequence[Explanation]]],
        *,
        first: str = "",
    ) -> None:
        """topics: what else to explain, by heading. first: the name of what the cursor is to stand on."""
        super().__init__()
        self._keys, self._topics, self._first = keys, topics, first
        self._about: dict[str, Content] = {}

    def compose(self) -> ComposeResult:
        """List, explanation, last line."""
        yield Static(Content.assemble(("help", "bold $primary"), ("  ↑↓ explains each", "$dim")), id="title")
        yield OptionList(*self._options(), id="topics", markup=False)
        yield Static("", id="about", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        """Stand on what was asked for; a key typed ahead may have closed it before it was filled."""
        for topics in self.query(OptionList):
            if self._first in self._about:
                topics.highlighted = topics.get_option_index(self._first)

    def action_next_part(self) -> None:
        """The first line below the next heading, from the last part to the first."""
        topics = self.query_one(OptionList)
        at, options = topics.highlighted or 0, topics.options
        firsts = [
            index
            for index in range(1, len(options))
            if options[index - 1].disabled and not options[index].disabled
        ]
        if firsts:
            topics.highlighted = next((index for index in firsts if index > at), firsts[0])

    def _options(self) -> list[Option]:
        width = max((len(key.shown) for key in self._keys), default=0)
        options = [_heading("Keys")]
        for number, key in enumerate(self._keys):
            color, dim = ("$faint", "$faint") if key.why_not else ("bold $primary", "")
            name = f"key {number}"
            options.append(
                Option(Content.assemble((f"{key.shown:>{width}}", color), "  ", (key.does, dim)), id=name)
            )
            why = (f"Not now: {key.why_not}. ", "$warning") if key.why_not else ""
            self._about[name] = Content.assemble(
                (key.shown, "bold"), f"  {key.does}.\n", why, (key.about, "$dim")
            )
        for heading, explanations in self._topics:
            options += [_heading(""), _heading(heading)]
            for told in explanations:
                if told.name in self._about:
                    continue
                self._about[told.name] = Content.assemble(
                    (one_line(told.name, 60), "bold"), f"  {one_line(told.text, 900)}", _source(told)
                )
                line = Content.assemble(
                    (one_line(told.name, 60).ljust(_NAME_CELLS), "bold"),
                    "  ",
                    (one_line(told.text, 400), "$dim"),
                )
                options.append(Option(line, id=told.name))
        return options

    @on(OptionList.OptionHighlighted)
    def _explain(self, event: OptionList.OptionHighlighted) -> None:
        for about in self.query("#about").results(Static):
            about.update(self._about.get(event.option_id or "", Content("")))


def _heading(text: str) -> Option:
    return Option(Content.styled(text, "bold $dim"), disabled=True)


def _source(told: Explanation) -> Content:
    return Content.styled(f"\n— {one_line(told.source, 200)}", "$dim") if told.source else Content("")
