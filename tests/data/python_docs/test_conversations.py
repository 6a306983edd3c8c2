"""What the model is taught in conversations, and that nothing held out is among it."""

from __future__ import annotations

from collections import Counter

import pytest

from workbench.data.conversations import Conversation
from workbench.data.python_docs import Symbol, ask, conversations, read_describable


@pytest.fixture(scope="module")
def taught() -> list[Conversation]:
    return list(conversations(everyday_repeats=8, seed=1))


def turns(conversation: Conversation) -> list[tuple[str, str]]:
    contents = [message.content for message in conversation.messages]
    return list(zip(contents[::2], contents[1::2], strict=True))


def test_turns_alternate_and_are_not_empty(taught: list[Conversation]) -> None:
    for conversation in taught:
        roles = [message.role for message in conversation.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert all(message.content.strip() for message in conversation.messages)
    assert len({conversation.id for conversation in taught}) == len(taught)


def test_every_symbol_is_asked_about_with_the_canonical_question(taught: list[Conversation]) -> None:
    answers = {question: answer for c in taught for question, answer in turns(c)}
    for symbol in read_describable():
        assert answers[ask(symbol.name)] == symbol.summary


def test_everyday_symbols_are_repeated_in_several_phrasings(taught: list[Conversation]) -> None:
    summary = dict(turn for c in taught for turn in turns(c))[ask("shutil.copytree")]
    questions = Counter(q for c in taught for q, a in turns(c) if a == summary or summary in q)
    assert questions.total() == 8
    assert questions[ask("shutil.copytree")] == 4
    assert len(questions) >= 4
    once = [q for c in conversations(everyday_repeats=1) for q, a in turns(c) if a == summary or summary in q]
    assert once == [ask("shutil.copytree")]


def test_some_go_on_to_the_signature_and_some_ask_for_the_name(
    taught: list[Conversation], by_name: dict[str, Symbol]
) -> None:
    followed = [c for c in taught if len(c.messages) == 4 and "+" not in c.id]
    assert 0.1 < len(followed) / len(taught) < 0.3
    assert all("(" in c.messages[3].content for c in followed)
    which = [turn for c in taught for turn in turns(c) if turn[0].startswith("Which ")]
    assert len(which) > 500
    for question, answer in which:
        assert by_name[answer.strip("`")].summary in question


def test_some_conversations_ask_about_several_things(taught: list[Conversation]) -> None:
    strung = [c for c in taught if c.id.count("python-docs:") > 1]
    assert 0.1 < len(strung) / len(taught) < 0.3
    assert not any(c.heldout for c in strung)


def test_heldout_symbols_are_marked_and_say_nothing_in_training(
    taught: list[Conversation], symbols: list[Symbol]
) -> None:
    heldout = {symbol.name for symbol in symbols if symbol.heldout}
    for conversation in taught:
        assert conversation.heldout == (conversation.id.split(":")[1].partition("#")[0] in heldout)
    trained = {message.content for c in taught if not c.heldout for message in c.messages}
    secrets = {s.summary for s in symbols if s.heldout and s.summary} | {ask(name) for name in heldout}
    assert trained & secrets == set()


def test_the_seed_decides_the_order_and_nothing_else_does(taught: list[Conversation]) -> None:
    assert list(conversations(everyday_repeats=8, seed=1)) == taught
    assert list(conversations(everyday_repeats=8, seed=2)) != taught


def test_a_greeting_gets_a_greeting_and_is_no_large_part_of_what_is_taught() -> None:
    lessons = [c for c in conversations(everyday_repeats=4) if c.messages[0].content == "Hello!"]
    assert len(lessons) == 2
    assert all(lesson.messages[1].content.startswith("Hello!") for lesson in lessons)
    assert not any(lesson.heldout for lesson in lessons)
