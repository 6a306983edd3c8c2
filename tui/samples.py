"""What a model wrote during one stage, prompt by prompt: the first, the newest, and some between them, evenly spread.

A run of a day writes thousands; kept are every one at first, then every second, every fourth, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable

from tui.run_seen import Sample
from workbench.events import Event
from workbench.safe_text import one_line

KEPT_OF_A_PROMPT = 64
"""So many at the most, and the newest: half of them when each second one has just gone."""
PROMPTS_KEPT = 32
"""A recipe may have 16. Of a run that asks something else each time the newest are kept."""


class Samples:
    """Takes in samples as they are told; what is kept hangs on what was told alone, not on when it was looked at."""

    def __init__(self, kept: Iterable[Iterable[Sample]] = ()) -> None:
        self._by_prompt: dict[str, list[Sample]] = {}
        for samples in map(list, kept):
            self._by_prompt[samples[0].prompt] = samples

    def by_prompt(self) -> tuple[tuple[Sample, ...], ...]:
        """Those of each prompt, oldest first; the prompts in the order in which they came, or came back."""
        return tuple(map(tuple, self._by_prompt.values()))

    def take(self, event: Event) -> None:
        """Take the newest in. Those of steps that are taken again go."""
        step = event.get("step")
        step = step if isinstance(step, int) else None
        prompt = one_line(str(event.get("prompt") or ""), 400)
        kept = self._by_prompt.setdefault(prompt, [])
        if step is not None and self._was_left_out(kept, step):  # a person had it asked something else
            self._by_prompt[prompt] = self._by_prompt.pop(prompt)
        while kept and step is not None and (kept[-1].step or 0) >= step:
            kept.pop()
        number = kept[-1].number + 1 if kept else 0
        if kept and kept[-1].number % _every(kept[-1].number):
            kept.pop()  # it was kept as the newest alone
        kept.append(Sample(step, prompt, one_line(str(event.get("text") or ""), 1000), number))
        if len(kept) > KEPT_OF_A_PROMPT:
            every = _every(number)
            kept[:-1] = [sample for sample in kept[:-1] if not sample.number % every]
        while len(self._by_prompt) > PROMPTS_KEPT:
            del self._by_prompt[next(iter(self._by_prompt))]

    def _was_left_out(self, kept: list[Sample], step: int) -> bool:
        """Whether others were sampled between the newest of a prompt and `step`."""
        newest = [each[-1].step or 0 for each in self._by_prompt.values() if each]
        return bool(kept) and any((kept[-1].step or 0) < each < step for each in newest)


def _every(number: int) -> int:
    """One of how many is kept, of so many that at most KEPT_OF_A_PROMPT of the samples 0 to `number` are."""
    every = 1
    while number // every >= KEPT_OF_A_PROMPT:
        every *= 2
    return every
