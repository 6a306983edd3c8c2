"""What became of every record of a corpus: counts by source and reason, and examples to judge them by."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.data.documents import BadRecord, Document
from workbench.data.jsonl_zst import JsonlZstWriter
from workbench.errors import BadInput

SHOWN_BAD_RECORDS = 20
SAMPLES_PER_SOURCE = 3
SAMPLE_CHARACTERS = 300
KEPT_CHARACTERS = 2_000  # of a rejected text: enough to see what it is
_HOPELESS_RECORDS = 100


@dataclass
class SourceCounts:
    """One source's share of the report. Bytes are UTF-8."""

    read: int = 0
    read_bytes: int = 0
    bad: int = 0
    train: int = 0
    train_bytes: int = 0
    heldout: int = 0
    heldout_bytes: int = 0
    foreign: int = 0
    """Documents with bytes that were not UTF-8 and were read as Windows-1252."""
    rejected: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    first_bad: BadRecord | None = None
    samples: list[dict[str, str]] = field(default_factory=list)

    @property
    def bad_share(self) -> float:
        """Bad records as a share of all records."""
        return self.bad / max(self.bad + self.read, 1)


class CorpusReport:
    """Counts every record once as it comes in and once as it ends: train, held out, or rejected for a reason.

    Rejected ones are written to `rejected`.
    """

    def __init__(self, rejected: JsonlZstWriter) -> None:
        self._rejected = rejected
        self.sources: defaultdict[str, SourceCounts] = defaultdict(SourceCounts)
        self.bad_records: list[BadRecord] = []

    def of(self, source: str) -> SourceCounts:
        """The counts of `source`."""
        return self.sources[source]

    def read(self, document: Document) -> None:
        """A document came in."""
        counts = self.of(document.source)
        counts.read += 1
        counts.read_bytes += len(document.text.encode("utf-8", "surrogatepass"))
        counts.foreign += document.foreign_bytes > 0

    def bad(self, record: BadRecord, *, max_share: float) -> None:
        """A bad record came in. Raises BadInput as soon as its source is plainly not what it should be."""
        counts = self.of(record.source)
        counts.bad += 1
        counts.first_bad = counts.first_bad or record
        counts.rejected[record.reason] += 1
        if len(self.bad_records) < SHOWN_BAD_RECORDS:
            self.bad_records.append(record)
        self._rejected.write(
            {"id": record.place, "source": record.source, "reason": record.reason, "figure": record.detail}
        )
        if counts.bad >= _HOPELESS_RECORDS and counts.bad_share > max(max_share, 0.5):
            self._refuse(counts, max_share)

    def rejected(self, document: Document, reason: str, figure: float | str) -> None:
        """A document is left out; `figure` is what decided."""
        self.of(document.source).rejected[reason] += 1
        text = document.text[:KEPT_CHARACTERS].encode("utf-8", "replace").decode()
        self._rejected.write(
            {
                "id": document.id,
                "source": document.source,
                "reason": reason,
                "figure": figure,
                "characters": len(document.text),
                "text": text,
            }
        )

    def counted_as_train(self, document: Document) -> Document:
        """`document`, which ended on the training side."""
        counts = self.of(document.source)
        counts.train += 1
        counts.train_bytes += len(document.text.encode())
        if len(counts.samples) < SAMPLES_PER_SOURCE:
            counts.samples.append({"id": document.id, "text": document.text[:SAMPLE_CHARACTERS]})
        return document

    def heldout(self, document: Document) -> None:
        """A document ended on the held-out side."""
        counts = self.of(document.source)
        counts.heldout += 1
        counts.heldout_bytes += len(document.text.encode())

    def check_bad_share(self, max_share: float) -> None:
        """Raises BadInput when a source has more than `max_share` bad records, with the first one's place."""
        for counts in self.sources.values():
            if counts.bad and counts.bad_share > max_share:
                self._refuse(counts, max_share)

    def _refuse(self, counts: SourceCounts, max_share: float) -> None:
        first = counts.first_bad
        assert first is not None
        what = first.reason.replace("_", " ") + (f" ({first.detail})" if first.detail else "")
        raise BadInput(
            f"{what}; {counts.bad:,} of {counts.bad + counts.read:,} records are bad "
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
            "sources": {name: _source_as_json(counts) for name, counts in self.sources.items()},
            "bad_records": [
                {"place": record.place, "reason": record.reason, "detail": record.detail}
                for record in self.bad_records
            ],
        }


def _source_as_json(counts: SourceCounts) -> dict[str, Any]:
    return {
        "read": {"documents": counts.read, "bytes": counts.read_bytes, "bad_records": counts.bad},
        "train": {"documents": counts.train, "bytes": counts.train_bytes},
        "heldout": {"documents": counts.heldout, "bytes": counts.heldout_bytes},
        "rejected": dict(sorted(counts.rejected.items())),
        "changed": dict(sorted(counts.changed.items())),
        "read_as_windows_1252": counts.foreign,
        "samples": counts.samples,
    }


def first_lines(records: Sequence[BadRecord], count: int = 3) -> str:
    """`FILE:LINE reason, FILE:LINE reason, …` of the first few."""
    return ", ".join(f"{record.place} {record.reason}" for record in records[:count])
