"""A scorecard as a table: a row a figure, a column a model, with intervals, baselines and what training had seen.

Paper: reads scorecard.json, which the `eval` stage wrote. Knows no model.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import BadInput
from workbench.facts_file import read_facts
from workbench.safe_text import one_line

SCORECARD_FILE = "scorecard.json"
Z_95 = 1.96
"""Standard errors to either side of a figure that hold the true one in 95 of 100 measurements."""
LESS_IS_BETTER = (
    "bits_per_byte",
    "perplexity",
    "loss",
    "gzip",
    "xz",
    "xz-with-training-text",
    "kneser-ney-5",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """A figure measured on `n` items; `stderr` is None where it is not known."""

    value: float
    stderr: float | None
    n: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the true figure lies, 95 times of 100."""
        if self.stderr is None:
            return None
        return self.value - Z_95 * self.stderr, self.value + Z_95 * self.stderr

    def differs_from(self, other: Score) -> bool | None:
        """Whether the two are surely (95 %) not the same; None where nobody can tell. Takes them as independent."""
        if self.stderr is None or other.stderr is None:
            return None
        return abs(self.value - other.value) > Z_95 * math.hypot(self.stderr, other.stderr)


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One figure of one task: by model, and what is had without one. `less_is_better` of losses."""

    task: str
    metric: str
    scores: Mapping[str, Score]
    less_is_better: bool


@dataclasses.dataclass(frozen=True, slots=True)
class ScorecardReport:
    """All rows. `models` in order of training; `seen` by task: items, seen, dropped, too_short."""

    folder: Path
    models: tuple[str, ...]
    rows: tuple[Row, ...]
    baselines: Mapping[str, Mapping[str, Score]]
    seen: Mapping[str, Mapping[str, int]]


def read_scorecard(folder: Path) -> ScorecardReport:
    """The scorecard in `folder`. Raises BadInput when it is missing or none."""
    path = folder / SCORECARD_FILE
    facts = read_facts(path)
    try:
        cards = {str(name): each["tasks"] for name, each in facts["models"].items()}
        figures: dict[tuple[str, str], dict[str, Score]] = {}
        for model, tasks in cards.items():
            for task, metrics in tasks.items():
                for metric, told in metrics.items():
                    figures.setdefault((str(task), str(metric)), {})[model] = _score(told)
        return ScorecardReport(
            folder=folder,
            models=tuple(cards),
            rows=tuple(
                Row(task, metric, scores, metric.removesuffix("_clean") in LESS_IS_BETTER)
                for (task, metric), scores in figures.items()
            ),
            baselines={
                str(task): {str(name): _score(told) for name, told in each.items()}
                for task, each in facts.get("baselines", {}).items()
            },
            seen={
                str(task): {str(name): int(count) for name, count in each.items()}
                for task, each in facts.get("contamination", {}).items()
            },
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        said = one_line(str(error), 60)
        raise BadInput(f"is no scorecard ({type(error).__name__}: {said})", file=path) from None


def _score(told: Mapping[str, Any]) -> Score:
    stderr = told.get("stderr")
    return Score(float(told["value"]), None if stderr is None else float(stderr), int(told["n"]))
