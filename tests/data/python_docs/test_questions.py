"""Questions about symbols that were held out, and the baseline that only knows how to spell."""

from __future__ import annotations

import pytest

from workbench.data.python_docs import (
    Symbol,
    everyday_questions,
    heldout_prompts,
    lexical_overlap_choice,
    name_questions,
)
from workbench.data.questions import Question


def name_in(context: str) -> str:
    return context.split("`")[1]


@pytest.mark.parametrize("hard", [False, True])
def test_four_different_heldout_names_and_one_summary(hard: bool, by_name: dict[str, Symbol]) -> None:
    questions = name_questions(hard=hard)
    assert len(questions) >= 100
    assert len({question.continuations[0] for question in questions}) == len(questions)
    for question in questions:
        names = [name_in(context) for context in question.contexts]
        assert len(set(names)) == 4 and question.chat
        assert all(by_name[name].heldout for name in names)
        assert question.continuations == (by_name[names[question.gold]].summary,) * 4
        assert sum(by_name[name].summary == question.continuations[0] for name in names) == 1
        if hard:
            assert len({by_name[name].module.partition(".")[0] for name in names}) == 1


def test_gold_stands_anywhere_and_the_seed_and_limit_decide() -> None:
    questions = name_questions(hard=False)
    assert {question.gold for question in questions} == {0, 1, 2, 3}
    assert name_questions(hard=False, limit=20) == questions[:20]
    assert name_questions(hard=False, seed=1) != questions


def test_spelling_alone_goes_far_and_less_far_when_it_is_hard() -> None:
    def accuracy(questions: list[Question]) -> float:
        return sum(lexical_overlap_choice(q) == q.gold for q in questions) / len(questions)

    easy, hard = accuracy(name_questions(hard=False)), accuracy(name_questions(hard=True))
    assert 0.7 < easy < 0.97
    assert 0.55 < hard < easy


def test_overlap_reads_camel_case_and_word_stems() -> None:
    contexts = ("What does `a.closeFile` do?", "What does `a.IMAPReader` do?", "What does `a.copy_tree` do?")
    for gold, reply in enumerate(("Closes an open file.", "Reading over IMAP.", "Copying whole trees.")):
        assert lexical_overlap_choice(Question("q", contexts, (reply,) * 3, gold, chat=True)) == gold


def test_everyday_questions_and_heldout_prompts(by_name: dict[str, Symbol]) -> None:
    everyday = everyday_questions()
    assert len(everyday) >= 300
    assert ("What does `len` do?", "Return the number of items in a container.") in everyday
    prompts = heldout_prompts()
    assert len(prompts) >= 150
    assert all(by_name[name_in(prompt)].heldout for prompt in prompts)
    assert not {each.prompt for each in everyday} & set(prompts)
