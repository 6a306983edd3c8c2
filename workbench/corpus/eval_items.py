"""The items of evaluation sets as plain passages: what must not stand in training text.

A set is a task by name (`python-names`, …) or the path of a file of records: multiple-choice questions as the
`eval` stage reads them, or any JSON objects with text under a known key. Knows no model and no scores.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.data import python_docs
from workbench.data.rows import BadRow, read_rows
from workbench.errors import BadInput
from workbench.safe_text import one_line

TEXT_KEYS = (
    "text", "query", "question", "prompt", "context", "contexts", "passage", "ctx", "input", "instruction",
    "context_options", "sentence", "sentence_good", "sentence_bad", "premise", "hypothesis", "goal", "turns",
    "document", "article",
)  # fmt: skip
"""Where files that are not multiple choice keep what is asked."""
ANSWER_KEYS = (
    "answer", "answers", "target", "output", "completion", "response", "canonical_solution", "choices", "options",
    "endings", "sol1", "sol2", "best_answer", "continuation",
)  # fmt: skip
"""Where they keep what is answered: read after what is asked, never on its own."""

_MOST_TEXTS = 64  # of one item: choices, turns, sentences
# "Question: … Answer:" is how a set is put to a model, not how its text stands on a page.
_FRAME = re.compile(
    r"(?im)^\s*(?:question|passage|context|choices|options|answer|premise|hypothesis|q|a)\s*:"
)


@dataclass(frozen=True, slots=True)
class EvalItem:
    """One thing a model is asked. `passages`: each text of it that, found in training text, gives it away."""

    task: str
    id: str
    passages: tuple[str, ...]


def eval_items(name: str, *, base: Path) -> list[EvalItem]:
    """The items of the set `name`; a path is relative to `base`.

    Raises BadInput, naming file and line, for what is neither a task with items nor a file of records with text.
    """
    if name in _BUILT_IN:
        return [EvalItem(name, identity, passages) for identity, passages in _BUILT_IN[name]()]
    path = base / name
    if not path.is_file() and "." not in Path(name).name:
        raise BadInput(
            f"no evaluation set is called {one_line(name)!r}",
            fix=f"give a file of records (.jsonl, .json, .parquet) or one of {' '.join(_BUILT_IN)}",
        )
    items = []
    for row in read_rows(path):
        identity = f"{path.name}:{row.line}"
        if isinstance(row, BadRow):
            raise BadInput(row.reason, file=path, line=row.line, fix="mend the file: every test item counts")
        passages = _passages_of(row.fields)
        if not passages:
            keys = " ".join(list(row.fields)[:12]) or "(none)"
            raise BadInput(
                f"no text to look for: its keys are {one_line(keys)}",
                file=path,
                line=row.line,
                fix=f"put it under one of {' '.join(TEXT_KEYS[:7])}",
            )
        items.append(EvalItem(name, identity, passages))
    if not items:
        raise BadInput("holds no records", file=path, fix="give a file with at least one")
    return items


def items_digest(items: Sequence[EvalItem]) -> str:
    """32 hex characters that are equal for sets with the same items, whatever they are called."""
    digest = hashlib.blake2b(digest_size=16)
    for item in items:
        for text in (item.id, *item.passages):
            digest.update(len(text).to_bytes(8, "little") + text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _passages_of(fields: Mapping[str, Any]) -> tuple[str, ...]:
    asked = [text for key in TEXT_KEYS for text in _texts(fields.get(key))]
    answers = [text for key in ANSWER_KEYS for text in _texts(fields.get(key))]
    if not asked:
        return ()
    parts = [part for text in asked for part in _parts(text)]
    return _unique([*parts, *(f"{last} {answer}" for last in _lasts(asked) for answer in answers)])


def _lasts(asked: Sequence[str]) -> list[str]:
    """The part that an answer follows, of each text that is asked."""
    return [(_parts(text) or [""])[-1] for text in asked[:_MOST_TEXTS]]


def _parts(text: str) -> list[str]:
    return [part.strip() for part in _FRAME.split(text) if part.strip()]


def _unique(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))


def _texts(value: Any) -> Iterator[str]:
    """The strings in a value, which may be a list, or a record with a `text`."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value[:_MOST_TEXTS]:
            yield from _texts(each)
    elif isinstance(value, dict) and "text" in value:
        yield from _texts(value["text"])


def _names(*, hard: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    for question in python_docs.name_questions(hard=hard):
        right = question.continuations[question.gold]
        yield question.id, _unique([question.contexts[question.gold], right])


def _everyday() -> Iterator[tuple[str, tuple[str, ...]]]:
    for asked in python_docs.everyday_questions():
        yield asked.prompt, _unique([asked.prompt, asked.reference])


def _replies() -> Iterator[tuple[str, tuple[str, ...]]]:
    for prompt in python_docs.heldout_prompts():
        yield prompt, (prompt,)


def _preferences() -> Iterator[tuple[str, tuple[str, ...]]]:
    for pair in python_docs.preferences():
        if pair.heldout:
            yield pair.id, _unique([pair.chosen])


_BUILT_IN: Mapping[str, Callable[[], Iterator[tuple[str, tuple[str, ...]]]]] = {
    "python-names": lambda: _names(hard=False),
    "python-names-hard": lambda: _names(hard=True),
    "python-everyday": _everyday,
    "python-replies": _replies,
    "python-preferences": _preferences,
}
