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
    """For each question the credit it earned, 0 to 1: by raw and by length-normalised log-likelihood.

    chosen: the candidate with the best raw one, the right one where it shares the best.
    """

    raw: tuple[float, ...]
    normalised: tuple[float, ...]
    chosen: tuple[int, ...] = ()

    @property
    def acc(self) -> Metric:
        """The share answered rightly by raw log-likelihood."""
        return share(self.raw)

    @property
    def acc_norm(self) -> Metric:
        """The share answered rightly by log-likelihood per byte."""
        return share(self.normalised)


def answer_questions(subject: Subject, questions: Sequence[Question]) -> MultipleChoice:
    """Whether the right candidate is the most likely one, question by question."""
    candidates = [
        _passage(subject, question, number)
        for question in questions
        for number in range(len(question.contexts))
    ]
    totals = subject.log_likelihoods(candidates)
    raw, normalised, chosen, at = [], [], [], 0
    for question in questions:
        scores = totals[at : at + len(question.contexts)]
        at += len(scores)
        lengths = np.array([max(1, len(text.encode())) for text in question.continuations])
        raw.append(credit(scores, question.gold))
        chosen.append(question.gold if raw[-1] else int(scores.argmax()))
        normalised.append(credit(scores / lengths, question.gold))
    return MultipleChoice(tuple(raw), tuple(normalised), tuple(chosen))


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
