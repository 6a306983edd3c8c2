from __future__ import annotations

import pytest

from workbench.train.milestones import milestone_steps


@pytest.mark.parametrize(
    ("milestones", "every", "steps"),
    [
        ((), None, set()),
        ((10, 0.5, 0.999), None, {10, 20, 40}),
        ((), 15, {15, 30}),
        ((41, 0.001), 50, set()),  # after the end, before the first
        ((15,), 15, {15, 30}),
    ],
)
def test_milestones_of_forty_steps(
    milestones: tuple[int | float, ...], every: int | None, steps: set[int]
) -> None:
    assert milestone_steps(milestones, keep_every_steps=every, num_steps=40) == steps
