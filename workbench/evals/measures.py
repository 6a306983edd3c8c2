"""How each task is measured, and what needs no model beside it.

A measure is a function from a subject, a task and the material to metrics. Which items a limit leaves is
decided by hash, so they are the same ones always. Knows no recipe and no run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from workbench.data import python_docs
from workbench.data.conversations import Message
from workbench.data.questions import Question
from workbench.evals.bits_per_byte import bits_per_byte
from workbench.evals.failures import MOST_FAILURES, Failure, wrong_choices, wrong_order
from workbench.evals.metric import Metric, mean, share
from workbench.evals.multiple_choice import answer_questions
from workbench.evals.preferences import preference_accuracy
from workbench.evals.replies import Reply, greedy_replies, looks_like_an_answer, word_f1
from workbench.evals.subject import Subject
from workbench.evals.tasks import Task

Metrics = dict[str, Metric]
Item = TypeVar("Item")
_Summary = Callable[[Sequence[float]], Metric]

MAX_QUESTIONS = 300
MAX_PROMPTS = 200
MAX_PAIRS = 200
# The longest summary has 66 tokens of a 4,096 vocabulary: whoever needs more does not stop by itself.
MAX_NEW_TOKENS = 72
# A reply with this F1 shares most of its words with the reference.
MOSTLY_RIGHT = 0.6


@dataclass(frozen=True, slots=True)
class Material:
    """What tasks may draw on besides the model.

    heldout_texts: the documents kept out of training. reference: the model before preference training, if
    that is what is measured. limit: at most so many items per task; None is each task's own. seen: by task the
    ids of items that stand in training text; a task with such is scored again without them, as `NAME_clean`.
    wrong: what the task measured last got wrong, at most MOST_FAILURES items of it.
    """

    heldout_texts: Sequence[str] = ()
    reference: Subject | None = None
    limit: int | None = None
    seen: Mapping[str, frozenset[str]] = field(default_factory=dict)
    wrong: list[Failure] = field(default_factory=list)

    def keep_wrong(self, failures: Sequence[Failure]) -> None:
        """Let `wrong` be the first of these."""
        self.wrong[:] = failures[:MOST_FAILURES]


def measure(subject: Subject, task: Task, material: Material) -> Metrics:
    """The metrics of one task. What the task needs must be there (see `scorecard.score`)."""
    material.keep_wrong(())
    return _MEASURES.get(task.name, _file)(subject, task, material)


def measure_baseline(task: Task, material: Material) -> Metrics:
    """What can be had on a task's items without a model; empty where there is nothing worth telling."""
    if task.name not in _HARD:
        return {}
    questions = _names(task, material)
    right = [python_docs.lexical_overlap_choice(question) == question.gold for question in questions]
    return {"lexical-overlap": share(right)}


def chosen(items: Sequence[Item], limit: int, *, key: Callable[[Item], str]) -> list[Item]:
    """At most `limit` items, those with the lowest hashes of their keys, in the order they had."""
    if len(items) <= limit:
        return list(items)
    digests = [hashlib.blake2b(key(item).encode(), digest_size=8).digest() for item in items]
    taken = sorted(range(len(items)), key=lambda number: digests[number])[:limit]
    return [items[number] for number in sorted(taken)]


def _metrics(
    task: Task, material: Material, ids: Sequence[str], marks: Mapping[str, tuple[_Summary, Sequence[float]]]
) -> Metrics:
    """Each figure of `marks`, one per item, summed up; and again over the items that no training text holds."""
    metrics = {name: summary(values) for name, (summary, values) in marks.items()}
    seen = material.seen.get(task.name, frozenset())
    clean = [place for place, each in enumerate(ids) if each not in seen]
    if 0 < len(clean) < len(ids):
        for name, (summary, values) in marks.items():
            metrics[f"{name}_clean"] = summary([values[place] for place in clean])
    return metrics


def _heldout(subject: Subject, task: Task, material: Material) -> Metrics:
    found = bits_per_byte(
        subject.model,
        subject.tokenizer,
        material.heldout_texts[: material.limit],  # they lie in order of hash: the first are a fair sample
        context_length=subject.context_length,
        batch_tokens=subject.batch_tokens,
        batch_size=subject.batch_size,
        dtype=subject.dtype,
    )
    # Perplexity is exp(loss): an error e of the loss is one of perplexity * e (the delta method).
    share = None if found.stderr is None else found.stderr / found.bits_per_byte
    perplexity_stderr = None if share is None else found.perplexity * found.loss_per_token * share
    return {
        "bits_per_byte": Metric(found.bits_per_byte, found.stderr, found.num_documents),
        "perplexity": Metric(found.perplexity, perplexity_stderr, found.num_documents),
    }


def _name_questions(subject: Subject, task: Task, material: Material) -> Metrics:
    # The candidates differ in the name asked about, not in the reply: there is no length to normalise by.
    questions = _names(task, material)
    answers = answer_questions(subject, questions)
    material.keep_wrong(wrong_choices(questions, answers.chosen))
    return _metrics(task, material, [each.id for each in questions], {"acc": (share, answers.raw)})


def _names(task: Task, material: Material) -> Sequence[Question]:
    questions = python_docs.name_questions(hard=_HARD[task.name])
    return chosen(questions, material.limit or MAX_QUESTIONS, key=lambda question: question.id)


def _everyday(subject: Subject, task: Task, material: Material) -> Metrics:
    asked = python_docs.everyday_questions()
    asked = chosen(asked, material.limit or len(asked), key=lambda question: question.prompt)
    replies = _ask(subject, [question.prompt for question in asked])
    overlaps = [word_f1(reply.text, each.reference) for reply, each in zip(replies, asked, strict=True)]
    material.keep_wrong(
        [
            Failure(each.prompt, each.prompt, each.reference, reply.text)
            for each, reply, overlap in zip(asked, replies, overlaps, strict=True)
            if overlap < MOSTLY_RIGHT
        ]
    )
    marks: dict[str, tuple[_Summary, Sequence[float]]] = {
        "mostly_right": (share, [overlap >= MOSTLY_RIGHT for overlap in overlaps]),
        "word_f1": (mean, overlaps),
        "stopped": (share, [reply.stopped for reply in replies]),
    }
    return _metrics(task, material, [question.prompt for question in asked], marks)


def _replies(subject: Subject, task: Task, material: Material) -> Metrics:
    prompts = chosen(python_docs.heldout_prompts(), material.limit or MAX_PROMPTS, key=str)
    replies = _ask(subject, prompts)
    material.keep_wrong(
        [
            Failure(prompt, prompt, "a reply that looks like an answer and ends by itself", reply.text)
            for prompt, reply in zip(prompts, replies, strict=True)
            if not (reply.stopped and looks_like_an_answer(reply))
        ]
    )
    marks: dict[str, tuple[_Summary, Sequence[float]]] = {
        "stopped": (share, [reply.stopped for reply in replies]),
        "right_form": (share, [looks_like_an_answer(reply) for reply in replies]),
    }
    return _metrics(task, material, prompts, marks)


def _ask(subject: Subject, prompts: Sequence[str]) -> list[Reply]:
    conversations = [[Message("user", prompt)] for prompt in prompts]
    return greedy_replies(subject, conversations, max_new_tokens=MAX_NEW_TOKENS)


def _preferences(subject: Subject, task: Task, material: Material) -> Metrics:
    pairs = [pair for pair in python_docs.preferences() if pair.heldout]
    pairs = chosen(pairs, material.limit or MAX_PAIRS, key=lambda pair: pair.id)
    found = preference_accuracy(subject, pairs, reference=material.reference)
    material.keep_wrong(wrong_order(pairs, found.by_likelihood))
    marks: dict[str, tuple[_Summary, Sequence[float]]] = {"likelihood_acc": (share, found.by_likelihood)}
    if found.by_margin is not None:
        marks["margin_acc"] = (share, found.by_margin)
    return _metrics(task, material, [pair.id for pair in pairs], marks)


def _file(subject: Subject, task: Task, material: Material) -> Metrics:
    limit = material.limit or len(task.questions)
    questions = chosen(task.questions, limit, key=lambda question: question.id)
    answers = answer_questions(subject, questions)
    material.keep_wrong(wrong_choices(questions, answers.chosen))
    marks: dict[str, tuple[_Summary, Sequence[float]]] = {
        "acc": (share, answers.raw),
        "acc_norm": (share, answers.normalised),
    }
    return _metrics(task, material, [question.id for question in questions], marks)


_HARD = {"python-names": False, "python-names-hard": True}

_MEASURES: Mapping[str, Callable[[Subject, Task, Material], Metrics]] = {
    "heldout": _heldout,
    "python-names": _name_questions,
    "python-names-hard": _name_questions,
    "python-everyday": _everyday,
    "python-replies": _replies,
    "python-preferences": _preferences,
}
