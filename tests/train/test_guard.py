"""What counts as a spike, what does not, and that a guard goes on from another's memory."""

from __future__ import annotations

import json
import math
import random

import pytest

from workbench.train.guard import FEWEST, WINDOW, SpikeGuard


def calm(guard: SpikeGuard, steps: int = 2 * WINDOW) -> SpikeGuard:
    """A falling, noisy curve; nothing of it is a spike."""
    noise = random.Random(0)
    for step in range(steps):
        loss = 3 + 2 * math.exp(-step / 100) + noise.gauss(0, 0.1)
        assert guard.reason_to_skip(loss, noise.lognormvariate(0, 0.2)) == ""
    return guard


def test_an_ordinary_curve_has_no_spikes() -> None:
    calm(SpikeGuard(), 5_000)


def test_a_spike_of_either_figure_is_told_with_its_size() -> None:
    guard = calm(SpikeGuard())
    assert "the loss of 9 is" in guard.reason_to_skip(9.0, 1.0)
    reason = calm(SpikeGuard()).reason_to_skip(3.1, 400.0)
    assert reason.startswith("the gradient norm of 400 is") and "sigma above the usual 1.0" in reason


def test_nothing_is_unusual_before_enough_was_seen() -> None:
    guard = SpikeGuard()
    for _ in range(FEWEST - 1):
        guard.reason_to_skip(3.0, 1.0)
    assert guard.reason_to_skip(30.0, 1.0) == ""


def test_a_flat_curve_may_hiccup_and_a_fall_is_welcome() -> None:
    guard = SpikeGuard()
    for _ in range(WINDOW):
        guard.reason_to_skip(2.0, 1.0)
    assert guard.reason_to_skip(2.2, 2.0) == ""
    assert guard.reason_to_skip(2.5, 1.0)
    assert guard.reason_to_skip(0.1, 0.01) == ""


def test_a_lasting_change_becomes_the_usual() -> None:
    guard = calm(SpikeGuard())
    refused = sum(bool(guard.reason_to_skip(9.0, 1.0)) for _ in range(WINDOW))
    assert 1 <= refused < 12


@pytest.mark.parametrize("figure", [math.nan, math.inf])
def test_what_is_not_finite_is_refused_from_the_first_step_and_not_remembered(figure: float) -> None:
    guard = SpikeGuard()
    assert guard.reason_to_skip(figure, 1.0) == f"the loss is {figure}"
    assert guard.reason_to_skip(2.0, figure) == f"the gradient norm is {figure} (the loss 2)"
    assert guard.memory() == SpikeGuard().memory()


def test_a_guard_goes_on_from_anothers_memory() -> None:
    guard, other = calm(SpikeGuard()), SpikeGuard()
    guard.skips_in_a_row = 2
    other.remember(json.loads(json.dumps(guard.memory())))
    assert other.skips_in_a_row == 2
    for loss in (3.0, 3.3, 9.0, 3.0, 8.0):
        assert other.reason_to_skip(loss, 1.5) == guard.reason_to_skip(loss, 1.5)
    assert other.memory() == guard.memory()
