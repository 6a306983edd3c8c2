from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from workbench.corpus.exact_duplicates import NOT_REMOVED, ExactDuplicates, folded_digests


def kept_for(
    folder: Path, texts: list[str], order: list[int], seen: int = 0, memory_bytes: int = 1 << 20
) -> list[int]:
    with ExactDuplicates(folder, memory_bytes=memory_bytes) as exact:
        for number in order:
            exact.add(np.array([number]), folded_digests([texts[number]]), seen=number < seen)
        assert sum(1 for _ in exact.decide()) >= bool(texts)
        found = exact.kept_for(np.arange(len(texts) + 1))
    assert not folder.exists()
    assert found[-1] == NOT_REMOVED
    return found[:-1].tolist()


def test_texts_are_equal_after_case_and_white_space_are_folded() -> None:
    digests = folded_digests(["A  b\n", "a B", "a, b", "ẞ", "ss", "\ud800"])
    assert (digests[0] == digests[1]).all() and (digests[3] == digests[4]).all()
    assert len({tuple(each) for each in digests.tolist()}) == 4
    assert folded_digests([]).shape == (0, 2)


@pytest.mark.parametrize("memory_bytes", [1, 1 << 20])
def test_the_first_stays_whatever_order_they_come_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory_bytes: int
) -> None:
    monkeypatch.setattr("workbench.corpus.sorted_records._SMALLEST_READ", 5)
    draw = random.Random(0)
    texts = [f"Text {draw.randrange(30)}" for _ in range(100)]
    wanted = [texts.index(text) if texts.index(text) != at else -1 for at, text in enumerate(texts)]
    shuffled = draw.sample(range(100), 100)
    assert kept_for(tmp_path / "exact", texts, shuffled, memory_bytes=memory_bytes) == wanted


def test_what_was_seen_before_stays(tmp_path: Path) -> None:
    texts = ["a", "a", "b", "a", "b"]
    assert kept_for(tmp_path / "exact", texts, [4, 3, 2, 1, 0], seen=2) == [-1, -1, -1, 0, 2]
    assert kept_for(tmp_path / "exact", [], []) == []
