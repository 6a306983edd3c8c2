"""Steps whose checkpoints are kept for good. A function of the settings: nothing needs to be remembered."""

from __future__ import annotations

from collections.abc import Sequence


def milestone_steps(
    milestones: Sequence[int | float], *, keep_every_steps: int | None, num_steps: int
) -> frozenset[int]:
    """The steps, 1 to num_steps, that `milestones` (a step, or a share of all steps) and a period name."""
    named = {each if isinstance(each, int) else round(each * num_steps) for each in milestones}
    periodic = range(keep_every_steps, num_steps + 1, keep_every_steps) if keep_every_steps else ()
    return frozenset(step for step in {*named, *periodic} if 1 <= step <= num_steps)
