"""What a corpus tells of itself: its funnel, why a document was left out, how figures are spread. Judges nothing.

Paper: `workbench inspect` and the corpus room are two views of it. The report is written by the `corpus` stage.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workbench.errors import BadInput
from workbench.facts_file import read_facts
from workbench.filter_rules import CHECKS, FILTERS, explain
from workbench.safe_text import one_line

REPORT_FILE = "report.json"
# What the figure beside a reason means, where no filter says it better.
FIGURES = {
    "too_short": "{} characters",
    "too_long": "{} characters",
    "duplicate": "the same as {}",
    "near_duplicate": "{:.0%} of their word runs are the same",
    "contaminated": "holds {:.0%} of a test item",
    "only_repeated_parts": "{} characters are left without what stands elsewhere",
    "near_copy_of_training": "{:.0%} of its 8-word runs are in training text",
    "heldout_surplus": "the held-out part holds at most {} bytes",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A step of the funnel: what it was given, what it kept, and why it left out the rest (documents by reason)."""

    name: str
    given: int
    kept: int
    kept_bytes: int
    reasons: Mapping[str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Histogram:
    """How a figure is spread over all documents: `edges`, one more than `counts`."""

    name: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    least: float
    most: float


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """What became of one source's records, and a few of its documents as (id, text)."""

    name: str
    read: int
    kept: int
    kept_bytes: int
    heldout: int
    rejected: int
    changed: Mapping[str, int]
    samples: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class ItemsFound:
    """A set of test items that was looked for: how many there are, were found, and are too short to tell."""

    name: str
    items: int
    seen: int
    too_short: int


@dataclasses.dataclass(frozen=True, slots=True)
class CorpusReport:
    """The report of one corpus folder. Without `steps` (an older corpus) `reasons` are all that is known."""

    folder: Path
    read: int
    kept: int
    kept_bytes: int
    heldout: int
    heldout_bytes: int
    steps: tuple[Step, ...]
    reasons: Mapping[str, int]
    histograms: tuple[Histogram, ...]
    sources: tuple[Source, ...]
    clusters: int
    cluster_sizes: Mapping[str, int]
    test_items: tuple[ItemsFound, ...]


def read_corpus_report(folder: Path) -> CorpusReport:
    """The report of a `documents` artifact. Raises BadInput when it is missing or none."""
    path = folder / REPORT_FILE
    facts = read_facts(path)
    try:
        return CorpusReport(
            folder=folder,
            read=int(facts["read"]),
            kept=int(facts["documents"]),
            kept_bytes=int(facts["bytes"]),
            heldout=int(facts["heldout_documents"]),
            heldout_bytes=int(facts["heldout_bytes"]),
            steps=tuple(_step(each) for each in facts.get("steps", ())),
            reasons={str(name): int(count) for name, count in facts["rejected"].items()},
            histograms=tuple(
                _histogram(str(name), each)
                for name, each in facts.get("histograms", {}).items()
                if each["counts"]
            ),
            sources=tuple(_source(str(name), each) for name, each in facts["sources"].items()),
            clusters=int(facts.get("clusters", {}).get("count", 0)),
            cluster_sizes={str(k): int(v) for k, v in facts.get("clusters", {}).get("sizes", {}).items()},
            test_items=tuple(
                _test_items(each) for each in (facts.get("contamination") or {}).get("sets", ())
            ),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        said = one_line(str(error), 60)
        raise BadInput(f"is no report on a corpus ({type(error).__name__}: {said})", file=path) from None


def limit_of(folder: Path, reason: str) -> Any:
    """The threshold of a reason, as the corpus was made with it; None where that is not known."""
    check, manifest = CHECKS.get(reason), folder / "manifest.json"
    if check is None or not manifest.is_file():
        return None
    settings = read_facts(manifest).get("settings", {})
    name = next(each for each, checks in FILTERS.items() if check in checks)
    table = settings.get(name) if name != "length" else settings
    return table.get(check.key) if isinstance(table, dict) else None


def decided(reason: str, value: Any, limit: Any) -> str:
    """Why a document was left out, in words: `value` is the figure that decided, `limit` what `limit_of` says."""
    if reason in CHECKS and limit is not None and isinstance(value, int | float):
        return explain(reason, value, tuple(limit) if isinstance(limit, list) else limit)
    if reason in FIGURES and isinstance(value, int | float | str):
        return FIGURES[reason].format(value)
    return str(value) if value not in (None, "") else "no more is known"


def histograms_of(report: CorpusReport, figures: Iterable[str]) -> list[Histogram]:
    """The histograms of `figures`; one that there is of each language under all its names."""
    wanted = tuple(dict.fromkeys(figures))
    starts = tuple(f"{each}_" for each in wanted)
    return [each for each in report.histograms if each.name in wanted or each.name.startswith(starts)]


def _test_items(facts: Mapping[str, Any]) -> ItemsFound:
    counts = (int(facts.get(name) or 0) for name in ("items", "seen", "too_short"))
    return ItemsFound(str(facts.get("name")), *counts)


def _step(facts: Mapping[str, Any]) -> Step:
    return Step(
        name=str(facts["step"]),
        given=int(facts["in"]["documents"]),
        kept=int(facts["kept"]["documents"]),
        kept_bytes=int(facts["kept"]["bytes"]),
        reasons={str(name): int(each["documents"]) for name, each in facts["rejected"].items()},
    )


def _histogram(name: str, facts: Mapping[str, Any]) -> Histogram:
    edges, counts = facts["edges"], facts["counts"]
    return Histogram(
        name,
        tuple(map(float, edges)),
        tuple(map(int, counts)),
        float(facts["least"]),
        float(facts["most"]),
    )


def _source(name: str, facts: Mapping[str, Any]) -> Source:
    return Source(
        name=name,
        read=int(facts["read"]["documents"]),
        kept=int(facts["train"]["documents"]),
        kept_bytes=int(facts["train"]["bytes"]),
        heldout=int(facts["heldout"]["documents"]),
        rejected=sum(map(int, facts["rejected"].values())),
        changed={str(what): int(count) for what, count in facts.get("changed", {}).items()},
        samples=tuple((str(each["id"]), str(each["text"])) for each in facts.get("samples", ())),
    )
