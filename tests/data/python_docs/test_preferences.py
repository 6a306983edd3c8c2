"""Preference pairs whose rejected reply is whole, wrong and of the same side of the split."""

from __future__ import annotations

from statistics import mean

import pytest

from workbench.data.preferences import Preference
from workbench.data.python_docs import Symbol, preferences
from workbench.data.python_docs.preferences import MAX_SIMILARITY
from workbench.data.python_docs.summary import similarity


@pytest.fixture(scope="module")
def pairs() -> list[Preference]:
    return list(preferences(seed=1))


def test_chosen_is_the_summary_and_rejected_is_another_whole_one(
    pairs: list[Preference], by_name: dict[str, Symbol]
) -> None:
    summaries = {
        heldout: {s.summary for s in by_name.values() if s.heldout == heldout} for heldout in (False, True)
    }
    for pair in pairs:
        symbol = by_name[pair.id.removeprefix("python-docs:")]
        assert pair.prompt[-1].role == "user" and f"`{symbol.name}`" in pair.prompt[-1].content
        assert pair.chosen == symbol.summary
        assert pair.heldout == symbol.heldout
        assert pair.rejected in summaries[symbol.heldout]
        assert similarity(pair.chosen, pair.rejected) <= MAX_SIMILARITY


def test_there_are_enough_on_both_sides_and_length_does_not_tell(pairs: list[Preference]) -> None:
    assert sum(not pair.heldout for pair in pairs) > 3_000
    assert sum(bool(pair.heldout) for pair in pairs) > 150
    chosen, rejected = mean(len(p.chosen) for p in pairs), mean(len(p.rejected) for p in pairs)
    assert chosen == pytest.approx(rejected, rel=0.05)


def test_the_seed_decides(pairs: list[Preference]) -> None:
    assert list(preferences(seed=1)) == pairs
    assert {p.id: p.rejected for p in preferences(seed=2)} != {p.id: p.rejected for p in pairs}
