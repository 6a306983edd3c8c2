"""A small tokenizer trained on real text: the language reference that comes with every Python."""

from __future__ import annotations

from pydoc_data.topics import topics

import pytest

from workbench.tokenizer import Tokenizer, train_tokenizer


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return [topics[name] for name in sorted(topics)[:20]]


@pytest.fixture(scope="session")
def tokenizer(texts: list[str]) -> Tokenizer:
    return train_tokenizer(texts, vocab_size=700, max_token_length=16)
