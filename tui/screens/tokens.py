"""The tokenizer's playground: type, and see where one or two tokenizers cut, with ids, bytes and counts.

The tokenizers live in a child process (workbench.text_client); the newest text wins, however fast it is typed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import TextArea
from textual.worker import get_current_worker

from tui import commands
from tui.keys import bind
from tui.messages import ActionFailed
from tui.screens.pick import PickScreen
from tui.visible import visible
from tui.widgets.browser import failed
from tui.widgets.key_bar import KeyBar
from tui.widgets.still import StillText
from workbench.choices import tokenizers_of
from workbench.errors import WorkbenchError
from workbench.safe_text import one_line, safe_text
from workbench.text_client import LONGEST_TEXT, TextClient

FIRST_TEXT = (
    "The naïve café cost €12,000 — 你好 🙂\ndef copytree(src, dst, *, symlinks=False):\n    return src"
)
SHOWN_TOKENS = 2_000
SHOWN_IDS = 200


@dataclass(frozen=True, slots=True)
class Cut:
    """How one tokenizer cuts a text; with a `problem`, that it cannot."""

    reference: str
    ids: tuple[int, ...] = ()
    pieces: tuple[bytes, ...] = ()
    vocab_size: int = 0
    problem: str = ""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Cut:
        """What the child told. Raises KeyError, TypeError and ValueError for what is none."""
        if "error" in told:
            return cls(str(told["reference"]), problem=str(told["error"]))
        pieces = tuple(bytes.fromhex(each) for each in told["pieces"])
        return cls(str(told["reference"]), tuple(map(int, told["ids"])), pieces, int(told["vocab_size"]))

    @property
    def num_bytes(self) -> int:
        """Of the text, in UTF-8."""
        return sum(map(len, self.pieces))


@dataclass
class TextCut(Message):
    """The child cut the text."""

    text: str
    cuts: tuple[Cut, ...]


@dataclass
class TokenizersFound(Message):
    """Which tokenizers there are."""

    choices: Sequence[tuple[str, str]] = field(default_factory=tuple)


class TokensScreen(Screen[None]):
    """A text above, what becomes of it below."""

    DEFAULT_CSS = """
    TokensScreen #text { height: 6; margin: 0 1; border: none; background: $panel; padding: 0 1; }
    TokensScreen.-short #text, TokensScreen.-flat #text { height: 3; }
    TokensScreen #cuts { padding: 1 2 0 2; scrollbar-size-vertical: 1; }
    TokensScreen #cut { width: 1fr; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("beside", tooltip="Put another tokenizer beside this one, or take it away"),
        bind("back", "app.pop_screen"),
        bind("page_up", "scroll(-1)", show=False),
        bind("page_down", "scroll(1)", show=False),
    ]
    AUTO_FOCUS = "TextArea"

    def __init__(self, home: Path, reference: str, *, client: TextClient | None = None) -> None:
        super().__init__()
        self._home, self._references = home, [reference]
        self._client = client or TextClient.over(home)
        self._cuts: tuple[Cut, ...] = ()

    def compose(self) -> ComposeResult:
        """Title, text, what becomes of it."""
        yield StillText(id="title")
        yield TextArea(FIRST_TEXT, id="text", tab_behavior="focus", soft_wrap=True, compact=True)
        with VerticalScroll(id="cuts", can_focus=False):
            yield StillText(id="cut")
        yield KeyBar()

    def on_mount(self) -> None:
        """Ask for the first text."""
        self.query_one(TextArea).cursor_blink = False
        self._title()
        self.query_one("#cut", StillText).put(
            Content.styled("the tokenizer is loading…", "$dim"), layout=True
        )
        self._cut(FIRST_TEXT)

    def on_unmount(self) -> None:
        """End the child."""
        self._client.close()

    def command(self) -> str:
        """The same in a shell."""
        return commands.workbench(self._home, "tokenize", self._references[0], self.query_one(TextArea).text)

    def _title(self) -> None:
        names = " │ ".join(one_line(each, 40) for each in self._references)
        self.query_one("#title", StillText).put(Content.assemble(("tokens", "bold $primary"), "  ", names))

    @on(TextArea.Changed)
    def _typed(self) -> None:
        self._cut(self.query_one(TextArea).text)

    @work(thread=True, exclusive=True, group="cut", exit_on_error=False)
    def _cut(self, text: str) -> None:
        worker = get_current_worker()
        if len(text) > LONGEST_TEXT:
            self.post_message(
                ActionFailed(f"that is {len(text):,} characters; the first {LONGEST_TEXT:,} are cut")
            )
            text = text[:LONGEST_TEXT]
        try:
            told = self._client.ask("cut", references=self._references, text=text)
            cuts = tuple(Cut.of(each) for each in told["cuts"])
        except (WorkbenchError, OSError, KeyError, TypeError, ValueError) as error:
            cuts = (Cut(self._references[0], problem=str(error)),)
        if not worker.is_cancelled:
            self.post_message(TextCut(text, cuts))

    @on(TextCut)
    def _take(self, message: TextCut) -> None:
        self._cuts = message.cuts
        self._show()

    def _show(self) -> None:
        name = max((len(one_line(cut.reference, 40)) for cut in self._cuts), default=0)
        parts: list[Content] = []
        for cut in self._cuts:
            parts += [headline(cut, name), Content("")]
            if not cut.problem:
                parts += [boundaries(cut), Content("")]
        if len(self._cuts) == 2 and not any(cut.problem for cut in self._cuts):
            parts += [compared(*self._cuts), Content("")]
        parts += [ids_line(cut) for cut in self._cuts if not cut.problem]
        self.query_one("#cut", StillText).put(Content("\n").join(parts), layout=True)

    @work(thread=True, group="find", exit_on_error=False)
    def action_beside(self) -> None:
        """Choose the second one; where there is one, take it away."""
        if len(self._references) > 1:
            self.app.call_from_thread(self._beside, None)
            return
        try:
            self.post_message(TokenizersFound(list(tokenizers_of(self._home))))
        except OSError as error:
            self.post_message(ActionFailed(str(error)))

    @on(TokenizersFound)
    def _choose(self, message: TokenizersFound) -> None:
        self.app.push_screen(
            PickScreen("Beside which tokenizer?", message.choices, empty="No run has made one."),
            lambda reference: self._beside(reference) if reference else None,
        )

    def _beside(self, reference: str | None) -> None:
        self._references[1:] = [reference] if reference else []
        self._title()
        self._cut(self.query_one(TextArea).text)

    def action_scroll(self, pages: int) -> None:
        """What becomes of the text, by pages."""
        pane = self.query_one(VerticalScroll)
        pane.scroll_relative(y=pages * max(1, pane.size.height - 2), animate=False)


def headline(cut: Cut, width: int) -> Content:
    """Name, count and rate of one tokenizer."""
    name = (f"{one_line(cut.reference, 40):<{width}}", "bold")
    if cut.problem:
        return Content.assemble(name, "  ", failed(one_line(cut.problem, 200)))
    rate = f"{cut.num_bytes / len(cut.ids):.2f}" if cut.ids else "–"
    return Content.assemble(
        name, f"  {len(cut.ids):,} tokens  {cut.num_bytes:,} bytes  ", (rate, "$primary bold"), " bytes/token",
        (f"  of {cut.vocab_size:,}", "$dim"),
    )  # fmt: skip


def boundaries(cut: Cut) -> Content:
    """The text with every second token on another ground, and a line between two: never by colour alone.

    Bytes that are half a character are shown in hex, and counted with the token that holds them.
    """
    parts: list[Content | tuple[str, str]] = []
    for index, piece in enumerate(cut.pieces[:SHOWN_TOKENS]):
        try:
            text = piece.decode()
        except UnicodeDecodeError:
            shown = Content.styled("".join(f"⟨{byte:02X}⟩" for byte in piece), "$secondary")
        else:
            shown = visible(text.replace(" ", "·"))
        parts.append(shown.stylize("on $panel") if index % 2 else shown)
        if not piece.endswith(b"\n") and index + 1 < len(cut.pieces):
            parts.append(("│", "$faint"))
    if len(cut.pieces) > SHOWN_TOKENS:
        parts.append((f" … {len(cut.pieces) - SHOWN_TOKENS:,} more", "$dim"))
    return Content.assemble(*parts)


def compared(first: Cut, second: Cut) -> Content:
    """Which of two needs fewer tokens, in words."""
    if not first.ids or not second.ids:
        return Content("")
    fewer, more = sorted((first, second), key=lambda cut: len(cut.ids))
    if len(fewer.ids) == len(more.ids):
        return Content.styled("Both take as many tokens.", "$dim")
    less = 1 - len(fewer.ids) / len(more.ids)
    return Content.styled(f"{one_line(fewer.reference, 40)} takes {less:.0%} fewer tokens.", "$dim")


def ids_line(cut: Cut) -> Content:
    """The ids with their texts, as many as are worth reading."""
    parts: list[tuple[str, str] | str] = [("ids  ", "$dim")]
    for token, piece in list(zip(cut.ids, cut.pieces, strict=False))[:SHOWN_IDS]:
        text = one_line(
            safe_text(piece.decode(errors="backslashreplace"), visible=True).replace(" ", "·"), 24
        )
        parts += [(f"{token}", "$primary"), (f"\N{NO-BREAK SPACE}{text or '¶'}  ", "$dim")]
    if len(cut.ids) > SHOWN_IDS:
        parts.append((f"… {len(cut.ids) - SHOWN_IDS:,} more", "$dim"))
    return Content.assemble(*parts)
