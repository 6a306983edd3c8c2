"""A look into an example file: its shape, what is rejected and why, what the model would learn of it.

For people who want to know before they train. Knows no recipe and prints nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.data.conversations import Message, read_conversations
from workbench.data.preferences import read_preferences
from workbench.data.rows import BadRow, Row, read_rows
from workbench.tokenizer import Tokenizer, render


@dataclass(frozen=True, slots=True)
class ShownToken:
    """One token of a rendered example, and whether the model is taught to produce it."""

    text: str
    learned: bool


@dataclass(frozen=True, slots=True)
class ShownConversation:
    """A conversation as messages and, when there is a tokenizer, as the tokens it is trained on.

    `label`: `example`, or `chosen` and `rejected` for the two sides of a pair.
    """

    label: str
    messages: tuple[Message, ...]
    tokens: tuple[ShownToken, ...] = ()


@dataclass(frozen=True, slots=True)
class ExampleFileReport:
    """What an example file holds.

    `rejected` counts by reason; `first_rejected` says where the first stands. `first` is the first example,
    one conversation or the two of a pair.
    """

    path: Path
    kind: Literal["conversations", "preferences"]
    format: str
    examples: int
    rejected: dict[str, int]
    first_rejected: BadRow | None
    first: tuple[ShownConversation, ...]


def inspect_examples(path: Path, tokenizer: Tokenizer | None = None) -> ExampleFileReport:
    """The report on an SFT or preference file. However many records are bad, it is given; nothing is cut.

    Raises BadInput for a file that is missing, damaged, empty or of an unknown shape.
    """
    first: tuple[ShownConversation, ...] = ()
    if _holds_pairs(path):
        pairs = read_preferences(path, max_bad_records=1.0)
        if pairs.examples:
            pair = pairs.examples[0]
            first = tuple(
                _shown(label, (*pair.prompt, Message("assistant", reply)), tokenizer, last_only=True)
                for label, reply in (("chosen", pair.chosen), ("rejected", pair.rejected))
            )
        return _report(path, "preferences", pairs.format, len(pairs.examples), pairs.rejected, first)
    conversations = read_conversations(path, max_bad_records=1.0)
    if conversations.examples:
        first = (_shown("example", conversations.examples[0].messages, tokenizer),)
    count = len(conversations.examples)
    return _report(path, "conversations", conversations.format, count, conversations.rejected, first)


def _holds_pairs(path: Path) -> bool:
    row = next((row for row in read_rows(path) if isinstance(row, Row)), None)
    return row is not None and {"chosen", "rejected"} <= row.fields.keys()


def _shown(
    label: str, messages: tuple[Message, ...], tokenizer: Tokenizer | None, *, last_only: bool = False
) -> ShownConversation:
    if tokenizer is None:
        return ShownConversation(label, messages)
    rendered = render(tokenizer, messages)
    start = len(render(tokenizer, messages[:-1], add_generation_prompt=True).ids) if last_only else 0
    tokens = tuple(
        ShownToken(tokenizer.decode([token], keep_special=True), learned and place >= start)
        for place, (token, learned) in enumerate(zip(rendered.ids, rendered.learned, strict=True))
    )
    return ShownConversation(label, messages, tokens)


def _report(
    path: Path,
    kind: Literal["conversations", "preferences"],
    format_name: str,
    examples: int,
    rejected: Sequence[BadRow],
    first: tuple[ShownConversation, ...],
) -> ExampleFileReport:
    reasons = dict(Counter(row.reason for row in rejected).most_common())
    return ExampleFileReport(
        path, kind, format_name, examples, reasons, rejected[0] if rejected else None, first
    )
