"""The items of a task that a model got wrong: what was asked, what was expected, what came. For people to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.data.conversations import Message
from workbench.data.preferences import Preference
from workbench.data.questions import Question

MOST_FAILURES = 50
"""Of one task and model: enough to see what is wrong with it."""
SHOWN_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class Failure:
    """One item that came out wrong; `id` is the item's own."""

    id: str
    asked: str
    expected: str
    came: str

    def to_json(self) -> dict[str, Any]:
        """Plain data, each text cut to SHOWN_CHARACTERS."""
        texts = {"asked": self.asked, "expected": self.expected, "came": self.came}
        return {"id": self.id, **{name: text[:SHOWN_CHARACTERS] for name, text in texts.items()}}


def wrong_choices(questions: Sequence[Question], chosen: Sequence[int]) -> list[Failure]:
    """The questions whose chosen candidate is not the right one."""
    return [
        _wrong_choice(question, choice)
        for question, choice in zip(questions, chosen, strict=True)
        if choice != question.gold
    ]


def _wrong_choice(question: Question, choice: int) -> Failure:
    """The candidates differ in what follows, or in what stands before; what they share is what was asked."""
    gold = question.gold
    if len(set(question.continuations)) > 1:
        return Failure(
            question.id, question.contexts[gold], question.continuations[gold], question.continuations[choice]
        )
    return Failure(
        question.id, question.continuations[gold], question.contexts[gold], question.contexts[choice]
    )


def wrong_order(pairs: Sequence[Preference], earned: Sequence[float]) -> list[Failure]:
    """The pairs whose rejected reply won."""
    return [
        Failure(pair.id, _said(pair.prompt), pair.chosen, pair.rejected)
        for pair, credit in zip(pairs, earned, strict=True)
        if credit < 0.5
    ]


def _said(messages: Sequence[Message]) -> str:
    return "\n\n".join(message.content for message in messages)
