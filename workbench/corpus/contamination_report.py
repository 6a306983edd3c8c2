"""What is written down about test items in training text, and read again when a model is tested.

    contamination.json           by evaluation set: how many items, which were seen, in how many documents
    contaminated.jsonl.zst       by document: which items it gives away, and what became of it

A set is known again by what its items say, not by its name or place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from workbench.corpus.contamination import ContaminationIndex, Found
from workbench.corpus.eval_items import EvalItem, items_digest
from workbench.data.jsonl_zst import JsonlZstWriter
from workbench.errors import Damaged
from workbench.files import write_atomic

Action = Literal["drop", "mark"]

CONTAMINATION_FILE = "contamination.json"
CONTAMINATED_FILE = "contaminated.jsonl.zst"
EXAMPLES_PER_ITEM = 3


@dataclass
class _Seen:
    documents: int = 0
    share: float = 0.0
    examples: list[str] = field(default_factory=list)


class ContaminationReport:
    """Counts what was found, document by document, and writes both files. A context manager. Raises NoSpace."""

    def __init__(
        self, folder: Path, index: ContaminationIndex, *, ngram: int, min_share: float, action: Action
    ) -> None:
        self._folder = folder
        self._index = index
        self._settings = {"ngram": ngram, "min_share": min_share, "action": action}
        self._seen: dict[int, _Seen] = {}
        self._documents = 0
        self._writer = JsonlZstWriter(folder / CONTAMINATED_FILE)

    def __enter__(self) -> ContaminationReport:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._writer.__exit__(None, None, None)

    def add(self, document_id: str, source: str, found: Sequence[Found]) -> None:
        """A document gives items away: those of `judge` for it."""
        self._documents += 1
        told = []
        for each in found:
            seen = self._seen.setdefault(each.item, _Seen())
            seen.documents += 1
            seen.share = max(seen.share, each.share)
            if len(seen.examples) < EXAMPLES_PER_ITEM:
                seen.examples.append(document_id)
            item = self._index.items[each.item]
            told.append({"set": item.task, "item": item.id, "share": round(each.share, 4)})
        self._writer.write(
            {"id": document_id, "source": source, "action": self._settings["action"], "items": told}
        )

    def write(self) -> dict[str, Any]:
        """Writes contamination.json and gives back what stands in it. After all `add`."""
        by_set: dict[str, list[int]] = {}
        for number, item in enumerate(self._index.items):
            by_set.setdefault(item.task, []).append(number)
        too_short = set(self._index.too_short)
        facts = {
            **self._settings,
            "documents": self._documents,
            "sets": [
                {
                    "name": name,
                    "digest": items_digest([self._index.items[number] for number in numbers]),
                    "items": len(numbers),
                    "too_short": sum(number in too_short for number in numbers),
                    "seen": sum(number in self._seen for number in numbers),
                    "seen_items": [self._item(number) for number in numbers if number in self._seen],
                }
                for name, numbers in by_set.items()
            ],
        }
        write_atomic(self._folder / CONTAMINATION_FILE, orjson.dumps(facts, option=orjson.OPT_INDENT_2))
        return facts

    def _item(self, number: int) -> dict[str, Any]:
        seen = self._seen[number]
        return {
            "item": self._index.items[number].id,
            "documents": seen.documents,
            "share": round(seen.share, 4),
            "examples": seen.examples,
        }


@dataclass(frozen=True, slots=True)
class SeenItems:
    """What a corpus says of one evaluation set.

    seen: the ids of items that stand in what was trained on. dropped: of how many the documents were left out.
    too_short: how many could not be looked for.
    """

    items: int
    seen: frozenset[str]
    dropped: int
    too_short: int

    def to_json(self) -> dict[str, int]:
        """For a scorecard."""
        return {
            "items": self.items, "seen": len(self.seen), "dropped": self.dropped, "too_short": self.too_short
        }  # fmt: skip


def read_contamination(folder: Path) -> Mapping[str, SeenItems]:
    """What the corpus in `folder` knows of evaluation sets, by the digest of their items.

    Empty where it looked for none. Raises Damaged.
    """
    path = folder / CONTAMINATION_FILE
    if not path.is_file():
        return {}
    try:
        facts = orjson.loads(path.read_bytes())
        is_dropped = facts["action"] == "drop"
        return {
            each["digest"]: SeenItems(
                items=each["items"],
                seen=frozenset(() if is_dropped else (item["item"] for item in each["seen_items"])),
                dropped=each["seen"] if is_dropped else 0,
                too_short=each["too_short"],
            )
            for each in facts["sets"]
        }
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Damaged("is damaged", file=path, fix="delete the artifact and run again") from error


def seen_items(known: Mapping[str, SeenItems], items: Iterable[EvalItem]) -> SeenItems | None:
    """What `known` says of the set of these items; None if it was not looked for."""
    return known.get(items_digest(list(items)))
