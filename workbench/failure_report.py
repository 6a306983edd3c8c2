"""The items that models got wrong, as the `eval` stage kept them beside the scorecard: a JSON line each.

    {"model", "task", "id", "asked", "expected", "came", "seen"}    seen: it stands in training text

Paper: written and read here, so that the two agree.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workbench.errors import BadInput
from workbench.files import write_atomic

FAILURES_FILE = "failures.jsonl"


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """One item that came out wrong for one model."""

    model: str
    task: str
    id: str
    asked: str
    expected: str
    came: str
    seen: bool = False


def write_failures(folder: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write all of them, atomically. Raises NoSpace."""
    write_atomic(folder / FAILURES_FILE, "".join(json.dumps(record) + "\n" for record in records))


def read_failures(folder: Path, task: str) -> list[Failure]:
    """Those of `task`; none where the scorecard keeps none. Raises BadInput naming the line that is none."""
    path = folder / FAILURES_FILE
    found = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot be read ({error})", file=path) from None
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            if record["task"] == task:
                texts = {
                    name: str(record[name]) for name in ("model", "task", "id", "asked", "expected", "came")
                }
                found.append(Failure(**texts, seen=bool(record.get("seen"))))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadInput(f"is no item ({type(error).__name__})", file=path, line=number) from None
    return found
