"""Bits per byte against an independent computation, one document and one token at a time in float64."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from workbench.evals.bits_per_byte import bits_per_byte
from workbench.model.transformer import Decoder
from workbench.tokenizer import Tokenizer


def slow_bits(model: Decoder, ids: list[int], *, context_length: int) -> float:
    """Bits of ids[1:], each token on its own from the longest context the windows promise."""
    wide = copy.deepcopy(model).double()
    bits = 0.0
    for at in range(1, len(ids)):
        # The first window reaches token C; the k-th after it ends C/2 tokens later.
        half = context_length // 2
        behind = max(0, -(-(at - context_length) // half)) * half
        start = min(behind, max(0, len(ids) - 1 - context_length))
        logits = wide(torch.tensor([ids[start:at]]))[0, -1].detach()
        bits -= float(torch.log_softmax(logits, -1)[ids[at]]) / math.log(2)
    return bits


@pytest.mark.parametrize("context_length", [16, 64, 1000])
def test_equals_the_slow_computation(
    model: Decoder, tokenizer: Tokenizer, texts: list[str], context_length: int
) -> None:
    found = bits_per_byte(model, tokenizer, texts, context_length=context_length)
    sequences = [[tokenizer.bos_id, *tokenizer.encode(text)] for text in texts]
    bits = sum(slow_bits(model, ids, context_length=context_length) for ids in sequences)
    num_bytes = sum(len(text.encode()) for text in texts)
    assert found.bits_per_byte == pytest.approx(bits / num_bytes, rel=2e-6)
    assert found.num_bytes == num_bytes
    assert found.num_documents == len(texts)
    assert found.num_tokens == sum(len(ids) - 1 for ids in sequences)
    assert found.loss_per_token == pytest.approx(bits * math.log(2) / found.num_tokens, rel=2e-6)
    assert found.perplexity == pytest.approx(math.exp(found.loss_per_token))
    assert found.stderr > 0


@pytest.mark.parametrize(("batch_tokens", "batch_size"), [(1, None), (64, 3), (4096, 1), (100_000, None)])
def test_does_not_depend_on_the_batch(
    model: Decoder, tokenizer: Tokenizer, texts: list[str], batch_tokens: int, batch_size: int | None
) -> None:
    reference = bits_per_byte(model, tokenizer, texts, context_length=64)
    found = bits_per_byte(
        model, tokenizer, texts, context_length=64, batch_tokens=batch_tokens, batch_size=batch_size
    )
    assert found.bits_per_byte == pytest.approx(reference.bits_per_byte, rel=1e-6)


def test_a_document_knows_nothing_of_the_others(
    model: Decoder, tokenizer: Tokenizer, texts: list[str]
) -> None:
    together = bits_per_byte(model, tokenizer, texts[:2], context_length=64)
    apart = [bits_per_byte(model, tokenizer, [text], context_length=64) for text in texts[:2]]
    bits = sum(figure.bits_per_byte * figure.num_bytes for figure in apart)
    assert together.bits_per_byte * together.num_bytes == pytest.approx(bits, rel=1e-6)


def test_bfloat16_is_near(model: Decoder, tokenizer: Tokenizer, texts: list[str]) -> None:
    exact = bits_per_byte(model, tokenizer, texts, context_length=64)
    rough = bits_per_byte(model, tokenizer, texts, context_length=64, dtype=torch.bfloat16)
    assert rough.bits_per_byte == pytest.approx(exact.bits_per_byte, rel=0.02)
    assert rough.bits_per_byte != exact.bits_per_byte


def test_leaves_the_model_trainable(model: Decoder, tokenizer: Tokenizer, texts: list[str]) -> None:
    bits_per_byte(model, tokenizer, texts[:1], context_length=64)
    loss = model(torch.tensor([[1, 2, 3]])).sum()
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.zero_grad(set_to_none=True)
