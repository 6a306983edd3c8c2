"""The phases of a learning rate: where the schedule itself says that the peak is reached and left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.learning_rate import Phases, Shape, phases_of
from workbench.train.schedule import make_schedule


def test_wsd_decays_in_its_last_part_and_the_others_after_the_warmup() -> None:
    phases = phases_of("wsd", num_steps=100, warmup_steps=10, decay_ratio=0.2)
    assert (phases.warmup_steps, phases.decay_from) == (10, 80)
    for shape in ("linear", "cosine", "inverse_sqrt"):
        assert phases_of(shape, num_steps=100, warmup_steps=10) == Phases(100, 10, 90)  # type: ignore[arg-type]


def test_a_long_warmup_is_cut_and_what_does_not_fall_decays_at_the_end() -> None:
    assert phases_of("linear", num_steps=50, warmup_steps=20).warmup_steps == 5
    assert phases_of("wsd", num_steps=50, decay_ratio=0.0).decay_from == 50
    assert phases_of("cosine", num_steps=50).warmup_steps == 0


@given(
    shape=st.sampled_from(["linear", "cosine", "wsd", "inverse_sqrt"]),
    num_steps=st.integers(1, 500),
    warmup_steps=st.integers(0, 600),
    decay_ratio=st.floats(0, 1),
)
def test_between_the_phases_the_schedule_is_at_its_peak_and_nowhere_else(
    shape: Shape, num_steps: int, warmup_steps: int, decay_ratio: float
) -> None:
    how = {"num_steps": num_steps, "warmup_steps": warmup_steps, "decay_ratio": decay_ratio}
    phases, factor_at = phases_of(shape, **how), make_schedule(shape, **how)
    for step in range(num_steps):
        factor = factor_at(step)
        if step < phases.warmup_steps - 1 or step > phases.decay_from:
            assert factor < 1
        elif phases.warmup_steps <= step < phases.decay_from:
            assert factor == pytest.approx(1)
