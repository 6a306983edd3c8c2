"""Bits per byte: how well a model predicts whole documents, comparable across tokenizers.

A document is read from its first byte with nothing before it but the start token, and every UTF-8 byte
counts. That the document *ends* is no byte of it and is not counted. Knows no data format and no task.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from workbench.evals import passages
from workbench.evals.likelihood import token_log_likelihoods
from workbench.model.transformer import Decoder
from workbench.tokenizer import Tokenizer
from workbench.train.ranks import ALONE, Ranks


@dataclass(frozen=True, slots=True)
class BitsPerByte:
    """What predicting some documents costs. `stderr` is that of `bits_per_byte`, over documents; one has none."""

    bits_per_byte: float
    stderr: float | None
    loss_per_token: float
    perplexity: float
    num_bytes: int
    num_tokens: int
    num_documents: int


def bits_per_byte(
    model: Decoder,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    context_length: int,
    batch_tokens: int | None = None,
    batch_size: int | None = None,
    dtype: torch.dtype | None = None,
    ranks: Ranks = ALONE,
) -> BitsPerByte:
    """Bits per UTF-8 byte, loss (nats) and perplexity per token of `texts`, each read on its own.

    Documents longer than `context_length` are read in windows that overlap by half. The figures do not depend
    on `batch_tokens` and `batch_size`, which only bound memory; `dtype` is that of the matrix products. `ranks`
    share the rows.
    """
    scores = token_log_likelihoods(
        model,
        passages.documents(tokenizer, texts),
        context_length=context_length,
        batch_tokens=batch_tokens,
        batch_size=batch_size,
        dtype=dtype,
        ranks=ranks,
    )
    return summarise(texts, scores)


def summarise(texts: Sequence[str], log_likelihoods: Sequence[NDArray[np.float64]]) -> BitsPerByte:
    """The figures of documents whose tokens have these ln p (one array per text).

    The standard error is that of a ratio of sums with whole documents as the units (Cochran 1977, 2.11):
    bytes of one document are not independent.
    """
    assert len(texts) == len(log_likelihoods) > 0, "there is nothing to measure"
    sizes = np.array([len(text.encode()) for text in texts], dtype=np.float64)
    bits = np.array([-math.fsum(scores) / math.log(2) for scores in log_likelihoods])
    num_tokens = sum(len(scores) for scores in log_likelihoods)
    assert num_tokens > 0, "the documents are empty"
    ratio = bits.sum() / sizes.sum()
    loss = bits.sum() * math.log(2) / num_tokens
    spread = np.sqrt(np.square(bits - ratio * sizes).sum() * len(texts) / max(1, len(texts) - 1))
    stderr = float(spread / sizes.sum()) if len(texts) > 1 else None
    return BitsPerByte(
        bits_per_byte=float(ratio),
        stderr=stderr,
        loss_per_token=float(loss),
        perplexity=float(np.exp(loss)),
        num_bytes=int(sizes.sum()),
        num_tokens=num_tokens,
        num_documents=len(texts),
    )
