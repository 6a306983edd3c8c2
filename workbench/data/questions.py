"""Multiple-choice questions from files, one JSON object each, in the shapes of llm-foundry's evaluation sets.

    query, choices[], gold                  one context, several continuations
    context_options[], continuation, gold   several contexts, one continuation (Winograd)

Evaluation must be exact, so a bad line is an error and not a rejected record. Knows no tokens and no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.data.formats import Fields, UnusableError, text_of
from workbench.data.rows import BadRow, read_rows
from workbench.errors import BadInput


@dataclass(frozen=True, slots=True)
class Question:
    """Candidate i is `continuations[i]` scored after `contexts[i]`; `gold` is the right one, from 0.

    `chat=True`: contexts are user messages and continuations assistant replies; whoever scores puts the
    chat format around them.
    """

    id: str
    contexts: tuple[str, ...]
    continuations: tuple[str, ...]
    gold: int
    chat: bool = False


def read_questions(path: Path) -> list[Question]:
    """All questions of a .jsonl[.gz|.zst], .json or .parquet file.

    Raises BadInput naming the line for a record that is no question, and for a file without any.
    """
    questions: list[Question] = []
    for row in read_rows(path):
        try:
            if isinstance(row, BadRow):
                raise UnusableError(row.reason)
            questions.append(_question(f"{path.name}:{row.line}", row.fields))
        except UnusableError as reason:
            raise BadInput(
                str(reason),
                file=path,
                line=row.line,
                fix="a question has query, choices, gold, or context_options, continuation, gold",
            ) from None
    if not questions:
        raise BadInput("holds no questions", file=path, fix="give a file with at least one")
    return questions


def _question(identity: str, fields: Fields) -> Question:
    if "choices" in fields and "query" in fields:
        continuations = _texts(fields["choices"], "choices")
        contexts = (_string(fields["query"], "query"),) * len(continuations)
    elif "context_options" in fields and "continuation" in fields:
        contexts = _texts(fields["context_options"], "context_options")
        continuations = (text_of(fields["continuation"], "continuation"),) * len(contexts)
    else:
        raise UnusableError(f"not a question: its keys are {' '.join(list(fields)[:12]) or '(none)'}")
    gold = fields.get("gold")
    if isinstance(gold, bool) or not isinstance(gold, int) or not 0 <= gold < len(contexts):
        last = len(contexts) - 1
        raise UnusableError(f"gold = {str(gold)[:40]} is not the place of a candidate (0 to {last})")
    return Question(identity, contexts, continuations, gold)


def _texts(value: Any, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) < 2:
        raise UnusableError(f"{what} is not a list of at least two texts")
    return tuple(text_of(item, f"{what}[{number}]") for number, item in enumerate(value))


def _string(value: Any, what: str) -> str:
    """Text that may be empty: some questions are all in their choices."""
    return text_of(value, what) if value != "" else ""
