"""Curves keep the picture in bounded memory; smoothing, ranges and ticks are right."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.curves import Curve, by_column, focus_range, full_range, round_up, smoothed, snapped, ticks

values = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(values, min_size=1, max_size=300))
def test_a_full_curve_keeps_extremes_and_count(losses: list[float]) -> None:
    curve = Curve(capacity=16)
    for step, loss in enumerate(losses, start=1):
        curve.add(step, loss)
    points = curve.points()
    assert len(points) < 16 and sum(point.count for point in points) == len(losses)
    assert min(point.low for point in points) == min(losses)
    assert max(point.high for point in points) == max(losses)
    assert points[-1].step == len(losses)
    assert all(point.low - 1e-6 <= point.mean <= point.high + 1e-6 for point in points)


def test_a_step_seen_again_replaces_what_came_after_it() -> None:
    curve = Curve()
    for step in range(1, 11):
        curve.add(step, 1.0)
    curve.add(6, 9.0)
    assert [point.step for point in curve.points()] == [1, 2, 3, 4, 5, 6]
    assert curve.points()[-1].mean == 9.0


def test_not_a_number_is_remembered_and_not_drawn() -> None:
    curve = Curve()
    curve.add(1, 2.0)
    curve.add(2, math.nan)
    assert curve.broken_at == 2 and len(curve.points()) == 1


def test_smoothing_has_no_pull_to_zero_and_no_effect_at_zero() -> None:
    curve = Curve()
    for step in range(1, 50):
        curve.add(step, 5.0 if step < 25 else 3.0)
    assert smoothed(curve.points(), 0.98)[0] == pytest.approx(5.0)
    assert smoothed(curve.points(), 0.0) == [point.mean for point in curve.points()]


def test_a_merged_point_counts_as_its_steps() -> None:
    fine, coarse = Curve(), Curve(capacity=64)
    for step in range(1, 200):
        for curve in (fine, coarse):
            curve.add(step, 2.0 + math.exp(-step / 50))
    assert smoothed(coarse.points(), 0.9)[-1] == pytest.approx(smoothed(fine.points(), 0.9)[-1], abs=0.02)


def test_focus_gives_the_later_half_at_least_60_percent_of_the_height() -> None:
    losses = [2.6 + 9.4 * math.exp(-step / 200) for step in range(1000)]
    low, high = snapped(*focus_range(losses))
    late = losses[500:]
    assert (max(late) - min(late)) / (high - low) >= 0.6
    assert low <= min(late) and high >= max(late)


def test_a_loss_that_wavers_by_a_percent_does_not_fill_the_height() -> None:
    losses = [3.30 + 0.03 * math.cos(step) for step in range(400)]
    for chosen in (full_range, focus_range):
        low, high = snapped(*chosen(losses))
        assert (max(losses) - min(losses)) / (high - low) < 0.5
        assert low < min(losses) and max(losses) < high


def test_a_flat_curve_has_a_range() -> None:
    for chosen in (full_range, focus_range):
        low, high = chosen([2.0, 2.0])
        assert low < 2.0 < high


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(1, 12))
def test_ticks_are_few_round_and_inside(low: float, width: float, most: int) -> None:
    found = ticks(low, low + width, most)
    assert len(found) <= most
    slack = 1e-6 * max(1.0, abs(low), width)
    assert all(low - slack <= tick <= low + width + slack for tick in found)


def test_ticks_of_a_usual_range() -> None:
    assert ticks(2.0, 4.0, 4) == [2.0, 3.0, 4.0]
    assert ticks(1.0, 1.0, 4) == []


def test_a_column_keeps_its_extremes_and_never_changes_behind_the_newest_step() -> None:
    curve = Curve()
    for step in range(1, 1001):
        curve.add(step, 100.0 if step == 500 else 1.0)
    before = by_column(curve.points(), smoothed(curve.points(), 0.9), end=2000, columns=80)
    assert len(before) == 41 and max(sample.high for sample in before) == 100.0
    curve.add(1001, 3.0)
    after = by_column(curve.points(), smoothed(curve.points(), 0.9), end=2000, columns=80)
    assert after[:-1] == before[:-1] and after[-1].high == 3.0


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_snapped_limits_hold_the_range_and_little_more(low: float, width: float) -> None:
    high = low + width
    snapped_low, snapped_high = snapped(low, high)
    slack = 1e-6 * max(1.0, abs(low), width)
    assert snapped_low <= low + slack and snapped_high >= high - slack
    assert snapped_high - snapped_low <= 1.6 * width + slack


@pytest.mark.parametrize(
    ("step", "end"), [(1, 10), (11, 15), (99, 100), (400, 400), (401, 500), (20_014, 25_000)]
)
def test_the_axis_ends_at_a_round_step(step: int, end: int) -> None:
    assert round_up(step) == end
