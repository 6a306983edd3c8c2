"""Pairs of tokens are counted over the whole stream, however it is cut."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from workbench.data import pairs
from workbench.data.pairs import count_pairs
from workbench.data.shards import write_shards


@pytest.mark.parametrize("at_once", [1, 3, 7, 1000])
def test_every_pair_counts_once_across_shards_and_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(pairs, "_AT_ONCE", at_once)
    documents = [[0, 3, 3, 1], [0, 2], [0, 3, 3, 3, 1, 0, 2]]
    shards = write_shards(tmp_path, documents, vocab_size=5, shard_tokens=4)
    stream = [token for document in documents for token in document]
    expected = np.zeros((5, 5), dtype=np.int64)
    for first, second in itertools.pairwise(stream):
        expected[first, second] += 1
    assert (count_pairs(shards) == expected).all()


def test_of_a_large_corpus_the_beginning_counts(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, [[0, 1, 2, 1, 2, 3]], vocab_size=4, shard_tokens=100)
    counts_VV = count_pairs(shards, most_tokens=4)
    assert counts_VV.sum() == 3 and counts_VV[0, 1] == counts_VV[1, 2] == counts_VV[2, 1] == 1


def test_a_corpus_of_one_token_has_no_pair(tmp_path: Path) -> None:
    assert not count_pairs(write_shards(tmp_path, [[1]], vocab_size=3, shard_tokens=100)).any()
