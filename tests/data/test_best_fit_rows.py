"""Best-fit rows: every document once an epoch, whole where it fits, another arrangement every epoch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from workbench.data.best_fit_rows import BestFitRows
from workbench.data.packed_rows import NOT_LEARNED, Row
from workbench.data.shards import TokenShards, write_shards
from workbench.packing import packing_figures

BOS, ROW = 0, 16


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> TokenShards:
    """106 documents of 2 to 54 tokens, every token but bos its own number: what is read can be told apart."""
    documents, token = [], 1
    for length in [*range(1, 54), *range(1, 54)]:
        documents.append([BOS, *range(token, token + length)])
        token += length
    return write_shards(tmp_path_factory.mktemp("shards"), documents, vocab_size=3000, shard_tokens=100)


def epoch(rows: BestFitRows, number: int) -> list[Row]:
    return [rows.row(number * rows.rows_per_epoch + rank) for rank in range(rows.rows_per_epoch)]


def pieces(rows: list[Row]) -> list[tuple[list[int], list[int]]]:
    """Inputs and targets of every piece of a document."""
    found = []
    for row in rows:
        for document in range(int(row.documents_T.max()) + 1):
            inside = (row.documents_T == document) & (row.targets_T != NOT_LEARNED)
            if inside.any():
                found.append((row.inputs_T[inside].tolist(), row.targets_T[inside].tolist()))
    return found


@pytest.mark.parametrize("number", [0, 1, 5])
def test_every_document_is_read_once_whole_if_it_fits_and_its_end_is_learned(
    shards: TokenShards, number: int
) -> None:
    found = pieces(epoch(BestFitRows(shards, row_length=ROW, key=(0,)), number))
    expected = []
    for document in (shards.document(i).tolist() for i in range(shards.num_documents)):
        for start in range(0, len(document), ROW):
            expected.append((document[start : start + ROW], [*document, BOS][start + 1 : start + ROW + 1]))
    assert sorted(found) == sorted(expected)


def test_padding_stands_behind_the_documents_and_belongs_to_none(shards: TokenShards) -> None:
    padding = 0
    for row in epoch(BestFitRows(shards, row_length=ROW, key=(0,)), 0):
        empty = row.targets_T == NOT_LEARNED
        padding += int(empty.sum())
        assert (np.diff(empty.astype(int)) >= 0).all()
        assert set(row.documents_T[empty]).isdisjoint(row.documents_T[~empty])
    figures = packing_figures(lengths(shards), packing="best-fit", row_length=ROW)
    assert padding == figures.rows * ROW - figures.tokens > 0
    assert figures.padding_share < 0.02


def lengths(shards: TokenShards) -> Counter[int]:
    return Counter(np.diff(shards.bounds).tolist())


def test_epochs_and_seeds_differ_in_what_shares_a_row_and_in_order(shards: TokenShards) -> None:
    first = BestFitRows(shards, row_length=ROW, key=(0,))
    arranged = [
        [tuple(row.inputs_T) for row in rows if row.documents_T[-1]]  # of several documents
        for rows in (
            epoch(first, 0),
            epoch(first, 1),
            epoch(BestFitRows(shards, row_length=ROW, key=(1,)), 0),
        )
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert arranged[one] != arranged[other]
        assert len(set(arranged[one]) & set(arranged[other])) < len(arranged[0]) / 2
    assert arranged[0] != sorted(arranged[0], key=lambda row: row.count(BOS))


def test_some_documents_alone(shards: TokenShards) -> None:
    chosen = np.array([3, 50, 7, 105])
    rows = BestFitRows(shards, row_length=ROW, key=(0, 2), documents=chosen)
    read = Counter(token for inputs, _ in pieces(epoch(rows, 1)) for token in inputs)
    assert read == Counter(token for i in chosen for token in shards.document(int(i)).tolist())
