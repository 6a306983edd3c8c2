from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workbench.data.sample import spread_sample


@given(st.lists(st.text()), st.integers(1, 60), st.randoms())
def test_the_same_texts_in_any_order_give_the_same_sample(
    texts: list[str], limit: int, random: object
) -> None:
    shuffled = list(texts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert spread_sample(shuffled, max_bytes=limit) == spread_sample(texts, max_bytes=limit)


@given(st.lists(st.text()), st.integers(1, 60))
def test_never_more_than_asked(texts: list[str], limit: int) -> None:
    assert sum(len(text.encode()) for text in spread_sample(texts, max_bytes=limit)) <= limit


def test_all_of_a_small_corpus_once() -> None:
    assert sorted(spread_sample(["b", "a", "", "b"], max_bytes=1000)) == ["a", "b"]


def test_spread_over_the_whole_stream() -> None:
    sample = spread_sample((f"document {i:05d}" for i in range(10_000)), max_bytes=14 * 1000)
    assert len(sample) == 1000
    by_tenth = [sum(int(text[-5:]) // 1000 == tenth for text in sample) for tenth in range(10)]
    assert min(by_tenth) > 60


def test_a_giant_text_is_only_a_part() -> None:
    sample = spread_sample(["é" * 1000, "small"], max_bytes=80)
    assert sorted(sample) == ["small", "é" * 5]
