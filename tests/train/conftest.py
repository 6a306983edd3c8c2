"""A decoder that trains in milliseconds, batches drawn from a seed, and a tokenizer to save with it."""

from __future__ import annotations

from collections.abc import Callable
from pydoc_data.topics import topics

import pytest
import torch

from workbench.data.loader import NOT_LEARNED, Batch
from workbench.model.initialise import initialise
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.tokenizer import Tokenizer, train_tokenizer

TINY = ModelConfig(
    vocab_size=300,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    intermediate_size=48,
    max_position_embeddings=32,
    head_dim=16,
)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return train_tokenizer([topics["class"]], vocab_size=TINY.vocab_size, max_token_length=8)


@pytest.fixture
def make_model() -> Callable[[], Decoder]:
    """Equal tiny decoders, in float32."""
    return lambda: initialise(Decoder(TINY), seed=0)


@pytest.fixture
def make_batch() -> Callable[[int], Batch]:
    """The batch of a step: 6 rows x 8 tokens, unevenly masked (row r learns from its last r + 2)."""

    def batch_of(step: int) -> Batch:
        generator = torch.Generator().manual_seed(step)
        rows = torch.randint(0, TINY.vocab_size, (6, 9), generator=generator).sort(dim=1).values
        targets_BT = rows[:, 1:].clone()
        for row in range(6):
            targets_BT[row, : 6 - row] = NOT_LEARNED
        return Batch(inputs_BT=rows[:, :-1].clone(), targets_BT=targets_BT)

    return batch_of
