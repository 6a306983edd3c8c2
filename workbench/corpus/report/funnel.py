"""What each step let through, in documents and bytes, and why the rest was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Amount:
    """Documents, and their bytes of UTF-8 after cleaning."""

    documents: int = 0
    bytes: int = 0

    def add(self, documents: int, num_bytes: int) -> None:
        """So many more."""
        self.documents += documents
        self.bytes += num_bytes

    def as_json(self) -> dict[str, int]:
        """For report.json."""
        return {"documents": self.documents, "bytes": self.bytes}


@dataclass
class Funnel:
    """The steps in order. What one lets through is what the next is given."""

    reasons_of_step: Mapping[str, Sequence[str]]
    """The reasons that each step may reject for."""
    read: Amount = field(default_factory=Amount)
    rejected: dict[str, Amount] = field(default_factory=dict)
    """By reason."""

    def reject(self, reason: str, documents: int, num_bytes: int) -> None:
        """So many documents are left out for `reason`."""
        self.rejected.setdefault(reason, Amount()).add(documents, num_bytes)

    def as_json(self) -> list[dict[str, Any]]:
        """A record a step, for report.json."""
        rows = []
        documents, num_bytes = self.read.documents, self.read.bytes
        for step, reasons in self.reasons_of_step.items():
            lost = {reason: self.rejected[reason] for reason in reasons if reason in self.rejected}
            given = Amount(documents, num_bytes)
            documents -= sum(each.documents for each in lost.values())
            num_bytes -= sum(each.bytes for each in lost.values())
            rows.append(
                {
                    "step": step,
                    "in": given.as_json(),
                    "kept": Amount(documents, num_bytes).as_json(),
                    "rejected": {reason: each.as_json() for reason, each in lost.items()},
                }
            )
        return rows
