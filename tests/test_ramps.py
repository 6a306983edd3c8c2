"""Growing batches and rows: the tokens stay, the steps follow, any step is found without those before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.ramps import Doubling, Stretch, batch_sizes, doublings
from workbench.recipe import Pretrain


def test_without_ramps_there_is_one_stretch() -> None:
    sizes = batch_sizes(tokens=1_000_000, batch_tokens=2048, context_length=256)
    assert sizes.stretches == [Stretch(488, 2048, 256)]
    assert (sizes.num_steps, sizes.tokens) == (488, 488 * 2048)
    assert sizes.at(10_000) == sizes.stretches[0] and sizes.tokens_before(10_000) == 10_000 * 2048


def test_each_size_reads_an_equal_part_until_the_share() -> None:
    sizes = batch_sizes(
        tokens=1_000_000,
        batch_tokens=2048,
        context_length=256,
        batch_ramp=Doubling(512, 0.3),
        context_ramp=Doubling(64, 0.6),
    )
    assert [(each.batch_tokens, each.context_length) for each in sizes.stretches] == [
        (512, 64),  # to 0.15
        (1024, 64),  # to 0.3
        (2048, 128),  # to 0.6
        (2048, 256),
    ]
    ends = [0.15, 0.3, 0.6, 1.0]
    steps = 0
    for stretch, end in zip(sizes.stretches, ends, strict=True):
        steps += stretch.num_steps
        assert abs(sizes.tokens_before(steps) - end * 1_000_000) <= stretch.batch_tokens


@given(
    st.integers(1, 400),
    st.one_of(st.none(), st.tuples(st.sampled_from([1, 2, 4]), st.floats(0.01, 1))),
    st.one_of(st.none(), st.tuples(st.sampled_from([2, 4, 8]), st.floats(0.01, 1))),
)
def test_the_tokens_stay_and_steps_add_up(
    batches: int, batch: tuple[int, float] | None, context: tuple[int, float] | None
) -> None:
    sizes = batch_sizes(
        tokens=batches * 128 + 5,
        batch_tokens=128,
        context_length=16,
        batch_ramp=batch and Doubling(16 * batch[0], batch[1]),
        context_ramp=context and Doubling(16 // context[0], context[1]),
    )
    assert batches * 128 - 128 < sizes.tokens <= batches * 128 + 5
    read = 0
    for step in range(sizes.num_steps):
        assert sizes.tokens_before(step) == read
        read += sizes.at(step).batch_tokens
    assert read == sizes.tokens == sizes.tokens_before(sizes.num_steps)
    grown = [(each.batch_tokens, each.context_length) for each in sizes.stretches]
    assert grown == sorted(grown)


@pytest.mark.parametrize(
    ("start", "final", "times"), [(64, 256, 2), (256, 256, 0), (3, 256, None), (512, 256, None)]
)
def test_doublings(start: int, final: int, times: int | None) -> None:
    assert doublings(start, final) == times


def test_a_batch_that_begins_another_phase_is_told() -> None:
    """Rows of 256 in batches of 8; a phase ends within batch 3, another with the last row of batch 6."""
    curriculum = [{"until": 0.35, "mixture": {"a": 2}}, {"until": 0.7, "mixture": {"a": 3}}]
    settings = Pretrain.model_validate({"tokens": 10 * 2048, "curriculum": curriculum})
    assert [batch for batch in range(12) if settings.begins_another_phase(batch)] == [3, 7]
    assert not any(map(Pretrain(tokens=10 * 2048).begins_another_phase, range(12)))
