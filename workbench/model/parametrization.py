"""How first weights and learning rates change with the width of a model: not at all, or by µP.

A rate that is best for a narrow model is too high for a wide one: a wider matrix sums more terms, and after one
step of Adam, which moves every number by about the rate, those terms all point the same way. The maximal update
parametrization, µP (Yang et al. 2022, "Tensor Programs V"), is the one scaling with which every activation
changes by an amount that does not depend on the width. The best rate then stays where it is, and can be found on a
model that costs a hundredth. With m = hidden_size / mup_base_width (their table 8, for Adam):

    what                          first weights     AdamW's rate    multiplier
    embeddings, gains, biases     as at the base    as at the base  1
    matrices of the blocks        / sqrt(m)         / m             1
    head                          as at the base    as at the base  1 / m on the logits (`logits_scaling`)
    queries · keys                                                  1 / E, not 1 / sqrt(E) (`attention_multiplier`)

Nothing is scaled at the base width, so a model of that width is its own standard one. Embedding and head have equal
rules, so they may be tied. Why 1 / E: queries and keys start unrelated, where the sum of E products grows as
sqrt(E), but learn to point the same way, where it grows as E.

Muon needs no rate factor. It moves a matrix by one of norm sqrt(rows / columns), which is the very condition that µP
follows from (Yang, Simon & Bernstein 2023); our sqrt(max(1, rows / columns)) differs by a constant.

Adafactor's rate is a share of the matrix, which is 1 / sqrt(m) as large already: another 1 / sqrt(m) is left to do.

Weight decay goes by the rate without the factor (`parameter_groups.py`): the share of a weight that is forgotten in a
step must not shrink with the width (Wang & Aitchison 2024; the `mup` package does the same).

What the table leaves open, as it should, is depth: residual projections are divided by sqrt(2 L) as ever.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from torch import Tensor, nn

from workbench.model_config import ModelConfig

# The two matrices of a layer whose output is added to the residual stream.
RESIDUAL_PROJECTIONS = ("o_proj.weight", "down_proj.weight")
OUTSIDE_THE_BLOCKS = ("embed_tokens", "embed_positions", "embed_bigrams", "value_embeds", "lm_head")
VALUE_GATE = "value_gate.weight"
"""Starts at zero and reads the same few numbers at every width."""
Initializer = Literal["gpt2", "litgpt", "zero-residual", "bigrams"]


def is_block_matrix(name: str, parameter: Tensor) -> bool:
    """Whether this is a matrix that mixes features, as against a table of token vectors or a gain."""
    return parameter.ndim == 2 and not any(part in OUTSIDE_THE_BLOCKS for part in name.split("."))


def initial_std(
    config: ModelConfig, name: str, parameter: Tensor, *, initializer: Initializer = "gpt2"
) -> float:
    """The standard deviation of the first weights of a matrix or table.

    gpt2: `initializer_range`, large enough that positions differ, small enough that the first logits are nearly equal.
    The 2 L projections that add to the residual stream are divided by sqrt(2 L): a sum of 2 L independent terms then
    has the variance of one, however deep the model (Radford et al. 2019).
    litgpt: sqrt(2 / (5 D)), residual projections 1 / (sqrt(D) L), whatever initializer_range says (GPT-NeoX, Black et
    al. 2022, as LitGPT has it).
    zero-residual: gpt2, but residual projections begin at zero, so every layer begins as the identity and grows from
    there (Zhang et al. 2019, "Fixup"; modded-nanogpt).
    bigrams: the same; embedding and head are then fitted to the corpus (`workbench/train/bigram_start.py`).
    """
    is_residual = name.endswith(RESIDUAL_PROJECTIONS)
    if name.endswith(VALUE_GATE) or (is_residual and initializer in ("zero-residual", "bigrams")):
        return 0.0
    if initializer == "litgpt":
        D = config.hidden_size
        return 1 / (math.sqrt(D) * config.num_hidden_layers) if is_residual else math.sqrt(2 / (5 * D))
    std = config.initializer_range
    if is_block_matrix(name, parameter):
        std /= math.sqrt(config.width_multiplier)
    if is_residual:
        std /= math.sqrt(2 * config.num_hidden_layers)
    return std


def rate_factors(
    config: ModelConfig, parameters: Iterable[tuple[str, nn.Parameter]], *, optimizer: str
) -> dict[str, float]:
    """By what the learning rate of a parameter is multiplied under `optimizer`, for those where it is not 1."""
    exponent = {"muon": 0.0, "adafactor": 0.5}.get(optimizer, 1.0)
    if config.width_multiplier == 1 or exponent == 0:
        return {}
    return {
        name: config.width_multiplier**-exponent
        for name, parameter in parameters
        if parameter.requires_grad and is_block_matrix(name, parameter) and not name.endswith(VALUE_GATE)
    }
