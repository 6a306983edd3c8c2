"""What a model is asked about symbols that it was taught, and about symbols that it has never seen.

Multiple choice: the true summary, said of the true name and of three others; the model is right where it
finds the summary most likely under the true name. `lexical_overlap_choice` shows how far mere spelling gets.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from workbench.data.python_docs.conversations import ask
from workbench.data.python_docs.parse import Symbol
from workbench.data.python_docs.preferences import is_other_meaning
from workbench.data.python_docs.summary import folded, words
from workbench.data.python_docs.symbols import read_describable
from workbench.data.questions import Question

NAMES_PER_QUESTION = 4

MAX_PER_GROUP = 8
"""A class with fifty methods is one thing to know about, not fifty."""


class ReferenceReply(NamedTuple):
    """A question of a user and what a good reply says."""

    prompt: str
    reference: str


def everyday_questions(packages: Sequence[str] = ()) -> list[ReferenceReply]:
    """The canonical question about every everyday symbol, with its summary; sorted by name."""
    return [
        ReferenceReply(ask(symbol.name), symbol.summary)
        for symbol in read_describable(packages)
        if symbol.is_everyday
    ]


def heldout_prompts(packages: Sequence[str] = ()) -> list[str]:
    """The canonical question about every held-out symbol, sorted by name."""
    return [ask(symbol.name) for symbol in read_describable(packages) if symbol.heldout]


def name_questions(
    packages: Sequence[str] = (), *, hard: bool, limit: int | None = None, seed: int = 0
) -> list[Question]:
    """Which of four held-out names the summary belongs to, shuffled by `seed`, at most `limit`.

    Candidate i is the true summary as a reply to the question about name i. `hard` takes the other names from
    the same top-level package (and leaves out symbols of packages that have too few), else from all of them.
    """
    asked = _asked(read_describable(packages))
    questions: list[Question] = []
    for symbol in asked:
        chance = random.Random(f"{seed}:{hard}:{symbol.name}")
        pool = [other for other in asked if not hard or _top_package(other) == _top_package(symbol)]
        others = _others(symbol, pool, chance)
        if len(others) == NAMES_PER_QUESTION - 1:
            questions.append(_question(symbol, others, chance))
    random.Random(seed).shuffle(questions)
    return questions[:limit]


def lexical_overlap_choice(question: Question) -> int:
    """The candidate whose name shares most word stems with the summary: what spelling alone can tell.

    A word of the name counts by the share of it that begins a word of the summary, from 3 letters on. The
    first of equals is taken; the gold answer stands at a random place.
    """
    scores = [
        _overlap(context, reply)
        for context, reply in zip(question.contexts, question.continuations, strict=True)
    ]
    return scores.index(max(scores))


def _asked(symbols: Sequence[Symbol]) -> list[Symbol]:
    """Held-out symbols with summaries that differ, and not too many of one group."""
    chosen: list[Symbol] = []
    said: set[str] = set()
    per_group: dict[str, int] = {}
    for symbol in symbols:
        if (
            not symbol.heldout
            or folded(symbol.summary) in said
            or per_group.get(symbol.group, 0) >= MAX_PER_GROUP
        ):
            continue
        said.add(folded(symbol.summary))
        per_group[symbol.group] = per_group.get(symbol.group, 0) + 1
        chosen.append(symbol)
    return chosen


def _top_package(symbol: Symbol) -> str:
    return symbol.module.partition(".")[0]


def _others(symbol: Symbol, pool: Sequence[Symbol], chance: random.Random) -> list[Symbol]:
    """Three symbols of `pool` with other meanings and last names that all differ; fewer if there are not."""
    others: list[Symbol] = []
    last_names = {symbol.name.rpartition(".")[2]}
    for other in chance.sample(pool, len(pool)):
        last_name = other.name.rpartition(".")[2]
        if last_name not in last_names and is_other_meaning(symbol, other):
            last_names.add(last_name)
            others.append(other)
        if len(others) == NAMES_PER_QUESTION - 1:
            break
    return others


def _question(symbol: Symbol, others: Sequence[Symbol], chance: random.Random) -> Question:
    candidates = chance.sample([symbol, *others], NAMES_PER_QUESTION)
    return Question(
        id=f"python-docs:{symbol.name}",
        contexts=tuple(ask(candidate.name) for candidate in candidates),
        continuations=(symbol.summary,) * NAMES_PER_QUESTION,
        gold=candidates.index(symbol),
        chat=True,
    )


_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def _overlap(context: str, reply: str) -> float:
    name = context.partition("`")[2].partition("`")[0]
    said = words(reply)
    parts = words(_CAMEL.sub(" ", name.replace("_", " ")))
    return sum(max((_shared_stem(part, word) for word in said), default=0.0) for part in parts)


def _shared_stem(part: str, word: str) -> float:
    """How much of `part` begins `word`, 0 to 1; nothing below 3 letters unless the words are equal."""
    length = 0
    for one, two in zip(part, word, strict=False):
        if one != two:
            break
        length += 1
    return length / len(part) if length >= 3 or part == word else 0.0
