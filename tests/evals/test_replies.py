"""Greedy replies of a model that learned one by heart; the word measure; the form."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.conversations import Message
from workbench.evals.replies import Reply, greedy_replies, looks_like_an_answer, word_f1
from workbench.evals.subject import Subject
from workbench.model.transformer import Decoder
from workbench.tokenizer import Tokenizer, render

PROMPT = [Message("user", "What does it do?")]
ANSWER = "Open a file, quickly."


@pytest.fixture(scope="module")
def parrot(model: Decoder, tokenizer: Tokenizer) -> Subject:
    """A model trained until it says ANSWER to PROMPT."""
    parrot = copy.deepcopy(model)
    for parameter in parrot.parameters():
        torch.nn.init.normal_(parameter, std=0.1) if parameter.ndim > 1 else torch.nn.init.ones_(parameter)
    rendered = render(tokenizer, [*PROMPT, Message("assistant", ANSWER)])
    ids = torch.tensor([rendered.ids])
    learned = torch.tensor(rendered.learned[1:])
    optimizer = torch.optim.Adam(parrot.parameters(), lr=1e-2)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(parrot(ids)[0, :-1][learned], ids[0, 1:][learned])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Subject(parrot, tokenizer, context_length=64)


def test_a_learned_reply_comes_back_and_stops(parrot: Subject) -> None:
    assert greedy_replies(parrot, [PROMPT, PROMPT], max_new_tokens=30) == [Reply(ANSWER, stopped=True)] * 2


def test_a_reply_cut_by_the_limit_did_not_stop(parrot: Subject) -> None:
    (reply,) = greedy_replies(parrot, [PROMPT], max_new_tokens=3)
    assert not reply.stopped
    assert reply.text
    assert ANSWER.startswith(reply.text)


def test_word_f1_by_hand() -> None:
    assert word_f1("Return the list.", "return THE list") == 1.0
    assert word_f1("the the cat", "the cat sat") == pytest.approx(2 / 3)  # two of three words on each side
    assert word_f1("a b", "c d") == word_f1("", "c") == word_f1("...", "...") == 0.0


@given(st.text(), st.text())
def test_word_f1_is_a_share_and_symmetric(one: str, two: str) -> None:
    assert 0 <= word_f1(one, two) <= 1
    assert word_f1(one, two) == pytest.approx(word_f1(two, one))


@pytest.mark.parametrize(
    ("text", "stopped", "right"),
    [
        ("Return a list of names.", True, True),
        ("`os.walk(top)` yields tuples (with names).", True, True),
        ('Is it "done"?', True, True),
        ("Return a list of names.", False, False),
        ("Return a list of", True, False),
        ("", True, False),
        ("No.", True, False),
        (", and so on it goes.", True, False),
    ],
)
def test_form(text: str, stopped: bool, right: bool) -> None:
    assert looks_like_an_answer(Reply(text, stopped)) is right
