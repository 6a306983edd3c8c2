"""Windows score every token once and with enough before it; scores land where they belong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.evals.likelihood import Passage, token_log_likelihoods, windows
from workbench.model.transformer import Decoder


@given(length=st.integers(1, 400), scored_from=st.integers(1, 400), context_length=st.integers(2, 100))
def test_windows_score_each_token_once(length: int, scored_from: int, context_length: int) -> None:
    plan = list(windows(Passage([0] * length, scored_from), 0, context_length=context_length))
    scored = [token for window in plan for token in range(window.scored_from, window.stop)]
    assert scored == list(range(scored_from, length))
    for window in plan:
        assert 1 <= window.num_inputs <= context_length
        before = window.scored_from - window.start
        assert before >= min(window.scored_from, context_length // 2)


def test_scores_are_those_of_the_model(model: Decoder) -> None:
    passages = [Passage([0, 5, 9, 7, 3], scored_from=3), Passage([0, 4]), Passage([0, 8, 8], scored_from=2)]
    scores = token_log_likelihoods(model, passages, context_length=64)
    for passage, found in zip(passages, scores, strict=True):
        log_p = torch.log_softmax(model(torch.tensor([list(passage.ids)]))[0], -1).detach().numpy()
        expected = [log_p[at - 1, passage.ids[at]] for at in range(passage.scored_from, len(passage.ids))]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_nothing_to_score_is_no_score(model: Decoder) -> None:
    assert [len(part) for part in token_log_likelihoods(model, [Passage([0])], context_length=8)] == [0]
    assert token_log_likelihoods(model, [], context_length=8) == []


def test_the_first_token_has_nothing_before_it() -> None:
    with pytest.raises(AssertionError, match="nothing before"):
        Passage([0, 1], scored_from=0)
