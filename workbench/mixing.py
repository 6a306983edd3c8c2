"""Mixtures as arithmetic: how often each source is read, by weights that may change as training goes on.

A source of weight 2 is read twice as often as one of weight 1: weights are of epochs, not of tokens, so that a
weight says the same of a book and of a library. Knows no files and no tensors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from workbench.packing import Lengths, Packing, packing_figures

Weights = Mapping[str, float]
"""How often a source is read, by name, relative to one of weight 1, which those have that are not named."""


@dataclasses.dataclass(frozen=True, slots=True)
class Phase:
    """A part of the training, up to the share `until` of its tokens, in which the sources have these weights."""

    until: float
    weights: Weights


@dataclasses.dataclass(frozen=True, slots=True)
class ReadingFigures:
    """What a training reads: passes over each source, and packing's shares of all of it (PackingFigures)."""

    epochs: dict[str, float]
    padding_share: float
    cut_share: float


def share_of_rows(weights: Weights, rows_per_epoch: Mapping[str, int]) -> dict[str, Fraction]:
    """The share of the rows that are from each source, exactly: its weight times its rows."""
    wanted = {source: Fraction(weights.get(source, 1.0)) * rows for source, rows in rows_per_epoch.items()}
    total = sum(wanted.values())
    assert total > 0, "a mixture reads something"
    return {source: share / total for source, share in wanted.items()}


def ends_of_phases(phases: Sequence[Phase], num_rows: int) -> list[int]:
    """The number of the first row behind each phase. The last phase has no end: who reads on stays in it."""
    return [round(phase.until * num_rows) for phase in phases[:-1]]


def phase_of_row(phases: Sequence[Phase], row: int, *, num_rows: int) -> int:
    """The number of the phase that row `row` of `num_rows` is in; 0 without phases."""
    return sum(end <= row for end in ends_of_phases(phases, num_rows))


def reading_figures(
    lengths: Mapping[str, Lengths],
    phases: Sequence[Phase],
    *,
    packing: Packing,
    row_length: int,
    num_rows: int,
) -> ReadingFigures:
    """What `num_rows` rows read of documents of these lengths, by source. Without phases they are one corpus."""
    if not phases:
        merged = _merged(lengths.values())
        figures = packing_figures(merged, packing=packing, row_length=row_length)
        passes = num_rows / figures.rows if figures.rows else 0.0
        return ReadingFigures(dict.fromkeys(lengths, passes), figures.padding_share, figures.cut_share)
    of = {
        name: packing_figures(each, packing=packing, row_length=row_length) for name, each in lengths.items()
    }
    epochs = dict.fromkeys(lengths, 0.0)
    rows_per_epoch = {name: each.rows for name, each in of.items()}
    ends = [*ends_of_phases(phases, num_rows), num_rows]
    for phase, start, end in zip(phases, [0, *ends], ends, strict=False):
        for name, share in share_of_rows(phase.weights, rows_per_epoch).items():
            epochs[name] += float(share) * (end - start) / max(rows_per_epoch[name], 1)
    tokens = sum(epochs[name] * each.tokens for name, each in of.items())
    cut = sum(epochs[name] * each.tokens * each.cut_share for name, each in of.items())
    return ReadingFigures(
        epochs, max(0.0, 1 - tokens / (num_rows * row_length)), cut / tokens if tokens else 0.0
    )


def _merged(many: Iterable[Lengths]) -> dict[int, int]:
    merged: dict[int, int] = {}
    for lengths in many:
        for length, count in lengths.items():
            merged[length] = merged.get(length, 0) + count
    return merged
