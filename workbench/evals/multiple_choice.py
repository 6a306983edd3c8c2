"""Multiple choice by likelihood: the candidate the model finds most likely is its answer.

`acc` compares ln p of the whole continuations; `acc_norm` divides by their UTF-8 bytes, so that a short
candidate has no advantage (the names are lm-evaluation-harness's; it divides by characters). Where only the
contexts differ, the two are the same. Knows questions and passages; not where questions come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.data.conversations import Message
from workbench.data.questions import Question
from workbench.evals import passages
from workbench.evals.likelihood import Passage
from workbench.evals.metric import Metric, share
from workbench.evals.subject import Subject


@dataclass(frozen=True, slots=True)
class MultipleChoice:
    """Shares of questions answered rightly: by raw and by length-normalised log-likelihood."""

    acc: Metric
    acc_norm: Metric


def answer_questions(subject: Subject, questions: Sequence[Question]) -> MultipleChoice:
    """How often the right candidate is the most likely one, with standard errors."""
    candidates = [
        _passage(subject, question, number)
        for question in questions
        for number in range(len(question.contexts))
    ]
    totals = subject.log_likelihoods(candidates)
    raw, normalised, at = [], [], 0
    for question in questions:
        scores = totals[at : at + len(question.contexts)]
        at += len(scores)
        lengths = np.array([max(1, len(text.encode())) for text in question.continuations])
        raw.append(credit(scores, question.gold))
        normalised.append(credit(scores / lengths, question.gold))
    return MultipleChoice(acc=share(raw), acc_norm=share(normalised))


def credit(scores: NDArray[np.float64], gold: int) -> float:
    """1 where the gold candidate scores best, 0 where it does not; a tie is shared, so order cannot help."""
    best = scores == scores.max()
    return float(best[gold]) / int(best.sum())


def _passage(subject: Subject, question: Question, number: int) -> Passage:
    context, text = question.contexts[number], question.continuations[number]
    if not question.chat:
        return passages.continuation(subject.tokenizer, context, text)
    if subject.chats:
        return passages.reply(subject.tokenizer, [Message("user", context)], text)
    # A model that never saw the chat format reads question and answer as two paragraphs of a text.
    return passages.continuation(subject.tokenizer, f"{context}\n\n", text)
