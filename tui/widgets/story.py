"""What a run said last: a sample of the model's writing, and its newest notes with their age."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from tui import words
from tui.feed import Note, Sample
from tui.widgets.still import StillText

_SIGNS = {
    "note": ("·", "$dim"),
    "warning": ("!", "$warning"),
    "error": ("✗", "$error"),
    **{state: (sign.glyph, sign.color) for state, sign in words.RUN_SIGNS.items()},
}


class Story(Vertical):
    """The sample above, the newest notes below it: two, and more where the terminal is tall."""

    DEFAULT_CSS = """
    Story { height: auto; }
    Story > #sample { height: auto; max-height: 2; }
    Story > #notes { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self) -> None:
        super().__init__(id="story")
        self._lines = 0

    def compose(self) -> ComposeResult:
        """Two places, empty."""
        yield StillText(id="sample")
        yield StillText(id="notes")

    def show(self, sample: Sample | None, notes: Sequence[Note], *, now: float) -> None:
        """Show the newest of both. The screen is laid out again only when something takes more or less room."""
        written, said = self.query_one("#sample", StillText), self.query_one("#notes", StillText)
        if sample is not None:
            written.put(_sample(sample), layout=True)
        most = 2 if self.screen.size.height < 32 else 6
        lines = [_note(note, now) for note in notes[-most:]]
        said.put(Content("\n").join(lines), layout=len(lines) != self._lines)
        self._lines = len(lines)
        written.display, said.display = sample is not None, bool(lines)


def _sample(sample: Sample) -> Content:
    at = f" @{sample.step:,}" if sample.step is not None else ""
    prompt = (f"{sample.prompt} ", "$dim") if sample.prompt else ""
    return Content.assemble((f"sample{at}  ", "$primary"), prompt, sample.text)


def _note(note: Note, now: float) -> Content:
    glyph, color = _SIGNS.get(note.kind, _SIGNS["note"])
    word = f"{note.kind}: " if note.kind != "note" else ""
    return Content.assemble((f"{glyph} {word}", color), (f"{words.age(now - note.at)}  ", "$dim"), note.text)
