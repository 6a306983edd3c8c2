"""Who stays: the quality filters applied to the figures of documents, all documents at once.

Filters are asked in the order given, their checks in the order of filter_rules.py, and a document that fails one is
not asked further: the first reason wins and keeps the figure that decided. Nothing is measured here, so a changed
threshold costs what it takes to compare two columns of numbers.

Shapes: D documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.filter_rules import FILTERS, LANGUAGE, STOP_WORD_FIGURE, Check, Limit

Columns = Mapping[str, NDArray[Any]]
"""A number per document by the name of the figure; `language`, where there is one, holds codes as text."""

KEPT = 0
"""Stands in `Decisions.rules_D` where no rule rejects."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A check with its threshold."""

    check: Check
    limit: Limit
    max_unspaced_share: float = 1.0
    """Of a check of spaced scripts: where a document has more of others, it is not judged."""

    @property
    def reason(self) -> str:
        """What it rejects documents as."""
        return self.check.reason


@dataclass(frozen=True, slots=True)
class Decisions:
    """What became of each document."""

    rules_D: NDArray[np.uint16]
    """KEPT, or the number of the rule that rejected it, from 1 in the order of the rules."""
    figures_D: NDArray[np.float64]
    """The figure that decided; 0 where it was kept."""
    not_judged: dict[str, int]
    """By reason, how many documents a rule was asked about and had nothing to say of: their script or language."""


def rules_of(filters: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> tuple[Rule, ...]:
    """The rules of the filters named, in order. `settings`: the recipe table of each filter, by its name."""
    rules = []
    for name in filters:
        table = settings[name]
        for check in FILTERS[name]:
            limit = table[check.key]
            unspaced = table["max_unspaced_share"] if check.spaced else 1.0
            rules.append(Rule(check, limit if isinstance(limit, tuple) else float(limit), unspaced))
    return tuple(rules)


def decide(columns: Columns, rules: Sequence[Rule]) -> Decisions:
    """What the first rule that rejects says of each document; a figure exactly at a threshold passes."""
    count = len(next(iter(columns.values()))) if columns else 0
    decided = np.zeros(count, np.uint16)
    figures = np.zeros(count, np.float64)
    not_judged: dict[str, int] = {}
    open_ = np.ones(count, bool)
    for number, rule in enumerate(rules, 1):
        values, judged = _figure(columns, rule)
        if judged is not None:
            if unjudged := int(np.count_nonzero(open_ & ~judged)):
                not_judged[rule.reason] = unjudged
            failed = open_ & judged & _fails(values, rule)
        else:
            failed = open_ & _fails(values, rule)
        decided[failed] = number
        shown = columns["language_confidence"] if rule.check.figure == LANGUAGE else values
        figures[failed] = shown[failed]
        open_ &= ~failed
    return Decisions(decided, figures, not_judged)


def _fails(values_D: NDArray[Any], rule: Rule) -> NDArray[np.bool_]:
    if isinstance(rule.limit, tuple):
        return ~np.isin(values_D, rule.limit)
    # Shares are kept as float32; in it the threshold is rounded as they are, so that one exactly at it stays at it.
    limit = np.float32(rule.limit) if values_D.dtype == np.float32 else np.float64(rule.limit)
    # Asked this way round, what is no number fails.
    return ~(values_D >= limit if rule.check.wants == "at least" else values_D <= limit)


def _figure(columns: Columns, rule: Rule) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """The column that `rule` looks at, and of which documents it may say something; None: of all."""
    judged = None
    if rule.check.spaced and rule.max_unspaced_share < 1:
        judged = columns["unspaced_share"] <= np.float32(rule.max_unspaced_share)
    if rule.check.figure != STOP_WORD_FIGURE:
        return columns[rule.check.figure], judged
    prefix = f"{STOP_WORD_FIGURE}_"
    lists = {name.removeprefix(prefix): column for name, column in columns.items() if name.startswith(prefix)}
    if LANGUAGE not in columns:
        any_list = np.maximum.reduce(list(lists.values()))
        return any_list, judged
    language = columns[LANGUAGE]
    known = np.isin(language, list(lists))
    values = np.zeros(len(language), np.uint32)
    for code, column in lists.items():
        np.copyto(values, column, where=language == code)
    return values, known if judged is None else known & judged
