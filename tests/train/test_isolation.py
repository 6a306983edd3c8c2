"""The proof that documents of a row do not see each other: the loss of each is the same packed or alone."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch

from workbench.data.loader import NOT_LEARNED, Batch, batches
from workbench.data.shards import TokenShards, write_shards
from workbench.model.initialise import initialise
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.packing import Packing
from workbench.train.losses import next_token_loss

TOLERANCE = 1e-5  # float32, of a loss of about 4
ROW, BATCH = 24, 8


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> TokenShards:
    drawn = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 40, (60,), generator=drawn).tolist()
    documents = [[0, *torch.randint(1, 50, (length,), generator=drawn).tolist()] for length in lengths]
    return write_shards(tmp_path_factory.mktemp("shards"), documents, vocab_size=50, shard_tokens=500)


def make_model(positions: Literal["rotary", "learned"]) -> Decoder:
    config = ModelConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
        head_dim=8,
        positions=positions,
        bigram_embedding_rows=37,
        initializer_range=0.2,  # far from uniform: what is seen decides what is said
    )
    return initialise(Decoder(config), 0)


def documents_of(batch: Batch) -> Iterator[tuple[Batch, Batch]]:
    """Every piece of a document in `batch`: learned among its neighbours, and alone in a row of its own."""
    assert batch.documents_BT is not None
    for row, numbers_T in enumerate(batch.documents_BT):
        for number in numbers_T.unique():
            mine_T = numbers_T == number
            targets_1T = batch.targets_BT[row : row + 1].where(mine_T, NOT_LEARNED)
            if (targets_1T == NOT_LEARNED).all():
                continue  # padding
            among = Batch(batch.inputs_BT[row : row + 1], targets_1T, batch.documents_BT[row : row + 1])
            yield (
                among,
                Batch(batch.inputs_BT[row : row + 1, mine_T], batch.targets_BT[row : row + 1, mine_T]),
            )


@pytest.mark.parametrize("positions", ["rotary", "learned"])
@pytest.mark.parametrize("packing", ["stream", "best-fit"])
def test_a_document_has_the_same_loss_packed_or_alone(
    shards: TokenShards, packing: Packing, positions: Literal["rotary", "learned"]
) -> None:
    model = make_model(positions)
    stream = batches(
        shards, context_length=ROW, batch_tokens=ROW * BATCH, seed=0, isolate_documents=True, packing=packing
    )
    together = unmasked = total = 0.0
    count = shared = 0
    for batch in itertools.islice(stream, 3):
        for among, alone in documents_of(batch):
            packed, lonely = (next_token_loss(model, each) for each in (among, alone))
            assert packed.count == lonely.count
            assert packed.total.item() == pytest.approx(lonely.total.item(), abs=TOLERANCE * packed.count)
            total += lonely.total.item()
            count += lonely.count
            shared += lonely.count < ROW
        together += next_token_loss(model, batch).total.item()
        unmasked += next_token_loss(model, dataclasses.replace(batch, documents_BT=None)).total.item()
    assert shared > 20
    assert together == pytest.approx(total, abs=TOLERANCE * count)
    # The same rows read as one text: what this test would see if isolation were off.
    assert abs(unmasked - total) > 100 * TOLERANCE * count


def test_padding_changes_nothing(tmp_path: Path) -> None:
    """Neither loss nor gradient knows what stands where there is nothing to learn."""
    documents = [[0, *range(first, first + 14)] for first in range(1, 33)]  # no two of them fit into a row
    shards = write_shards(tmp_path, documents, vocab_size=50, shard_tokens=500)
    model = make_model("rotary")
    batch = next(batches(shards, context_length=ROW, batch_tokens=ROW * BATCH, seed=0, packing="best-fit"))
    padding_BT = batch.targets_BT == NOT_LEARNED
    assert padding_BT.any()
    scored: list[int] = []
    outcomes = []
    for filler in (0, 7):
        filled = dataclasses.replace(batch, inputs_BT=batch.inputs_BT.masked_fill(padding_BT, filler))
        loss = next_token_loss(model, filled)
        scored.append(loss.count)
        outcomes.append((loss.total, torch.autograd.grad(loss.total, list(model.parameters()))))
    assert scored == [int((~padding_BT).sum())] * 2
    (one, gradients), (other, others) = outcomes
    assert torch.equal(one, other)
    for gradient, same in zip(gradients, others, strict=True):
        torch.testing.assert_close(gradient, same, rtol=0, atol=1e-5)
