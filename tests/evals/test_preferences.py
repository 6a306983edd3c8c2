"""Preference accuracy of rigged models, with and without a reference, against the definition by hand."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from workbench.data.conversations import Message
from workbench.data.preferences import Preference
from workbench.evals import passages
from workbench.evals.preferences import pair_log_likelihoods, preference_accuracy
from workbench.evals.subject import Subject
from workbench.tokenizer import Tokenizer

PAIRS = [
    Preference(str(number), (Message("user", f"question {number}?"),), chosen, rejected)
    for number, (chosen, rejected) in enumerate(
        [("The dog.", "A fox."), ("Open a file.", "x"), ("é", "A cat.")]
    )
]


def test_a_model_that_knows_the_chosen_replies(chain: type, tokenizer: Tokenizer) -> None:
    told = [passages.reply(tokenizer, pair.prompt, pair.chosen).ids for pair in PAIRS]
    size = tokenizer.vocab_size
    knowing = Subject(chain.that_says(told, vocab_size=size), tokenizer, context_length=512)
    even = Subject(chain(torch.full((size, size), -math.log(size))), tokenizer, context_length=512)
    found = preference_accuracy(knowing, PAIRS, reference=even)
    assert found.likelihood_acc.value == 1.0
    assert found.margin_acc is not None
    assert (found.margin_acc.value, found.margin_acc.n) == (1.0, 3)
    reverse = preference_accuracy(even, PAIRS, reference=knowing)
    assert reverse.margin_acc is not None
    assert reverse.margin_acc.value == 0.0


def test_margins_are_those_of_the_definition(subject: Subject) -> None:
    torch.manual_seed(1)
    other = copy.deepcopy(subject.model)
    for parameter in other.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    reference = Subject(other, subject.tokenizer, context_length=64)
    wins = []
    for pair in PAIRS:
        margin = 0.0
        for sign, reply in ((1, pair.chosen), (-1, pair.rejected)):
            passage = passages.reply(subject.tokenizer, pair.prompt, reply)
            ids = torch.tensor([passage.ids])
            for weight, model in ((sign, subject.model), (-sign, other)):
                log_p = torch.log_softmax(model(ids)[0].detach(), -1)
                scored = range(passage.scored_from, len(passage.ids))
                margin += weight * sum(float(log_p[at - 1, passage.ids[at]]) for at in scored)
        wins.append(margin > 0)
    found = preference_accuracy(subject, PAIRS, reference=reference)
    assert found.margin_acc is not None
    assert found.margin_acc.value == pytest.approx(np.mean(wins))


def test_without_a_reference_there_is_no_margin(subject: Subject) -> None:
    assert preference_accuracy(subject, PAIRS).margin_acc is None
    assert pair_log_likelihoods(subject, PAIRS).shape == (3, 2)
