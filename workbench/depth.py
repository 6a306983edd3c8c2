"""One dial: from the number of layers to a model's shape, its data and its rates. Arithmetic only.

After nanochat (Karpathy 2025), whose `--depth` sets all of it. What is derived here is shown in the plan with its
origin, and any key that is written wins over it. The anchors were measured with the shipped quickstart (depth 4, width
256, 1.6 M tokens in batches of 2,048, see recipes/LOG.md); the exponents are the field's:

    hidden_size            64 x depth: the losses of shapes with one size differ little around this (Kaplan et al. 2020)
    num_attention_heads    depth: heads 64 wide
    tokens                 20 per parameter (Hoffmann et al. 2022)
    batch_tokens           tokens^0.383, to the nearest power of two (Bergsma et al. 2025, "Power Lines")
    learning_rate          1 / sqrt(hidden_size): AdamW's, of embedding and head (nanochat)
    matrix_learning_rate   as it is: Muon's step has one size at every width, see model/parametrization.py
"""

from __future__ import annotations

import math
from typing import Any

WIDTH_PER_LAYER = 64
TOKENS_PER_PARAMETER = 20
BATCH_EXPONENT = 0.383
# The quickstart's.
ANCHOR_WIDTH = 256
ANCHOR_TOKENS = 1_600_000
ANCHOR_BATCH_TOKENS = 2048
ANCHOR_LEARNING_RATE = 0.03
ANCHOR_MATRIX_LEARNING_RATE = 0.012


def shape_of_depth(depth: int) -> dict[str, int]:
    """The keys of [model] that `depth` stands for; the width of the feed-forward follows from these."""
    return {
        "hidden_size": WIDTH_PER_LAYER * depth,
        "num_hidden_layers": depth,
        "num_attention_heads": depth,
    }


def training_of_depth(*, hidden_size: int, num_parameters: int, context_length: int) -> dict[str, Any]:
    """The keys of [pretrain] for a model of this width and size, in rows of `context_length`."""
    tokens = TOKENS_PER_PARAMETER * num_parameters
    wanted = ANCHOR_BATCH_TOKENS * (tokens / ANCHOR_TOKENS) ** BATCH_EXPONENT
    batch_tokens = 2 ** round(math.log2(wanted))
    rows = max(1, round(batch_tokens / context_length))
    return {
        "tokens": max(tokens, rows * context_length),
        "batch_tokens": rows * context_length,
        "learning_rate": round(ANCHOR_LEARNING_RATE * math.sqrt(ANCHOR_WIDTH / hidden_size), 6),
        "matrix_learning_rate": ANCHOR_MATRIX_LEARNING_RATE,
    }
