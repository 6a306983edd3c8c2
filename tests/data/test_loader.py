from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.data import best_fit_rows, stream_rows
from workbench.data.loader import NOT_LEARNED, Batch, batches
from workbench.data.order import shuffled
from workbench.data.shards import TokenShards, write_shards
from workbench.errors import BadInput
from workbench.packing import Packing
from workbench.ramps import Doubling, batch_sizes

BOS = 0


@pytest.fixture
def shards(tmp_path: Path) -> TokenShards:
    """53 documents, 1,484 tokens, every token but bos its own number: what is read can be told apart."""
    documents, token = [], 1
    for length in range(1, 54):
        documents.append([BOS, *range(token, token + length)])
        token += length
    return write_shards(tmp_path, documents, vocab_size=2000, shard_tokens=100)


def take(
    shards: TokenShards, count: int, *, seed: int = 0, start_step: int = 0, packing: Packing = "stream"
) -> list[Batch]:
    stream = batches(
        shards, context_length=16, batch_tokens=64, seed=seed, start_step=start_step, packing=packing
    )
    return list(itertools.islice(stream, count))


def as_lists(taken: list[Batch]) -> list[list[list[int]]]:
    return [batch.inputs_BT.tolist() for batch in taken]


def epoch_rows(shards: TokenShards, number: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rows_per_epoch = -(-shards.num_tokens // 16)
    taken = take(shards, (number + 1) * rows_per_epoch // 4 + 1, seed=seed)
    rows = slice(number * rows_per_epoch, (number + 1) * rows_per_epoch)
    inputs = torch.cat([batch.inputs_BT for batch in taken])[rows]
    return inputs, torch.cat([batch.targets_BT for batch in taken])[rows]


def test_shapes_and_types(shards: TokenShards) -> None:
    [batch] = take(shards, 1)
    assert batch.inputs_BT.shape == batch.targets_BT.shape == (4, 16)
    assert batch.inputs_BT.dtype == batch.targets_BT.dtype == torch.int64


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_epoch_reads_every_token_once_and_learns_all_but_the_first(
    shards: TokenShards, number: int
) -> None:
    inputs, targets = epoch_rows(shards, number)
    everything = Counter(shards.read(0, shards.num_tokens).tolist())
    padding = inputs.numel() - shards.num_tokens
    assert Counter(inputs.flatten().tolist()) == everything + Counter({0: padding})
    learned = Counter(targets[targets != NOT_LEARNED].tolist())
    assert learned == everything - Counter({BOS: 1})
    assert int((targets == NOT_LEARNED).sum()) == padding + 1


def test_targets_follow_inputs_inside_documents(shards: TokenShards) -> None:
    inputs, targets = epoch_rows(shards, 0)
    starts = {int(shards.document(i)[1]) for i in range(shards.num_documents)}
    for seen, following in zip(inputs.flatten().tolist(), targets.flatten().tolist(), strict=True):
        if seen != BOS and following not in (BOS, NOT_LEARNED):
            assert following == seen + 1
        if seen == BOS and following != NOT_LEARNED:
            assert following in starts


@pytest.mark.parametrize("packing", ["stream", "best-fit"])
@pytest.mark.parametrize("start_step", [1, 7, 23, 60])
def test_starting_late_is_skipping(shards: TokenShards, start_step: int, packing: Packing) -> None:
    assert as_lists(take(shards, 4, start_step=start_step, packing=packing)) == as_lists(
        take(shards, start_step + 4, packing=packing)[start_step:]
    )


def test_seeds_and_epochs_differ(shards: TokenShards) -> None:
    first, _ = epoch_rows(shards, 0)
    second, _ = epoch_rows(shards, 1)
    other_seed, _ = epoch_rows(shards, 0, seed=1)
    assert not torch.equal(first, second)
    assert not torch.equal(first, other_seed)


def test_a_batch_is_not_one_stretch_of_one_document(tmp_path: Path) -> None:
    novel = write_shards(tmp_path, [[BOS, *range(1, 1600)]], vocab_size=2000, shard_tokens=1000)
    rows = take(novel, 1)[0].inputs_BT
    assert not any(int(rows[i + 1, 0]) == int(rows[i, -1]) + 1 for i in range(3))


def test_a_corpus_smaller_than_a_batch_says_both_numbers(shards: TokenShards) -> None:
    with pytest.raises(BadInput, match=r"1484 tokens, one batch needs 1488"):
        batches(shards, context_length=16, batch_tokens=1488, seed=0)


def test_shuffled_is_a_permutation_that_never_changes() -> None:
    # These numbers are a promise: a run resumed after an upgrade must see the same order.
    assert shuffled(10, key=(0, 0, 0)).tolist() == [0, 7, 4, 9, 2, 1, 6, 8, 5, 3]
    assert np.array_equal(np.sort(shuffled(1000, key=(3, 1))), np.arange(1000))
    assert not np.array_equal(shuffled(1000, key=(3, 1)), shuffled(1000, key=(1, 3)))


def test_isolated_rows_number_their_documents(tmp_path: Path) -> None:
    bos = 0
    documents = [[bos, *range(1, 5)], [bos, *range(1, 8)], [bos, 1], [bos, *range(1, 12)]]
    write_shards(tmp_path, documents, vocab_size=50, shard_tokens=100)
    shards = TokenShards.open(tmp_path)
    batch = next(batches(shards, context_length=8, batch_tokens=24, seed=0, isolate_documents=True))
    assert batch.documents_BT is not None
    starts = batch.documents_BT.diff(dim=1) == 1
    assert (starts == (batch.inputs_BT[:, 1:] == bos)).all()
    assert next(batches(shards, context_length=8, batch_tokens=24, seed=0)).documents_BT is None


@pytest.mark.parametrize("packing", ["stream", "best-fit"])
def test_growing_batches_and_rows_read_the_same_tokens_in_the_same_order(
    shards: TokenShards, packing: Packing
) -> None:
    sizes = batch_sizes(
        tokens=40 * 64,
        batch_tokens=64,
        context_length=16,
        batch_ramp=Doubling(16, 0.4),
        context_ramp=Doubling(4, 0.6),
    )
    stream = batches(
        shards,
        context_length=16,
        batch_tokens=64,
        seed=0,
        isolate_documents=True,
        packing=packing,
        sizes=sizes,
    )
    grown = list(itertools.islice(stream, sizes.num_steps + 1))
    for step, batch in enumerate(grown):
        at = sizes.at(step)
        assert batch.inputs_BT.shape == (at.batch_tokens // at.context_length, at.context_length)
    assert {batch.inputs_BT.shape for batch in grown} == {(4, 4), (8, 4), (4, 8), (8, 8), (4, 16)}
    flat = torch.cat([batch.inputs_BT.flatten() for batch in grown])
    full = torch.cat([batch.inputs_BT.flatten() for batch in take(shards, 41, packing=packing)])
    assert torch.equal(flat, full)

    for start_step in (1, 9, 17, sizes.num_steps):
        late = batches(
            shards,
            context_length=16,
            batch_tokens=64,
            seed=0,
            start_step=start_step,
            packing=packing,
            sizes=sizes,
        )
        assert torch.equal(next(late).targets_BT, grown[start_step].targets_BT)


@pytest.mark.parametrize("packing", ["stream", "best-fit"])
@pytest.mark.parametrize("step", [0, 1, 1000, 10**12])
def test_going_on_takes_as_much_work_at_every_step(
    shards: TokenShards, monkeypatch: pytest.MonkeyPatch, step: int, packing: Packing
) -> None:
    """Batches that were seen are skipped by arithmetic: none of their tokens is read, no order of theirs drawn."""
    tokens_read, orders = [], []
    read = TokenShards.read

    def counted_read(self: TokenShards, start: int, stop: int) -> np.ndarray:
        tokens_read.append(stop - start)
        return read(self, start, stop)

    def counted_order(count: int, *, key: tuple[int, ...]) -> np.ndarray:
        orders.append(key)
        return shuffled(count, key=key)

    monkeypatch.setattr(TokenShards, "read", counted_read)
    for module in (stream_rows, best_fit_rows):
        monkeypatch.setattr(module, "shuffled", counted_order)
    assert len(take(shards, 1, start_step=step, packing=packing)) == 1
    assert 64 // 2 < sum(tokens_read) < 2 * 64  # of one batch
    assert 2 <= len(orders) <= 4  # of documents and of rows, of the one or two epochs that the batch is from
