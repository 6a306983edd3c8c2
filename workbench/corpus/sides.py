"""Who is trained on and who is measured on: decided over the table, by positions that follow from the text alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.corpus.document_table import DocumentTable
from workbench.corpus.writing import HELD_OUT, TRAIN
from workbench.data.heldout import HeldOut
from workbench.data.split import POSITIONS

FEW = 20
"""Documents held out by hash that say little about how much will be held out."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The split of the documents that stay."""

    heldout: list[int]
    """In order of position: any first few are a fair sample of it."""
    surplus: NDArray[np.int64]
    """What a source itself holds out, beyond what is allowed: it is neither trained nor measured on."""
    train: int
    train_characters: int


def split(
    table: DocumentTable, staying: NDArray[np.bool_], *, heldout_fraction: float, heldout_max_bytes: int
) -> Sides:
    """Holds out `heldout_fraction` of the documents that stay, by their texts, and what their source holds out.

    A document held out by hash that finds no room goes to the training side. When no document would be left to
    train on, or a few large ones, such as one book of six, are far more than `heldout_fraction`, those held out by
    hash all go there (and passages of them are held out later).
    """
    heldout: HeldOut[int] = HeldOut(max_bytes=heldout_max_bytes)
    below = round(heldout_fraction * POSITIONS)
    by_source, position = table.columns["heldout"], table.columns["position"]
    sizes, characters = table.columns["bytes"], table.columns["characters"]
    is_candidate = (by_source == 1) | ((by_source == -1) & (position < np.uint64(below)))
    surplus = []
    for document in map(int, np.flatnonzero(staying & is_candidate)):
        for lost in heldout.add(document, int(position[document]), int(sizes[document])):
            if by_source[lost] == 1:
                surplus.append(lost)
    chosen = heldout.documents()
    by_hash = [document for document in chosen if by_source[document] != 1]
    stay = staying.copy()
    stay[surplus] = False
    total = int(characters[stay].sum(dtype=np.int64))
    held, by_hash_characters = (
        int(characters[np.array(each, dtype=np.int64)].sum(dtype=np.int64)) for each in (chosen, by_hash)
    )
    train = int(stay.sum()) - len(chosen)
    is_lumpy = 0 < len(by_hash) < FEW and by_hash_characters > 2 * heldout_fraction * (
        by_hash_characters + total - held
    )
    if not train or is_lumpy:
        chosen = [document for document in chosen if by_source[document] == 1]
        held -= by_hash_characters
        train += len(by_hash)
    return Sides(chosen, np.array(surplus, dtype=np.int64), train, total - held)


def sides_of(count: int, heldout: list[int]) -> NDArray[np.uint8]:
    """For each of `count` documents TRAIN or HELD_OUT."""
    sides = np.full(count, TRAIN, dtype=np.uint8)
    sides[np.array(heldout, dtype=np.int64)] = HELD_OUT
    return sides
