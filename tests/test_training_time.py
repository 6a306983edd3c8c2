"""The time of a training from its parts: every part counts, as often as it comes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from workbench.training_time import PartSeconds, StepsLeft, sampling_seconds, seconds_of

LEFT = StepsLeft(
    last=100, full_steps=100.0, eval_every_steps=30, sample_every_steps=10, save_every_seconds=10.0
)


@pytest.mark.parametrize(
    ("part", "times"),
    [
        ("step", 100),
        ("evaluation", 4),  # 30, 60, 90 and the end
        ("samples", 10),
        ("rest", 1),
    ],
)
def test_every_part_counts_as_often_as_it_comes(part: str, times: int) -> None:
    nothing = PartSeconds(step=0.0)
    assert seconds_of(dataclasses.replace(nothing, **{part: 0.25}), LEFT) == times * 0.25


def test_checkpoints_come_by_the_clock_as_rarely_as_keeps_them_to_their_share_and_with_every_evaluation() -> (
    None
):
    for save, by_the_clock in ((0.1, 20), (1.0, 4)):  # every 10 s; every 50 s
        parts = PartSeconds(step=2.0, save=save)
        assert seconds_of(parts, LEFT) == pytest.approx(200 + (by_the_clock + 4) * save)


def test_what_is_done_does_not_come_again() -> None:
    for done, evaluations in ((0, 4), (29, 4), (30, 3), (90, 1), (99, 1), (100, 0)):
        left = dataclasses.replace(LEFT, done=done)
        assert left.rounds(30) == evaluations


def test_samples_come_with_evaluations_where_they_have_no_period() -> None:
    left = dataclasses.replace(LEFT, sample_every_steps=None)
    assert seconds_of(PartSeconds(step=0.0, samples=1.0), left) == 4


def test_where_batches_grow_steps_count_by_their_size() -> None:
    left = dataclasses.replace(LEFT, full_steps=60.0)
    assert seconds_of(PartSeconds(step=1.0), left) == 60.0


@pytest.mark.parametrize(
    ("change", "longer"),
    [
        ({"tokens": 64}, True),
        ({"layers": 8}, True),
        ({"weight_bytes": 64_000_000}, True),
        ({"on_gpu": True}, False),
    ],
)
def test_a_reply_takes_longer_the_longer_it_and_the_larger_the_model_is(
    change: dict[str, Any], longer: bool
) -> None:
    small: dict[str, Any] = {"tokens": 48, "layers": 4, "weight_bytes": 16_000_000, "on_gpu": False}
    assert (sampling_seconds(**small | change) > sampling_seconds(**small)) is longer
