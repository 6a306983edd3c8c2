"""What is found out about the texts of a block, layer by layer, behind one interface.

A measure is a frozen record of its settings. It gives named arrays; a name is what rules and the report call that
figure. Its layer is made again when `layer`, `version` or `settings` change, and never because a threshold did.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from workbench.corpus import figures
from workbench.corpus.bad_words import BadWords
from workbench.corpus.figures import FigureSettings
from workbench.corpus.language import BundledModel, FastTextModel, bundled_model
from workbench.corpus.layers import Arrays
from workbench.corpus.sketches import MinHash, sketch


class Measure(Protocol):
    """Figures of texts. Survives pickle: it is sent to the processes that measure."""

    @property
    def layer(self) -> str:
        """The folder of its layers in the cache, such as `figures`."""

    @property
    def version(self) -> str:
        """Another one when the same text gives other figures than before."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What its figures follow from besides the text: plain data."""

    def figures(self, texts: Sequence[str]) -> Arrays:
        """Arrays for all texts of a block, in order. Any text will do."""


@dataclass(frozen=True)
class QualityFigures:
    """What Gopher, C4 and FineWeb ask about, one row a text."""

    of: FigureSettings
    layer: str = "figures"
    version: str = figures.VERSION

    @property
    def settings(self) -> Mapping[str, Any]:
        """Stop words and lengths."""
        return dataclasses.asdict(self.of)

    def figures(self, texts: Sequence[str]) -> Arrays:
        """A column a figure."""
        return figures.measure(texts, self.of)


@dataclass(frozen=True)
class LanguageFigures:
    """Which language each text is in, and how sure that is."""

    model: Path | None
    """A fastText model; None for the one that comes along."""
    digest: str
    layer: str = "language"
    version: str = "1"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Which model."""
        return {"model": self.digest}

    def figures(self, texts: Sequence[str]) -> Arrays:
        """`language`, 8 bytes a text of the ISO 639 code, and `language_confidence`."""
        codes, sure = _language_model(self.model, self.digest).languages(texts)
        letters = np.array([code.encode() for code in codes], dtype="S8")
        return {
            "language": letters.view(np.uint8).reshape(len(codes), 8),
            "language_confidence": sure.astype(np.float32),
        }


@functools.lru_cache(maxsize=1)
def _language_model(path: Path | None, digest: str) -> BundledModel | FastTextModel:
    return bundled_model() if path is None else FastTextModel(path)


@dataclass(frozen=True)
class BadWordCounts:
    """How often words of a list stand in each text."""

    words: BadWords
    digest: str
    """Of the list."""
    layer: str = "bad_words"
    version: str = "1"

    @property
    def settings(self) -> Mapping[str, Any]:
        """The list."""
        return {"words": self.digest}

    def figures(self, texts: Sequence[str]) -> Arrays:
        """The column `bad_words`."""
        return {"bad_words": self.words.count(texts)}


@dataclass(frozen=True)
class NearSketches:
    """MinHash signatures, [texts, permutations], and how many shingles each text has."""

    of: MinHash
    layer: str = "sketch"
    version: str = "1"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Shingles and permutations; how these are cut into bands is decided later."""
        return {"ngram": self.of.ngram, "permutations": self.of.permutations, "seed": self.of.seed}

    def figures(self, texts: Sequence[str]) -> Arrays:
        """The arrays `signatures` and `shingles`."""
        sketches = sketch(texts, self.of)
        return {"signatures": sketches.signatures_NP, "shingles": sketches.shingles_N}
