"""What a run said: a sample of the model's writing, what the curves tell, and the newest notes with their age."""

from __future__ import annotations

from bisect import bisect_right
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
        self._samples: Sequence[Sequence[Sample]] = ()
        self._ended: Content | None = None
        self._prompt: str | None = None  # None: the newest of all
        self._number: int | None = None  # None: the newest of the prompt

    def compose(self) -> ComposeResult:
        """Two places, empty."""
        yield StillText(id="sample")
        yield StillText(id="notes")

    def show(
        self,
        samples: Sequence[Sequence[Sample]],
        findings: Sequence[Finding],
        notes: Sequence[Note],
        *,
        now: float,
        ended: Content | None = None,
    ) -> None:
        """Show the newest. Both keep their height: a picture that is laid out again is sent again, all of it.

        samples: those of each prompt, oldest first.
        ended: why a run broke off and what to do, whole, where the sample would be.
        """
        roomy = self.screen.size.height >= ROOMY
        self.set_class(roomy, "-roomy")
        if not any(each[0].prompt == self._prompt for each in samples):  # of another stage
            self._prompt = self._number = None
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
            prompt, index = self._place()
            written.put(_sample(self._samples, prompt, index))

    def _place(self) -> tuple[int, int]:
        """Which of the prompts, and which of its samples: where one is there no more, the one before it."""
        prompts = [each[0].prompt for each in self._samples]
        prompt = len(prompts) - 1 if self._prompt is None else prompts.index(self._prompt)
        samples = self._samples[prompt]
        if self._number is None:
            return prompt, len(samples) - 1
        return prompt, max(bisect_right(samples, self._number, key=lambda sample: sample.number) - 1, 0)

    def turn(self, direction: int) -> None:
        """An earlier or a later sample of the same prompt; the newest is followed."""
        if self._samples:
            prompt, index = self._place()
            samples = self._samples[prompt]
            index = min(max(index + direction, 0), len(samples) - 1)
            self._prompt = samples[index].prompt
            self._number = None if index == len(samples) - 1 else samples[index].number
            self._show_sample()

    def turn_prompt(self) -> None:
        """The next prompt, its sample of the same time."""
        if self._samples:
            prompt, _ = self._place()
            self._prompt = self._samples[(prompt + 1) % len(self._samples)][0].prompt
            self._show_sample()


def why_it_ended(state: str, notes: Sequence[Note]) -> Content | None:
    """What a run that broke off says in full: its error, or what is known of one that said nothing."""
    if state == "crashed":
        return Content.assemble(("? crashed  ", "$error bold"), CRASHED)
    error = next((note.text for note in reversed(notes) if note.kind == "error"), "")
    return Content.assemble(("✗ failed  ", "$error bold"), error) if state == "failed" and error else None


def _sample(samples: Sequence[Sequence[Sample]], place: int, index: int) -> Content:
    sample = samples[place][index]
    among = [f"{index + 1}/{len(samples[place])}"] if len(samples[place]) > 1 else []
    among += [f"prompt {place + 1}/{len(samples)}"] if len(samples) > 1 else []
    at = f" @{sample.step:,}" if sample.step is not None else ""
    prompt = (f"{sample.prompt} ", "$dim") if sample.prompt else ""
    of = (f"‹{', '.join(among)}›  ", "$dim") if among else ""
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
