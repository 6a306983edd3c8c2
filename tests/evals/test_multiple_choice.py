"""Multiple choice on a model rigged to know the answers, to prefer short ones, or to know nothing."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from workbench.data.conversations import Message
from workbench.data.questions import Question
from workbench.evals import passages
from workbench.evals.metric import mean, share
from workbench.evals.multiple_choice import answer_questions, credit
from workbench.evals.subject import Subject
from workbench.tokenizer import Tokenizer, render

NAMES = Question(
    "names",
    contexts=("What does x do?", "What does y do?", "What does z do?"),
    continuations=("It waits.",) * 3,
    gold=1,
    chat=True,
)
WORDS = Question("words", contexts=("2 + 2 =",) * 3, continuations=(" 4", " 55555", " no"), gold=0)


def rigged(chain: type, tokenizer: Tokenizer, *told: list[int]) -> Subject:
    model = chain.that_says(told, vocab_size=tokenizer.vocab_size)
    return Subject(model, tokenizer, context_length=512)


def test_a_model_that_knows_is_right(chain: type, tokenizer: Tokenizer) -> None:
    whole = tokenizer.encode(WORDS.contexts[0] + WORDS.continuations[0])
    found = answer_questions(rigged(chain, tokenizer, whole), [WORDS])
    assert (found.acc.value, found.acc_norm.value, found.acc.n) == (1.0, 1.0, 1)
    wrong = answer_questions(rigged(chain, tokenizer, whole), [dataclasses.replace(WORDS, gold=2)])
    assert (wrong.acc.value, wrong.acc_norm.value) == (0.0, 0.0)


def test_length_counts_in_acc_and_not_in_acc_norm(tokenizer: Tokenizer, chain: type) -> None:
    """Every token is equally likely: the candidate of fewest tokens wins acc, that of most bytes a token acc_norm."""
    size = tokenizer.vocab_size
    even = Subject(chain(torch.full((size, size), -math.log(size))), tokenizer, context_length=512)
    short, long = "x", " the" * 5
    assert len(tokenizer.encode(long)) < len(long)
    question = Question("length", ("",) * 2, (short, long), gold=0)
    assert answer_questions(even, [question]).acc.value == 1.0
    assert answer_questions(even, [question]).acc_norm.value == 0.0


def test_a_tie_is_shared(chain: type, tokenizer: Tokenizer) -> None:
    size = tokenizer.vocab_size
    even = Subject(chain(torch.full((size, size), -math.log(size))), tokenizer, context_length=512)
    found = answer_questions(even, [NAMES])
    assert found.acc.value == found.acc_norm.value == pytest.approx(1 / 3)
    assert credit(np.array([1.0, 2.0, 2.0]), 2) == 0.5
    assert credit(np.array([1.0, 2.0, 2.0]), 0) == 0.0


def test_the_score_is_the_likelihood_of_the_reply_in_the_chat_format(subject: Subject) -> None:
    passage = passages.reply(subject.tokenizer, [Message("user", "Why?")], "Because.")
    full = render(subject.tokenizer, [Message("user", "Why?"), Message("assistant", "Because.")])
    log_p = torch.log_softmax(subject.model(torch.tensor([full.ids]))[0], -1).detach()
    expected = sum(float(log_p[at - 1, full.ids[at]]) for at, taught in enumerate(full.learned) if taught)
    assert subject.log_likelihoods([passage])[0] == pytest.approx(expected, rel=1e-5)
    assert passage.ids[-1] == subject.tokenizer.im_end_id


def test_a_model_without_chat_reads_plain_text(subject: Subject) -> None:
    plain = dataclasses.replace(subject, chats=False)
    question = dataclasses.replace(
        NAMES, contexts=tuple(f"{text}\n\n" for text in NAMES.contexts), chat=False
    )
    assert answer_questions(plain, [NAMES]) == answer_questions(subject, [question])


def test_a_token_across_the_border_is_scored_whole(tokenizer: Tokenizer) -> None:
    whole = tokenizer.encode("the dog")
    for cut in range(len("the dog")):
        passage = passages.continuation(tokenizer, "the dog"[:cut], "the dog"[cut:])
        assert list(passage.ids) == [tokenizer.bos_id, *whole]
        before = b"".join(tokenizer.token_bytes(token) for token in passage.ids[: passage.scored_from])
        assert len(before) <= cut


@pytest.mark.parametrize("batch_size", [1, 2, None])
def test_does_not_depend_on_the_batch(subject: Subject, batch_size: int | None) -> None:
    replies = [
        passages.continuation(subject.tokenizer, context, text)
        for question in (NAMES, WORDS)
        for context, text in zip(question.contexts, question.continuations, strict=True)
    ]
    found = dataclasses.replace(subject, batch_size=batch_size, batch_tokens=64).log_likelihoods(replies)
    np.testing.assert_allclose(found, subject.log_likelihoods(replies), rtol=1e-6)


def test_standard_errors() -> None:
    metric = share([True] * 3 + [False])
    assert (metric.value, metric.n) == (0.75, 4)
    assert metric.stderr == pytest.approx(math.sqrt(0.75 * 0.25 / 4))
    spread = mean([1.0, 2.0, 3.0, 6.0])
    assert (spread.value, spread.stderr) == (3.0, pytest.approx(np.std([1, 2, 3, 6], ddof=1) / 2))
    assert share([True]).to_json() == {"value": 1.0, "stderr": 0.306186, "n": 1}
    assert share([False] * 99).stderr == pytest.approx(math.sqrt(0.005 * 0.995 / 100))
    assert mean([2.5]).to_json() == {"value": 2.5, "stderr": None, "n": 1}
    assert share([True, False, False]).to_json()["value"] == 0.333333
