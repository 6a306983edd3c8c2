"""The split is a fact about a key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.split import is_heldout


@pytest.mark.parametrize("fraction", [0.02, 0.25])
def test_the_share_is_close_to_the_fraction(fraction: float) -> None:
    share = sum(is_heldout(f"key-{number}", fraction) for number in range(20_000)) / 20_000
    assert share == pytest.approx(fraction, abs=0.01)


@given(st.text())
def test_a_larger_fraction_only_adds(key: str) -> None:
    assert is_heldout(key, 1.0)
    assert not is_heldout(key, 0.0)
    assert is_heldout(key, 0.5) or not is_heldout(key, 0.1)


def test_the_answer_never_changes() -> None:
    """These are promises: a document must not cross over between versions."""
    held = [name for name in "abcdefghijklmnopqrstuvwxyz" if is_heldout(name, 0.2)]
    assert held == ["e", "f", "p", "q", "u", "y"]


def test_a_key_with_a_lone_surrogate_has_a_side() -> None:
    assert isinstance(is_heldout("\ud800", 0.5), bool)
