"""Where the learning rate takes another course, by arithmetic: for the schedule that trains and for who draws it.

    1 |    ________
      |   /        ``--..
    0 |  /               ``--..____
      +--------------------------->
       warmup    |<--- decay --->|

Steps count the updates already made, as in the schedule. Knows no tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Shape = Literal["linear", "cosine", "wsd", "inverse_sqrt"]


@dataclass(frozen=True, slots=True)
class Phases:
    """How many of `num_steps` steps warm up, and how many at the end decay; steps of full batches, so fractions too."""

    num_steps: float
    warmup_steps: float
    decay_steps: float

    @property
    def decay_from(self) -> float:
        """The step at which the rate is at the peak for the last time; `num_steps` when it never falls."""
        return self.num_steps - self.decay_steps


def phases_of(shape: Shape, *, num_steps: float, warmup_steps: float = 0, decay_ratio: float = 0.2) -> Phases:
    """The phases of a schedule of that shape over `num_steps`.

    `warmup_steps` is cut to a tenth of a run shorter than ten warmups, so that short runs reach their peak.
    decay_ratio: of "wsd" alone, the share of all steps, at the end, in which the rate falls; with every other shape
    it falls from the end of the warmup on.
    """
    warmup_steps = min(warmup_steps, max(num_steps // 10, 1)) if warmup_steps else 0
    decay_steps = num_steps - warmup_steps
    if shape == "wsd":
        decay_steps = min(decay_steps, round(decay_ratio * num_steps))
    return Phases(num_steps, warmup_steps, decay_steps)
