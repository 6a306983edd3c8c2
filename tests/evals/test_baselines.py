"""The figures of the compressors are those of the tools, and training text helps where it should."""

from __future__ import annotations

import gzip
import lzma
import random

import numpy as np
import pytest

from workbench.evals import baselines, passages
from workbench.tokenizer import Tokenizer


def test_gzip_and_xz_are_the_tools(texts: list[str]) -> None:
    whole = "\n".join(texts).encode()
    num_bytes = sum(len(text.encode()) for text in texts)
    assert baselines.gzip_bits_per_byte(texts) == 8 * len(gzip.compress(whole, 9)) / num_bytes
    ours, tool = baselines.xz_bits_per_byte(texts), 8 * len(lzma.compress(whole, preset=9)) / num_bytes
    assert ours == pytest.approx(tool, rel=0.01)


def test_random_text_costs_its_entropy() -> None:
    rng = random.Random(0)
    text = "".join(rng.choices("0123456789abcdef", k=20_000))  # four bits a character
    assert 4.0 < baselines.gzip_bits_per_byte([text]) < 4.8
    assert 4.0 < baselines.xz_bits_per_byte([text]) < 4.8


def test_xz_that_has_seen_the_text_pays_little() -> None:
    rng = random.Random(0)
    text = "".join(rng.choices("abcd", k=20_000))
    other = "".join(rng.choices("abcd", k=20_000))
    assert baselines.xz_bits_per_byte([text], training_texts=[other, text]) < 0.05
    assert baselines.xz_bits_per_byte([text], training_texts=[other]) == pytest.approx(2.2, rel=0.25)


def test_kneser_ney_counts_the_same_bytes_and_tokens(tokenizer: Tokenizer, texts: list[str]) -> None:
    ids = np.concatenate([passage.ids for passage in passages.documents(tokenizer, texts)])
    figure = baselines.kneser_ney_bits_per_byte(tokenizer, texts, training_ids=ids)
    assert figure.num_bytes == sum(len(text.encode()) for text in texts)
    assert figure.num_tokens == sum(len(tokenizer.encode(text)) for text in texts)
    fresh = baselines.kneser_ney_bits_per_byte(tokenizer, texts, training_ids=ids[:2])
    assert figure.bits_per_byte < 1.5 < fresh.bits_per_byte


def test_all_baselines_by_name(tokenizer: Tokenizer, texts: list[str]) -> None:
    ids = np.concatenate([passage.ids for passage in passages.documents(tokenizer, texts)])
    found = baselines.heldout_baselines(tokenizer, texts[:2], training_texts=texts, training_ids=ids)
    assert list(found) == ["gzip", "xz", "xz-with-training-text", "kneser-ney-5"]
    assert found["xz-with-training-text"].value < found["xz"].value
    assert {metric.n for metric in found.values()} == {2}
