"""What a run said: a sample of the model's writing, what the curves tell, and the newest notes with their age."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from tui import words
from tui.diagnosis import Finding
from tui.run_seen import Note, Sample
from tui.widgets.still import StillText

_SIGNS = {
    "note": ("·", "$dim"),
    "warning": ("!", "$warning"),
    "error": ("✗", "$error"),
    **{state: (sign.glyph, sign.color) for state, sign in words.RUN_SIGNS.items()},
}

_AGE_CELLS = len("just now")
CRASHED = (
    "Its process is gone without a last word: killed, out of memory, or the machine went down. "
    "What it saved is whole: R goes on from there, 8 shows its log."
)

ROOMY = 36
"""Rows of a terminal from which on there is room for more than the newest."""


class Story(Vertical):
    """The sample above, findings and the newest notes below it: two, and more where the terminal is tall."""

    DEFAULT_CSS = """
    Story { height: auto; }
    Story > #sample { height: 2; }
    Story > #notes { height: 2; text-wrap: nowrap; text-overflow: ellipsis; }
    Story.-roomy > #sample { height: 3; }
    Story.-roomy > #notes { height: 6; }
    Story.-ended > #sample, Story.-ended.-roomy > #sample { height: auto; max-height: 5; }
    """

    def __init__(self) -> None:
        super().__init__(id="story")
        self._samples: Sequence[Sample] = ()
        self._ended: Content | None = None
        self._back = 0  # so many samples before the newest

    def compose(self) -> ComposeResult:
        """Two places, empty."""
        yield StillText(id="sample")
        yield StillText(id="notes")

    def show(
        self,
        samples: Sequence[Sample],
        findings: Sequence[Finding],
        notes: Sequence[Note],
        *,
        now: float,
        ended: Content | None = None,
    ) -> None:
        """Show the newest. Both keep their height: a picture that is laid out again is sent again, all of it.

        ended: why a run broke off and what to do, whole, where the sample would be.
        """
        roomy = self.screen.size.height >= ROOMY
        self.set_class(roomy, "-roomy")
        if len(samples) < len(self._samples):  # of another stage
            self._back = 0
        self._samples, self._ended = samples, ended
        self.set_class(ended is not None, "-ended")
        self._show_sample()
        if ended is not None:  # the error stands above, whole
            notes = [note for note in notes if note.kind != "error"]
        most = 6 if roomy else 2
        lines = [_finding(finding) for finding in findings[: most - 1]]
        lines += [_note(note, now) for note in notes[-(most - len(lines)) :]]
        said = self.query_one("#notes", StillText)
        said.put(Content("\n").join(lines))
        # In a low terminal the reason alone has a place.
        said.display = bool(lines) and not (ended is not None and self.screen.has_class("-short"))

    def _show_sample(self) -> None:
        written = self.query_one("#sample", StillText)
        written.display = bool(self._samples) or self._ended is not None
        if self._ended is not None:
            written.put(self._ended, layout=True)
        elif self._samples:
            index = max(len(self._samples) - 1 - self._back, 0)
            written.put(_sample(self._samples[index], index + 1, len(self._samples)))

    def turn(self, direction: int) -> None:
        """An earlier or a later sample; the newest is followed."""
        self._back = min(max(self._back - direction, 0), max(len(self._samples) - 1, 0))
        self._show_sample()


def why_it_ended(state: str, notes: Sequence[Note]) -> Content | None:
    """What a run that broke off says in full: its error, or what is known of one that said nothing."""
    if state == "crashed":
        return Content.assemble(("? crashed  ", "$error bold"), CRASHED)
    error = next((note.text for note in reversed(notes) if note.kind == "error"), "")
    return Content.assemble(("✗ failed  ", "$error bold"), error) if state == "failed" and error else None


def _sample(sample: Sample, number: int, count: int) -> Content:
    at = f" @{sample.step:,}" if sample.step is not None else ""
    prompt = (f"{sample.prompt} ", "$dim") if sample.prompt else ""
    of = (f"‹{number}/{count}›  ", "$dim") if count > 1 else ""
    return Content.assemble((f"sample{at}  ", "$primary"), of, prompt, sample.text)


def _finding(finding: Finding) -> Content:
    glyph, color = _SIGNS[finding.kind]
    word = {"error": "look", "warning": "look"}.get(finding.kind, "seen")
    return Content.assemble((f"{glyph} {word:<{_AGE_CELLS}}  ", color), finding.text)


def _note(note: Note, now: float) -> Content:
    glyph, color = _SIGNS.get(note.kind, _SIGNS["note"])
    word = f"{note.kind}: " if note.kind != "note" else ""
    return Content.assemble(
        (f"{glyph} ", color),
        (f"{words.coarse_age(now - note.at):<{_AGE_CELLS}}  ", "$dim"),
        (word, color),
        note.text,
    )
