"""What is done to the texts of a block before anything is measured: cleaned, and lines cut out.

clean      mojibake, newlines, control characters, normal form (data/clean.py)
c4_lines   lines that are no sentences are dropped (c4_lines.py)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.c4_lines import DROPPED, LineRules, edit_lines
from workbench.corpus.pii import KINDS, Kind, mask
from workbench.data import clean as cleaning
from workbench.data.clean import Normalization, clean

CHANGES = (*cleaning.CHANGES, "c4_lines", "masked")
"""What may be changed, in the order it is."""
MASKED_SAMPLES = 10
"""Of a block: what was masked, made unreadable."""


@dataclass(frozen=True, slots=True)
class Masking:
    """What is masked: the keys of [corpus.pii] that are on."""

    kinds: tuple[Kind, ...]
    private_addresses: bool = False


@dataclass(frozen=True, slots=True)
class Editing:
    """What is done to every text, in this order: the keys of [corpus] of the same names."""

    repair_unicode: bool = True
    normalization: Normalization = "NFC"
    c4_lines: LineRules | None = None
    pii: Masking | None = None


@dataclass(frozen=True, slots=True)
class Edited:
    """Texts, and what was changed in each, [texts]."""

    texts: list[str]
    changed: NDArray[np.uint16]
    """A bit for each of CHANGES."""
    removed: NDArray[np.uint32]
    """[texts, kinds] characters (escapes: sequences) that cleaning took out, by REMOVED."""
    lines_dropped: NDArray[np.uint32]
    """[texts, kinds] lines that C4's rules cut out, by DROPPED; [texts, 0] without those rules."""
    masked: NDArray[np.uint32]
    """[texts, kinds] of KINDS that were masked; [texts, 0] where nothing is."""
    masked_samples: list[str]
    """`KIND SHAPE` of some of them."""


def edit(texts: Sequence[str], editing: Editing) -> Edited:
    """`texts` as a model is to read them."""
    changed = np.zeros(len(texts), dtype=np.uint16)
    removed = np.zeros((len(texts), len(cleaning.REMOVED)), dtype=np.uint32)
    edited = []
    for place, text in enumerate(texts):
        cleaned = clean(text, repair=editing.repair_unicode, normalization=editing.normalization)
        edited.append(cleaned.text)
        for change in cleaned.changes:
            changed[place] |= 1 << CHANGES.index(change)
        for kind, count in cleaned.removed.items():
            removed[place, cleaning.REMOVED.index(kind)] = count
    dropped = np.zeros((len(texts), 0), dtype=np.uint32)
    if editing.c4_lines is not None:
        lines = edit_lines(edited, editing.c4_lines)
        is_cut = np.array([old is not new for old, new in zip(edited, lines.texts, strict=True)], dtype=bool)
        changed[is_cut] |= 1 << CHANGES.index("c4_lines")
        edited, dropped = lines.texts, np.stack([lines.dropped[kind] for kind in DROPPED], axis=1)
    masked, samples = np.zeros((len(texts), 0), dtype=np.uint32), list[str]()
    if editing.pii is not None:
        edited, masked, samples = _mask(edited, editing.pii)
        changed[masked.any(axis=1)] |= 1 << CHANGES.index("masked")
    return Edited(edited, changed, removed, dropped, masked, samples)


def _mask(texts: Sequence[str], masking: Masking) -> tuple[list[str], NDArray[np.uint32], list[str]]:
    """The texts with masks, how many of each kind, and samples."""
    counts = np.zeros((len(texts), len(KINDS)), dtype=np.uint32)
    masked, samples = [], list[str]()
    for place, text in enumerate(texts):
        found = mask(
            text,
            masking.kinds,
            private_addresses=masking.private_addresses,
            max_samples=MASKED_SAMPLES - len(samples),
        )
        masked.append(found.text)
        for kind, count in found.counts.items():
            counts[place, KINDS.index(kind)] = count
        samples += [f"{kind} {shape}" for kind, shape in found.samples][: MASKED_SAMPLES - len(samples)]
    return masked, counts, samples
