"""Which pairs of documents locality-sensitive hashing finds: arithmetic of bands and rows. Ground: numbers only."""

from __future__ import annotations


def candidate_probability(jaccard: float, *, bands: int, rows: int) -> float:
    """How likely two documents of this Jaccard similarity share a band: 1 - (1 - J^rows)^bands.

    Each of the `bands` × `rows` hashes agrees with probability J (Broder 1997); a pair is compared when all rows
    of at least one band agree (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, 3.4).
    """
    return 1.0 - (1.0 - jaccard**rows) ** bands


def half_point(*, bands: int, rows: int) -> float:
    """The similarity at which half of the pairs are found, where the curve is steepest or nearly so."""
    return float((1.0 - 0.5 ** (1.0 / bands)) ** (1.0 / rows))
