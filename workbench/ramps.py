"""How batch and context grow: a training as stretches of steps of one size, by arithmetic.

    batch_tokens     512 | 1024 | 2048 ──────────────────    a ramp doubles from its start until a share of all
    context_length    64 |   128   |   256 ──────────────    tokens is read, each size for an equal part of them

Many small steps early cost the same tokens as few large ones and teach more while the gradient still points one way
(Smith et al. 2018; McCandlish et al. 2018); short rows early are cheaper and steadier (Li et al. 2022). The tokens of
a training stay what they are; its number of steps follows. Knows no tensors.
"""

from __future__ import annotations

import bisect
import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Doubling:
    """From `start`, doubling, to a final size that is reached when the share `until` of the tokens is read."""

    start: int
    until: float


@dataclasses.dataclass(frozen=True, slots=True)
class Stretch:
    """`num_steps` steps in a row of `batch_tokens` tokens each, in rows of `context_length`."""

    num_steps: int
    batch_tokens: int
    context_length: int


class BatchSizes:
    """The stretches of a training; the last goes on for whoever asks for batches beyond its end."""

    def __init__(self, stretches: list[Stretch]) -> None:
        self.stretches = stretches
        steps, tokens = 0, 0
        self._first_steps, self._first_tokens = [], []
        for stretch in stretches:
            self._first_steps.append(steps)
            self._first_tokens.append(tokens)
            steps += stretch.num_steps
            tokens += stretch.num_steps * stretch.batch_tokens
        self.num_steps, self.tokens = steps, tokens

    def at(self, step: int) -> Stretch:
        """The stretch that step `step`, from 0, is in."""
        return self.stretches[self._place(step)]

    def tokens_before(self, step: int) -> int:
        """How many tokens the steps before `step` read."""
        place = self._place(step)
        done = step - self._first_steps[place]
        return self._first_tokens[place] + done * self.stretches[place].batch_tokens

    def _place(self, step: int) -> int:
        return bisect.bisect_right(self._first_steps, step) - 1


def batch_sizes(
    *,
    tokens: int,
    batch_tokens: int,
    context_length: int,
    batch_ramp: Doubling | None = None,
    context_ramp: Doubling | None = None,
) -> BatchSizes:
    """The steps that read `tokens` tokens, less than one batch left over."""
    batch_parts = _parts(batch_ramp, batch_tokens)
    context_parts = _parts(context_ramp, context_length)
    ends = sorted({end for end, _ in batch_parts + context_parts})
    stretches: list[Stretch] = []
    done = 0
    for end in ends:
        batch, context = (
            next(size for part_end, size in parts if end <= part_end)
            for parts in (batch_parts, context_parts)
        )
        wanted = (end * tokens - done) / batch
        num_steps = min(max(0, round(wanted)), (tokens - done) // batch)
        if num_steps:
            stretches.append(Stretch(num_steps, batch, context))
            done += num_steps * batch
    return BatchSizes(stretches)


def doublings(start: int, final: int) -> int | None:
    """How often `start` doubles to become `final`; None when it never does."""
    ratio, rest = divmod(final, start)
    return ratio.bit_length() - 1 if not rest and ratio.bit_count() == 1 else None


def _parts(ramp: Doubling | None, final: int) -> list[tuple[float, int]]:
    """(share of the tokens where it ends, size) of every size that a ramp goes through, the final one last."""
    if ramp is None:
        return [(1.0, final)]
    times = doublings(ramp.start, final)
    assert times, "a ramp doubles to its final size"
    grown = [(ramp.until * (number + 1) / times, ramp.start << number) for number in range(times)]
    return [*grown, (1.0, final)]
