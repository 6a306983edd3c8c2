"""How often each token of a vocabulary follows each other one in a corpus. Knows no text and no model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workbench.data.shards import TokenShards

COUNTED_TOKENS = 1 << 27
"""Of a larger corpus so many from its beginning: 134 million tokens say what pairs are common."""
_AT_ONCE = 1 << 24


def count_pairs(shards: TokenShards, *, most_tokens: int = COUNTED_TOKENS) -> npt.NDArray[np.int64]:
    """counts_VV: how often token j comes right after token i, in row i and column j; V is the vocabulary.

    A document's last token and the next one's first are a pair too, as a row of training may hold both.
    """
    vocab_size, length = shards.vocab_size, min(shards.num_tokens, most_tokens)
    counts_VV = np.zeros(vocab_size * vocab_size, dtype=np.int64)
    for first in range(0, length - 1, _AT_ONCE):
        ids = shards.read(first, min(first + _AT_ONCE + 1, length)).astype(np.int64)
        counts_VV += np.bincount(ids[:-1] * vocab_size + ids[1:], minlength=len(counts_VV))
    return counts_VV.reshape(vocab_size, vocab_size)
