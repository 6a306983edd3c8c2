"""A tokenizer, a small random model and some documents: what the evals are tried on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch

from workbench.evals.subject import Subject
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.tokenizer import Tokenizer, train_tokenizer

TEXTS = [
    "Return the absolute value of the argument.",
    "é — ünïcödé, 你好 and 👩‍👧: every byte counts.",
    "Open a file and return a stream. " * 20,
    "x",
    "The quick brown fox jumps over the lazy dog, and the dog does not mind at all. " * 3,
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return list(TEXTS)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS * 3, vocab_size=300, max_token_length=8)


@pytest.fixture(scope="session")
def model(tokenizer: Tokenizer) -> Decoder:
    torch.manual_seed(0)
    decoder = Decoder(
        ModelConfig(
            vocab_size=tokenizer.vocab_size,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=64,
            max_position_embeddings=64,
            head_dim=16,
        )
    )
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return decoder


@pytest.fixture(scope="session")
def subject(model: Decoder, tokenizer: Tokenizer) -> Subject:
    return Subject(model, tokenizer, context_length=64, batch_tokens=256)


class Chain(torch.nn.Module):
    """A rigged model: the next token depends on the last one only, by a table of ln p."""

    def __init__(self, log_p_VV: torch.Tensor) -> None:
        super().__init__()
        self.log_p_VV = torch.nn.Parameter(log_p_VV)
        size = len(log_p_VV)
        self.config = ModelConfig(
            vocab_size=size,
            hidden_size=size,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
            intermediate_size=1,
            max_position_embeddings=4096,
            head_dim=2,
        )

    @classmethod
    def that_says(cls, sequences: Sequence[Sequence[int]], *, vocab_size: int) -> Chain:
        """Finds the steps of `sequences` likely (p = 0.9 shared) and all else not."""
        wanted = torch.full((vocab_size, vocab_size), 1e-6)
        for ids in sequences:
            for before, after in itertools.pairwise(ids):
                wanted[before, after] += 0.9
        return cls((wanted / wanted.sum(-1, keepdim=True)).log())

    def hidden(self, ids_BT: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(ids_BT, len(self.log_p_VV)).float()

    def head(self, x_BTV: torch.Tensor) -> torch.Tensor:
        return x_BTV @ self.log_p_VV

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        return self.head(self.hidden(ids_BT))


@pytest.fixture(scope="session")
def chain() -> type[Chain]:
    return Chain
