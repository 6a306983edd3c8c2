"""What a model can be measured by: the tasks as data, each with what it needs.

The path of a .jsonl file of multiple-choice questions is a task too. How a task is measured is the business
of measures.py; this module imports no tensors, so that listing and checking names is quick.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.data.questions import Question, read_questions
from workbench.errors import BadInput

Need = Literal["documents", "chat", "python-docs"]

QUESTION_FILES = (".jsonl", ".jsonl.gz")


@dataclass(frozen=True, slots=True)
class Task:
    """One way to measure. `needs` says what must be there: held-out documents, a model that chats, a model
    that was taught from `python-docs` (without that the figures mean nothing, but they can be had).

    `questions` are those of a file; a task with a name knows where its own come from.
    """

    name: str
    description: str
    needs: frozenset[Need] = frozenset()
    questions: tuple[Question, ...] = ()


TASKS = (
    Task(
        "heldout",
        "bits per UTF-8 byte and perplexity per token of the held-out documents, each read on its own",
        frozenset({"documents"}),
    ),
    Task(
        "python-names",
        "which of four held-out Python names a summary belongs to; beside it what spelling alone can tell",
        frozenset({"python-docs"}),
    ),
    Task(
        "python-names-hard",
        "the same with three other names of the same package",
        frozenset({"python-docs"}),
    ),
    Task(
        "python-everyday",
        "`What does X do?` for everyday Python names: greedy replies that share most words with the truth",
        frozenset({"chat", "python-docs"}),
    ),
    Task(
        "python-replies",
        "greedy replies about held-out Python names: share that stop by themselves, share of the right form",
        frozenset({"chat", "python-docs"}),
    ),
    Task(
        "python-preferences",
        "held-out pairs of a true and a wrong summary: how often the true one wins",
        frozenset({"chat", "python-docs"}),
    ),
)


def list_tasks() -> tuple[Task, ...]:
    """All tasks with a name, in the order in which they are best read."""
    return TASKS


def find_task(name: str, *, base: Path) -> Task:
    """The task of that name, or that of the questions in the .jsonl file `name`, relative to `base`.

    Raises BadInput, with the nearest name, for one that does not exist, and for a file of no questions.
    """
    known = {task.name: task for task in TASKS}
    if name in known:
        return known[name]
    if name.endswith(QUESTION_FILES):
        questions = tuple(read_questions(base / name))
        return Task(name, f"{len(questions)} multiple-choice questions of a file", questions=questions)
    near = difflib.get_close_matches(name, known, n=1)
    guess = f"did you mean {near[0]}?" if near else f"choose from {' '.join(known)}"
    raise BadInput(f"no task is called {name!r}", fix=f"{guess} (or give a .jsonl file of questions)")
