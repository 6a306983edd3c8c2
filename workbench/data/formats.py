"""Which of the known shapes an example file has, decided from its keys, and its records in that shape.

A file has one shape: its first record decides, and records that do not fit are rejected with their line and
the reason. Knows how shapes are told apart, not what they are: see conversations.py and preferences.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from workbench.data.byte_stream import shown_path
from workbench.data.rows import BadRow, Row, read_rows
from workbench.errors import BadInput

Example = TypeVar("Example")
Fields = Mapping[str, Any]

MAX_BAD_RECORDS = 0.01


class UnusableError(Exception):
    """A record cannot be used; the message is the reason, in a few words."""


class UninformativeError(UnusableError):
    """A record is well written but teaches nothing: left out and counted, and no sign of a bad file."""


@dataclass(frozen=True, slots=True)
class Format(Generic[Example]):
    """One shape of record: the name people know it by, its keys, how to tell it and how to read it."""

    name: str
    keys: str
    matches: Callable[[Fields], bool]
    convert: Callable[[str, Fields], Example]
    """(id, fields) -> the example. Raises UnusableError with the reason."""


@dataclass(frozen=True, slots=True)
class RefusedFormat:
    """A shape that is known but of no use here: how to tell it, what it is, and what to do."""

    matches: Callable[[Fields], bool]
    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class ExampleFile(Generic[Example]):
    """What one file held: the format detected, the examples in order, the records rejected."""

    path: Path
    format: str
    examples: tuple[Example, ...]
    rejected: tuple[BadRow, ...]

    def refuse_above(self, max_bad_records: float) -> None:
        """Raise BadInput, naming the first, when more than this share of the records is bad."""
        total = len(self.examples) + len(self.rejected)
        bad = [row for row in self.rejected if row.at_fault]
        if len(bad) > max_bad_records * total:
            first = bad[0]
            raise BadInput(
                f"{first.reason} (the first of {len(bad)} bad among {total} records, "
                f"more than {max_bad_records:.3g} of all)",
                file=shown_path(self.path),
                line=first.line,
                fix="repair or remove them, or raise max_bad_records",
            )


def read_examples(
    path: Path,
    formats: Sequence[Format[Example]],
    *,
    refused: Sequence[RefusedFormat] = (),
    max_bad_records: float = MAX_BAD_RECORDS,
) -> ExampleFile[Example]:
    """All records of `path` in the first of `formats` that its first record matches.

    Raises BadInput for a file without records, of a refused or unknown shape (naming the keys found and the
    shapes accepted), or with more than `max_bad_records` (a share of all) unusable ones (naming the first).
    """
    chosen: Format[Example] | None = None
    examples: list[Example] = []
    rejected: list[BadRow] = []
    for row in read_rows(path):
        if isinstance(row, BadRow):
            rejected.append(row)
            continue
        chosen = chosen or _detect(path, row, formats, refused)
        try:
            if not chosen.matches(row.fields):
                raise UnusableError(f"keys {_listed(row.fields)} do not fit {chosen.name} ({chosen.keys})")
            examples.append(chosen.convert(f"{path.name}:{row.line}", row.fields))
        except UnusableError as reason:
            at_fault = not isinstance(reason, UninformativeError)
            rejected.append(BadRow(row.line, str(reason), at_fault=at_fault))
    if not examples and not rejected:
        raise BadInput("holds no records", file=shown_path(path), fix="give a file with at least one example")
    found = ExampleFile(path, chosen.name if chosen else "unknown", tuple(examples), tuple(rejected))
    found.refuse_above(max_bad_records)
    return found


def _detect(
    path: Path, row: Row, formats: Sequence[Format[Example]], refused: Sequence[RefusedFormat]
) -> Format[Example]:
    for candidate in formats:
        if candidate.matches(row.fields):
            return candidate
    for other in refused:
        if other.matches(row.fields):
            raise BadInput(other.message, file=shown_path(path), line=row.line, fix=other.fix)
    shapes = "; ".join(f"{candidate.name}: {candidate.keys}" for candidate in formats)
    raise BadInput(
        f"no known shape has the keys {_listed(row.fields)}",
        file=shown_path(path),
        line=row.line,
        fix=f"accepted are {shapes}",
    )


def _listed(fields: Fields) -> str:
    keys = list(fields)
    return " ".join(keys[:12]) + (" …" if len(keys) > 12 else "") if keys else "(none)"


def text_of(value: Any, what: str) -> str:
    """`value` if it is non-empty text that can be written as UTF-8. Raises UnusableError naming `what`."""
    if not isinstance(value, str):
        raise UnusableError(f"{what} is not text but {type(value).__name__}")
    if not value.strip():
        raise UnusableError(f"{what} is empty")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # JSON can say \ud800: half of a surrogate pair
        raise UnusableError(f"{what} holds half a character (a lone surrogate)") from None
    return value
