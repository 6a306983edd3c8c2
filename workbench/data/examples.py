"""The examples of a fine-tuning stage: all its sources, read, split and limited.

A source is `python-docs` (conversations and pairs made from the documentation at hand) or a file, a folder or
a glob of files in any known format. A held-out example is never trained on: python-docs decides by symbol,
files by a hash of the text. Knows no tokens.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from workbench.data.byte_stream import shown_path
from workbench.data.conversations import Conversation, Message, read_conversations
from workbench.data.formats import MAX_BAD_RECORDS, ExampleFile
from workbench.data.preferences import Preference, read_preferences
from workbench.data.split import is_heldout
from workbench.errors import BadInput
from workbench.source_files import BUILT_IN, EXAMPLE_SUFFIXES, files_of

Example = TypeVar("Example", bound=Conversation | Preference)


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What one source gave: the format detected, how many examples, how many records rejected by reason."""

    source: str
    format: str
    examples: int
    rejected: dict[str, int]

    def one_line(self) -> str:
        """`chat.jsonl: ShareGPT, 1,200 examples, 3 rejected (turn 2 is empty: 3)`."""
        kind = f"{self.format}, " if self.format != self.source else ""
        line = f"{self.source}: {kind}{self.examples:,} examples"
        if not self.rejected:
            return line
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in Counter(self.rejected).most_common(3))
        more = ", …" if len(self.rejected) > 3 else ""
        return f"{line}, {sum(self.rejected.values()):,} rejected ({reasons}{more})"


@dataclass(frozen=True, slots=True)
class ExampleSet(Generic[Example]):
    """Examples to learn from, examples to measure on, and where they came from."""

    train: tuple[Example, ...]
    heldout: tuple[Example, ...]
    sources: tuple[SourceReport, ...]


def gather_conversations(
    sources: Sequence[str],
    *,
    base: Path,
    heldout_fraction: float,
    max_examples: int | None = None,
    max_bad_records: float = MAX_BAD_RECORDS,
    everyday_repeats: int = 1,
    seed: int = 0,
) -> ExampleSet[Conversation]:
    """Conversations of all sources. Paths are relative to `base`.

    `max_examples` keeps a random choice of that many to train on. `everyday_repeats` is for python-docs: how
    often everyday symbols come for each time the others do. Raises BadInput for a source that is missing,
    of unknown shape or too bad, and when nothing is left to train on.
    """

    def documentation() -> list[Conversation]:
        from workbench.data import python_docs  # parses the standard library: only when asked for

        return list(python_docs.conversations(seed=seed, everyday_repeats=everyday_repeats))

    gathered, reports = _gather(
        sources,
        base,
        read=lambda path: read_conversations(path, max_bad_records=max_bad_records),
        documentation=documentation,
    )
    return _split(gathered, reports, lambda example: example.messages, heldout_fraction, max_examples, seed)


def gather_preferences(
    sources: Sequence[str],
    *,
    base: Path,
    heldout_fraction: float,
    max_examples: int | None = None,
    max_bad_records: float = MAX_BAD_RECORDS,
    seed: int = 0,
) -> ExampleSet[Preference]:
    """Preference pairs of all sources, pairs with the same prompt on the same side of the split.

    Arguments and errors as `gather_conversations`.
    """

    def documentation() -> list[Preference]:
        from workbench.data import python_docs

        return list(python_docs.preferences(seed=seed))

    gathered, reports = _gather(
        sources,
        base,
        read=lambda path: read_preferences(path, max_bad_records=max_bad_records),
        documentation=documentation,
    )
    return _split(gathered, reports, lambda example: example.prompt, heldout_fraction, max_examples, seed)


def _gather(
    sources: Sequence[str],
    base: Path,
    *,
    read: Callable[[Path], ExampleFile[Example]],
    documentation: Callable[[], list[Example]],
) -> tuple[list[Example], list[SourceReport]]:
    gathered: list[Example] = []
    reports: list[SourceReport] = []
    for source in sources:
        if source == BUILT_IN:
            examples = documentation()
            gathered += examples
            reports.append(SourceReport(source, BUILT_IN, len(examples), {}))
            continue
        for path in files_of(source, base=base, suffixes=EXAMPLE_SUFFIXES):
            file = read(path)
            gathered += file.examples
            reasons = Counter(row.reason for row in file.rejected)
            reports.append(SourceReport(shown_path(path), file.format, len(file.examples), dict(reasons)))
    return gathered, reports


def _split(
    gathered: Iterable[Example],
    reports: Sequence[SourceReport],
    text_of: Callable[[Example], Sequence[Message]],
    heldout_fraction: float,
    max_examples: int | None,
    seed: int,
) -> ExampleSet[Example]:
    train: list[Example] = []
    heldout: list[Example] = []
    for example in gathered:
        held = example.heldout
        if held is None:
            held = is_heldout(_key(text_of(example)), heldout_fraction)
        (heldout if held else train).append(example)
    if not train:
        raise BadInput(
            f"the sources hold {len(heldout)} usable examples and none to train on",
            file=reports[0].source,
            fix="give more examples or lower heldout_fraction",
        )
    return ExampleSet(tuple(sample(train, max_examples, seed=seed)), tuple(heldout), tuple(reports))


def _key(messages: Sequence[Message]) -> str:
    return "\0".join(f"{message.role}\0{message.content}" for message in messages)


def sample(examples: Sequence[Example], count: int | None, *, seed: int) -> Sequence[Example]:
    """A choice of `count` examples (all when None), in their order, the same for the same seed and ids."""
    if count is None or len(examples) <= count:
        return examples

    def rank(place: int) -> bytes:
        return hashlib.blake2b(f"{seed} {place} {examples[place].id}".encode(), digest_size=8).digest()

    chosen = sorted(range(len(examples)), key=rank)[:count]
    return [examples[place] for place in sorted(chosen)]
