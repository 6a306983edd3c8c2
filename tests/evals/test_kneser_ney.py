"""Kneser-Ney against the textbook's formulas by dictionaries, and against the axioms of probability."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.evals.kneser_ney import KneserNey

BOS = 0
Gram = tuple[int, ...]


class Slow:
    """Chen & Goodman's interpolated modified Kneser-Ney, said with sets and dictionaries."""

    def __init__(self, documents: list[list[int]], *, vocab_size: int, order: int) -> None:
        self.order, self.vocab_size = order, vocab_size
        self.counts: list[dict[Gram, int]] = [defaultdict(int) for _ in range(order + 1)]
        left: list[dict[Gram, set[int]]] = [defaultdict(set) for _ in range(order + 1)]
        for document in documents:
            padded = [BOS] * (order - 1) + document
            for end in range(order - 1, len(padded)):
                self.counts[order][tuple(padded[end - order + 1 : end + 1])] += 1
                for k in range(1, order):
                    left[k][tuple(padded[end - k + 1 : end + 1])].add(padded[end - k])
        for k in range(1, order):
            self.counts[k] = {gram: len(tokens) for gram, tokens in left[k].items()}

    def discount(self, k: int, count: int) -> float:
        n = [sum(c == size for c in self.counts[k].values()) for size in range(5)]
        if min(n[1:5]) > 0:
            y = n[1] / (n[1] + 2 * n[2])
            found = [0.0, *(size - (size + 1) * y * n[size + 1] / n[size] for size in (1, 2, 3))]
            if all(0 < found[size] <= size for size in (1, 2, 3)):
                return found[min(count, 3)]
        return [0.0, 0.5, 1.0, 1.5][min(count, 3)]

    def probability(self, context: Gram, token: int, k: int | None = None) -> float:
        k = self.order if k is None else k
        if k == 0:
            return 1 / (self.vocab_size - 1)
        history = context[len(context) - (k - 1) :]
        followers = {gram[-1]: c for gram, c in self.counts[k].items() if gram[:-1] == history}
        lower = self.probability(context, token, k - 1)
        if not followers:
            return lower
        total = sum(followers.values())
        count = followers.get(token, 0)
        kept = max(count - self.discount(k, count), 0)
        left_over = sum(self.discount(k, c) for c in followers.values())
        return (kept + left_over * lower) / total


def stream(documents: list[list[int]]) -> np.ndarray:
    return np.array([token for document in documents for token in (BOS, *document)], dtype=np.int32)


documents_strategy = st.lists(st.lists(st.integers(1, 5), max_size=30), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(train=documents_strategy, test=documents_strategy, order=st.integers(1, 4))
def test_equals_the_slow_reference(train: list[list[int]], test: list[list[int]], order: int) -> None:
    vocab_size = 8  # ids 6 and 7 are never seen
    model = KneserNey(stream(train), bos_id=BOS, vocab_size=vocab_size, order=order)
    slow = Slow(train, vocab_size=vocab_size, order=order)
    expected = []
    for document in test:
        padded = (BOS,) * (order - 1) + tuple(document)
        for end in range(order - 1, len(padded)):
            expected.append(math.log(slow.probability(padded[end - order + 1 : end], padded[end])))
    np.testing.assert_allclose(model.log_likelihoods(stream(test)), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_sum_to_one(order: int) -> None:
    rng = np.random.default_rng(order)
    train = [list(rng.integers(1, 5, size=40)) for _ in range(20)]
    model = KneserNey(stream(train), bos_id=BOS, vocab_size=7, order=order)
    for context in ([], [1], [2, 3], [4, 4, 4], [6], [1, 6, 2, 3, 1]):
        log_p = [model.log_likelihoods(stream([[*context, token]]))[-1] for token in range(1, 7)]
        assert np.exp(log_p).sum() == pytest.approx(1.0, abs=1e-12)


def test_knows_what_it_has_seen() -> None:
    train = [[1, 2, 3, 4]] * 50 + [[4, 3, 2, 1]] * 50
    model = KneserNey(stream(train), bos_id=BOS, vocab_size=6, order=3)
    seen, unseen = model.log_likelihoods(stream([[1, 2, 3, 4], [1, 3, 2, 4]])).reshape(2, 4)
    assert seen[1:].min() > math.log(0.9)
    assert unseen[1:].max() < seen[1:].min()
