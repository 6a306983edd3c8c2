"""How the learning rate moves: pure functions from a step to the share of the peak rate used at that step.

`step` counts the updates already made, so the first update has step 0 and the last `num_steps - 1`. It may be
fractional: an update of half a batch is half a step.
Nothing is remembered between calls: a resumed run needs only its step. Knows no optimizer.

    1 |    ________                    warmup   straight up, reaching 1 at its last step
      |   /        ``--..              decay    linear, half a cosine, or (wsd) none until near the end
floor |  /               ``--..____    floor    would be reached one step after the last: no step is wasted
      +--------------------------->
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable

from workbench.learning_rate import Shape, phases_of

Schedule = Callable[[float], float]
ENDLESS = 2**48
"""More steps than anybody takes, and few enough to be told apart in a float."""


def make_schedule(
    shape: Shape, *, num_steps: float, warmup_steps: float = 0, floor: float = 0.0, decay_ratio: float = 0.2
) -> Schedule:
    """The schedule of that shape over `num_steps`: a function step -> factor in (0, 1].

    Where it rises and falls `phases_of` tells (workbench/learning_rate.py), cutting a warmup that is too long.
    """
    assert num_steps >= 1 and warmup_steps >= 0 and 0 <= floor <= 1 and 0 <= decay_ratio <= 1
    decay = {"linear": linear, "cosine": cosine, "wsd": cooldown}.get(shape, linear)
    phases = phases_of(shape, num_steps=num_steps, warmup_steps=warmup_steps, decay_ratio=decay_ratio)
    warmup_steps, decay_from = phases.warmup_steps, phases.decay_from

    def factor_at(step: float) -> float:
        if step < warmup_steps:
            return min(1.0, (step + 1) / warmup_steps)
        if shape == "inverse_sqrt":
            return max(floor, math.sqrt(max(warmup_steps, 1) / max(step + 1, warmup_steps, 1)))
        progress = (step - decay_from) / max(phases.decay_steps, 1)
        return decay(max(progress, 0.0), floor=floor)

    return factor_at


def steps_without_end(
    shape: Shape, *, num_steps: int, warmup_steps: int = 0, floor: float = 0.0, decay_ratio: float = 0.2
) -> int:
    """How many of the first steps use the rate that a training without end would use.

    So many of them a longer training shares: with "wsd" all before the decay shows, with "linear" and "cosine" none
    after the warmup, with "inverse_sqrt" all.
    """
    ending, endless = (
        make_schedule(shape, num_steps=steps, warmup_steps=warmup_steps, floor=floor, decay_ratio=decay_ratio)
        for steps in (num_steps, ENDLESS)
    )
    if ending(0) != endless(0):  # a warmup that was cut
        return 0
    # Once they part they stay apart.
    return bisect.bisect_left(range(num_steps), True, key=lambda step: ending(step) != endless(step))


def linear(progress: float, *, floor: float = 0.0) -> float:
    """1 at progress 0, `floor` at progress 1 and after, a straight line between."""
    return floor + (1 - floor) * (1 - min(progress, 1.0))


def cosine(progress: float, *, floor: float = 0.0) -> float:
    """1 at progress 0, `floor` at progress 1 and after, half a cosine between (Loshchilov & Hutter 2017)."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def cooldown(progress: float, *, floor: float = 0.0) -> float:
    """1 at progress 0, `floor` at progress 1 and after, along 1 - sqrt: steep at first (Hägele et al. 2024).

    The end of warmup-stable-decay (WSD): until then the rate, and with it the run, needs no known end.
    """
    return floor + (1 - floor) * (1 - math.sqrt(min(progress, 1.0)))
