"""How the learning rate moves: pure functions from a step to the share of the peak rate used at that step.

`step` counts the updates already made, so the first update has step 0 and the last `num_steps - 1`.
Nothing is remembered between calls: a resumed run needs only its step. Knows no optimizer.

    1 |    ________                    warmup   straight up, reaching 1 at its last step
      |   /        ``--..              decay    linear or half a cosine
floor |  /               ``--..____    floor    would be reached one step after the last: no step is wasted
      +--------------------------->
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

Schedule = Callable[[int], float]


def make_schedule(
    shape: Literal["linear", "cosine"], *, num_steps: int, warmup_steps: int = 0, floor: float = 0.0
) -> Schedule:
    """The schedule of that shape over `num_steps`: a function step -> factor in (0, 1].

    `warmup_steps` is cut to a tenth of a run shorter than ten warmups, so that short runs reach their peak.
    """
    assert num_steps >= 1 and warmup_steps >= 0 and 0 <= floor <= 1
    warmup_steps = min(warmup_steps, max(num_steps // 10, 1)) if warmup_steps else 0
    decay = {"linear": linear, "cosine": cosine}[shape]

    def factor_at(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return decay((step - warmup_steps) / max(num_steps - warmup_steps, 1), floor=floor)

    return factor_at


def linear(progress: float, *, floor: float = 0.0) -> float:
    """1 at progress 0, `floor` at progress 1 and after, a straight line between."""
    return floor + (1 - floor) * (1 - min(progress, 1.0))


def cosine(progress: float, *, floor: float = 0.0) -> float:
    """1 at progress 0, `floor` at progress 1 and after, half a cosine between (Loshchilov & Hutter 2017)."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
