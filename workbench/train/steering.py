"""What a person decided while a training ran, as part of its course: a function of the step, like the schedule.

    {"step": 400, "decay": "now"}            the rate falls from step 400 on, and the training ends with it
    {"step": 400, "learning_rate": 3e-4}     from step 400 on that is the peak rate
    {"step": 400, "eval_every_steps": 50}    from step 400 on it is measured so often: no rate is another for it

A decision is kept in the training state with the step it was taken at. So an interrupted training goes on to the same
bits, and equal decisions at equal steps give equal weights. Knows no files and no requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.train.schedule import cooldown

Decision = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trajectory:
    """How many steps there are, and the share of the recipe's peak rate at each."""

    num_steps: int
    factor_at: Callable[[int], float]
    decay_from: int | None = None


def steered(
    factor_at: Callable[[int], float],
    decisions: Sequence[Decision],
    *,
    num_steps: int,
    learning_rate: float,
    decay_ratio: float,
    floor: float,
) -> Trajectory:
    """The course of a training planned for `num_steps` with `factor_at`, as `decisions` changed it.

    A decay takes `decay_ratio` of the steps before it, so that a training stopped early gets as long a decay as one of
    that length would have had; from the rate that was reached along `cooldown`. learning_rate: the recipe's peak.
    """
    decay_from = next((int(each["step"]) for each in decisions if "decay" in each), None)
    decay_steps = 0 if decay_from is None else max(1, round(decay_ratio * decay_from))

    def factor(step: int) -> float:
        share = 1.0
        for each in decisions:
            if "learning_rate" in each and each["step"] <= step:
                share = each["learning_rate"] / learning_rate
        if decay_from is None or step < decay_from:
            return share * factor_at(step)
        return share * factor_at(decay_from) * cooldown((step - decay_from) / decay_steps, floor=floor)

    if decay_from is not None:
        num_steps = decay_from + decay_steps
    return Trajectory(num_steps, factor if decisions else factor_at, decay_from)
