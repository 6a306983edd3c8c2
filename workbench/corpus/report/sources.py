"""What became of the records of each source: counts, and examples to judge them by. Bytes are UTF-8."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.editing import CHANGES
from workbench.data.clean import REMOVED
from workbench.data.documents import BadRecord, Document
from workbench.errors import BadInput

SHOWN_BAD_RECORDS = 20
SAMPLES_PER_SOURCE = 3
SAMPLE_CHARACTERS = 300
_HOPELESS_RECORDS = 100


@dataclass
class SourceCounts:
    """One source's share of the report."""

    read: int = 0
    read_bytes: int = 0
    bad: int = 0
    at_fault: int = 0
    """Bad records that speak against their file: a picture in a crawl does not."""
    train: int = 0
    train_bytes: int = 0
    heldout: int = 0
    heldout_bytes: int = 0
    foreign: int = 0
    """Documents with bytes that were not UTF-8 and were read as Windows-1252."""
    rejected: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    """Documents, by what cleaning changed in them."""
    removed: Counter[str] = field(default_factory=Counter)
    """Characters (escapes: sequences) that cleaning took out of them, by kind."""
    first_bad: BadRecord | None = None
    samples: list[dict[str, str]] = field(default_factory=list)

    @property
    def bad_share(self) -> float:
        """Bad records as a share of all records."""
        return self.at_fault / max(self.bad + self.read, 1)

    def as_json(self) -> dict[str, Any]:
        """For report.json."""
        return {
            "read": {"documents": self.read, "bytes": self.read_bytes, "bad_records": self.bad},
            "train": {"documents": self.train, "bytes": self.train_bytes},
            "heldout": {"documents": self.heldout, "bytes": self.heldout_bytes},
            "rejected": dict(sorted(self.rejected.items())),
            "changed": dict(sorted(self.changed.items())),
            "removed": dict(sorted(self.removed.items())),
            "read_as_windows_1252": self.foreign,
            "samples": self.samples,
        }


class SourceReport:
    """Counts every record once as it comes in and once as it ends: train, held out, or rejected for a reason."""

    def __init__(self) -> None:
        self.sources: defaultdict[str, SourceCounts] = defaultdict(SourceCounts)
        self.bad_records: list[BadRecord] = []

    def of(self, source: str) -> SourceCounts:
        """The counts of `source`."""
        return self.sources[source]

    def read(
        self,
        source: str,
        *,
        raw_bytes: NDArray[Any],
        foreign_bytes: NDArray[Any],
        changed: NDArray[np.uint16],
        removed: NDArray[np.uint32],
    ) -> None:
        """Documents came in, a row each as in the layer `facts`."""
        counts = self.of(source)
        counts.read += len(raw_bytes)
        counts.read_bytes += int(raw_bytes.sum(dtype=np.int64))
        counts.foreign += int((foreign_bytes > 0).sum())
        for bit, change in enumerate(CHANGES):
            if number := int((changed >> np.uint16(bit) & np.uint16(1)).sum()):
                counts.changed[change] += number
        for kind, number in zip(REMOVED, removed.sum(axis=0, dtype=np.int64).tolist(), strict=True):
            if number:
                counts.removed[kind] += number

    def bad(self, record: BadRecord, *, max_share: float) -> None:
        """A bad record came in. Raises BadInput as soon as its source is plainly not what it should be."""
        counts = self.of(record.source)
        counts.bad += 1
        counts.at_fault += record.at_fault
        if counts.first_bad is None or (record.at_fault and not counts.first_bad.at_fault):
            counts.first_bad = record
        counts.rejected[record.reason] += 1
        if len(self.bad_records) < SHOWN_BAD_RECORDS:
            self.bad_records.append(record)
        if counts.at_fault >= _HOPELESS_RECORDS and counts.bad_share > max(max_share, 0.5):
            self._refuse(counts, max_share)

    def train(self, source: str, *, documents: int, num_bytes: int) -> None:
        """Documents ended on the training side."""
        self.of(source).train += documents
        self.of(source).train_bytes += num_bytes

    def heldout(self, document: Document) -> None:
        """A document ended on the held-out side."""
        counts = self.of(document.source)
        counts.heldout += 1
        counts.heldout_bytes += len(document.text.encode())

    def sample(self, source: str, id: str, text: str) -> None:  # noqa: A002
        """A training document to show, if there are not enough of its source yet."""
        samples = self.of(source).samples
        if len(samples) < SAMPLES_PER_SOURCE:
            samples.append({"id": id, "text": text[:SAMPLE_CHARACTERS]})

    def check_bad_share(self, max_share: float) -> None:
        """Raises BadInput when a source has more than `max_share` bad records, with the first one's place."""
        for counts in self.sources.values():
            if counts.at_fault and counts.bad_share > max_share:
                self._refuse(counts, max_share)

    def _refuse(self, counts: SourceCounts, max_share: float) -> None:
        first = counts.first_bad
        assert first is not None
        what = first.reason.replace("_", " ") + (f" ({first.detail})" if first.detail else "")
        raise BadInput(
            f"{what}; {counts.at_fault:,} of {counts.bad + counts.read:,} records are bad "
            f"({100 * counts.bad_share:.3g} %, allowed are {100 * max_share:.3g} %)",
            file=first.file or first.source,
            line=first.line,
            fix="mend the file, or raise corpus.max_bad_records",
        )

    def reasons(self) -> Counter[str]:
        """How many records were rejected for each reason."""
        return sum((counts.rejected for counts in self.sources.values()), Counter[str]())

    def total(self, name: str) -> int:
        """The sum of one count over all sources."""
        return sum(getattr(counts, name) for counts in self.sources.values())

    def summary(self) -> dict[str, Any]:
        """The figures in one flat record."""
        return {
            "documents": self.total("train"),
            "bytes": self.total("train_bytes"),
            "heldout_documents": self.total("heldout"),
            "heldout_bytes": self.total("heldout_bytes"),
            "read": self.total("read") + self.total("bad"),
            "rejected": dict(sorted(self.reasons().items())),
        }

    def as_json(self) -> dict[str, Any]:
        """All of it, for report.json."""
        return {
            **self.summary(),
            "sources": {name: counts.as_json() for name, counts in self.sources.items()},
            "bad_records": [
                {"place": record.place, "reason": record.reason, "detail": record.detail}
                for record in self.bad_records
            ],
        }


def first_lines(records: Sequence[BadRecord], count: int = 3) -> str:
    """`FILE:LINE reason, FILE:LINE reason, …` of the first few."""
    return ", ".join(f"{record.place} {record.reason}" for record in records[:count])
