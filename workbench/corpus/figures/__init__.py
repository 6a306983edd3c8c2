"""The figures of the quality filters: what is measured of a text, apart from what is thought of it.

    characters.py   what kind each character is          layout.py      where words, lines and paragraphs lie
    equality.py     what stands more than once           repetition.py  lines and n-grams that repeat
    measure.py      all figures of a batch of texts

Gopher (Rae et al. 2021), C4 (Raffel et al. 2020) and FineWeb (Penedo et al. 2024) share most of them, so all are
measured in one pass; thresholds come later (workbench/corpus/filters.py). Each figure's name is used in columns,
reasons and reports alike.
"""

from __future__ import annotations

import unicodedata

from workbench.corpus.figures.layout import MOST_CHARACTERS
from workbench.corpus.figures.measure import (
    Columns,
    FigureSettings,
    figure_names,
    measure,
)

VERSION = f"2-unicode{unicodedata.unidata_version}"
"""Changes when the same text and settings give other figures: part of the key that figures are kept by."""

__all__ = [
    "MOST_CHARACTERS",
    "VERSION",
    "Columns",
    "FigureSettings",
    "figure_names",
    "measure",
]
