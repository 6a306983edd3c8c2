"""What a run said last: a sample of the model's writing, and its newest notes with their age."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from tui import words
from tui.feed import Note, Sample

_SIGNS = {"note": ("·", "$dim"), "warning": ("!", "$warning"), "error": ("✗", "$error")}


class Story(Vertical):
    """The sample above, the newest notes below it: two, and more where the terminal is tall."""

    DEFAULT_CSS = """
    Story { height: auto; }
    Story > #sample { height: auto; max-height: 2; }
    Story > #notes { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def compose(self) -> ComposeResult:
        """Two places, empty."""
        yield Static(id="sample", markup=False)
        yield Static(id="notes", markup=False)

    def show(self, sample: Sample | None, notes: Sequence[Note], *, now: float) -> None:
        """Show the newest of both."""
        place = self.query_one("#sample", Static)
        place.display = sample is not None
        if sample is not None:
            place.update(_sample(sample))
        most = 2 if self.screen.size.height < 32 else 6
        self.query_one("#notes", Static).update(
            Content("\n").join(_note(note, now) for note in notes[-most:])
        )


def _sample(sample: Sample) -> Content:
    at = f" @{sample.step:,}" if sample.step is not None else ""
    prompt = (f"{sample.prompt} ", "$dim") if sample.prompt else ""
    return Content.assemble((f"sample{at}  ", "$primary"), prompt, sample.text)


def _note(note: Note, now: float) -> Content:
    glyph, color = _SIGNS.get(note.kind, _SIGNS["note"])
    word = f"{note.kind}: " if note.kind != "note" else ""
    return Content.assemble((f"{glyph} {word}", color), (f"{words.age(now - note.at)}  ", "$dim"), note.text)
