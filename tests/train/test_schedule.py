"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.train.schedule import cosine, linear, make_schedule, steps_without_end


def test_warmup_is_straight_and_ends_at_the_peak() -> None:
    factor_at = make_schedule("linear", num_steps=100, warmup_steps=4)
    assert [factor_at(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_linear_decay_ends_one_step_above_its_floor() -> None:
    factor_at = make_schedule("linear", num_steps=10, floor=0.1)
    assert factor_at(0) == 1.0
    assert factor_at(9) == pytest.approx(0.1 + 0.9 * 0.1)


def test_cosine_is_half_way_down_in_the_middle() -> None:
    assert cosine(0.5, floor=0.2) == pytest.approx(0.6)
    assert cosine(0.25) == pytest.approx(0.5 * (1 + math.sqrt(0.5)))
    assert cosine(1.0, floor=0.2) == linear(1.0, floor=0.2) == pytest.approx(0.2)


def test_wsd_is_flat_until_its_last_part() -> None:
    factor_at = make_schedule("wsd", num_steps=100, warmup_steps=10, floor=0.1, decay_ratio=0.2)
    assert [factor_at(step) for step in (0, 9, 10, 79, 80)] == [0.1, 1.0, 1.0, 1.0, 1.0]
    assert factor_at(85) == pytest.approx(0.1 + 0.9 * 0.5)
    assert 0.1 < factor_at(99) < 0.13
    assert [make_schedule("wsd", num_steps=10, decay_ratio=0)(step) for step in range(10)] == [1.0] * 10


def test_inverse_sqrt_halves_after_four_times_the_warmup() -> None:
    factor_at = make_schedule("inverse_sqrt", num_steps=1000, warmup_steps=10)
    assert factor_at(9) == factor_at(8) + 0.1 == pytest.approx(1.0)
    assert factor_at(39) == pytest.approx(0.5)
    assert make_schedule("inverse_sqrt", num_steps=1000, floor=0.3)(999) == 0.3


@given(
    shape=st.sampled_from(["linear", "cosine", "wsd", "inverse_sqrt"]),
    num_steps=st.integers(1, 500),
    warmup_steps=st.integers(0, 600),
    floor=st.floats(0, 1),
)
def test_every_step_learns_and_the_peak_is_reached(
    shape: str, num_steps: int, warmup_steps: int, floor: float
) -> None:
    factor_at = make_schedule(shape, num_steps=num_steps, warmup_steps=warmup_steps, floor=floor)  # type: ignore[arg-type]
    factors = [factor_at(step) for step in range(num_steps)]
    assert all(0 < factor <= 1 for factor in factors)
    assert max(factors) == 1.0
    peak = factors.index(1.0)
    assert factors[:peak] == sorted(factors[:peak])
    assert all(
        later <= earlier + 1e-12 for earlier, later in zip(factors[peak:], factors[peak + 1 :], strict=False)
    )


@given(
    shape=st.sampled_from(["linear", "cosine", "wsd", "inverse_sqrt"]),
    num_steps=st.integers(1, 300),
    more=st.integers(1, 300),
    warmup_steps=st.integers(0, 40),
    decay_ratio=st.floats(0, 1),
)
def test_steps_without_end_are_those_that_a_longer_training_shares(
    shape: Any, num_steps: int, more: int, warmup_steps: int, decay_ratio: float
) -> None:
    how = {"shape": shape, "warmup_steps": warmup_steps, "decay_ratio": decay_ratio}
    shared = steps_without_end(num_steps=num_steps, **how)
    shorter, longer = (make_schedule(num_steps=steps, **how) for steps in (num_steps, num_steps + more))
    assert [shorter(step) for step in range(shared)] == [longer(step) for step in range(shared)]
    if shape == "inverse_sqrt" and warmup_steps <= num_steps // 10:
        assert shared == num_steps
