"""How much memory a training step takes, by part, before anything is allocated: arithmetic over the model's shape.

Two instants of a step can be its peak:

    backward begins    weights, their bfloat16 copies, optimizer state, activations, a layer's gradients in flight
    optimizer steps    weights, gradients, optimizer state, what the optimizer computes with

Between the two the gradients grow as fast as the activations are let go. When a step is several micro-batches
the first instant holds the gradients too. The activations are counted operation by operation as the decoder is
written; a test holds the count against what autograd keeps. Knows no recipe, no machine and no tensors.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from workbench.model_config import ModelConfig

FLOAT32 = 4
ELEMENT_BYTES = {"bfloat16": 2, "float32": FLOAT32}
LONGEST_SHORT_ROW = 512
"""Up to this many tokens a row's attention scores are written out on a CPU in bfloat16 (`model/attention.py`)."""
LOGITS_AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 25}
"""Logits that the chunked loss holds at a time (`train/losses.py`)."""
# What an allocator holds beyond what is in use. glibc before 2.38 cannot give the room that an aligned tensor left
# to another of the same size, and attention that writes scores out asks for more sizes (measured: recipes/LOG.md).
ALLOCATOR_SLACK = {"cpu, scores written": 1.5, "cpu": 1.25, "cuda": 1.05}
STATE_BYTES = {"adamw": 8.0, "adamw8bit": 2.0 + 8 / 256, "adafactor": 0.0}
"""An optimizer's memory per parameter. Adafactor keeps a row and a column a matrix, which is next to nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepShape:
    """What a training step looks like, as far as memory depends on it.

    rows x context_length tokens pass through the model at once, `micro_batches` times a step.
    masked: attention stays inside documents, by a mask. narrow_weights: a bfloat16 copy of the model computes.
    checkpointed: of a layer only its input is kept, and the rest computed again. averaged: an average of the weights
    is kept beside them.
    """

    config: ModelConfig
    rows: int
    context_length: int
    micro_batches: int = 1
    optimizer: str = "adamw"
    dtype: Literal["bfloat16", "float32"] = "float32"
    device: Literal["cpu", "cuda"] = "cpu"
    masked: bool = False
    narrow_weights: bool = False
    checkpointed: bool = False
    averaged: bool = False

    @property
    def tokens(self) -> int:
        """Positions in a forward pass."""
        return self.rows * self.context_length

    @property
    def writes_scores(self) -> bool:
        """Whether all rows x heads x T x T attention scores exist."""
        short = self.context_length <= LONGEST_SHORT_ROW
        return self.device == "cpu" and self.dtype == "bfloat16" and short


@dataclasses.dataclass(frozen=True)
class MemoryParts:
    """Bytes by what they are for, at the instant of the peak.

    work: what exists for a moment: logits, gradients of activations, what the optimizer computes with.
    """

    weights: int = 0
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0
    work: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return sum(dataclasses.astuple(self))


def training_memory(step: StepShape) -> MemoryParts:
    """The parts at the peak of a training step; the process around them comes on top."""
    config = step.config
    weights = gradients = FLOAT32 * config.num_parameters
    average = FLOAT32 * config.num_parameters if step.averaged else 0
    state = optimizer_bytes(config, step.optimizer) + average
    slack = ALLOCATOR_SLACK["cpu, scores written" if step.writes_scores else step.device]
    backward = MemoryParts(
        weights=weights + narrow_copies_bytes(step),
        gradients=gradients if step.micro_batches > 1 else 0,
        optimizer=state,
        activations=round(slack * step.tokens * activation_bytes_per_token(step)),
        work=_backward_work(step),
    )
    update = MemoryParts(weights, gradients, state, 0, _update_work(config, step.optimizer))
    return max(backward, update, key=lambda parts: parts.total)


def optimizer_bytes(config: ModelConfig, optimizer: str) -> int:
    """What an optimizer remembers. Muon: one moment of each matrix of the blocks, and AdamW's two of the rest."""
    if optimizer == "muon":
        matrices = config.num_hidden_layers * config.block_matrices
        return FLOAT32 * matrices + round(STATE_BYTES["adamw"] * (config.num_parameters - matrices))
    return round(STATE_BYTES.get(optimizer, STATE_BYTES["adamw"]) * config.num_parameters)


def checkpoint_bytes(config: ModelConfig, optimizer: str, *, averaged: bool = False) -> int:
    """A checkpoint on disk: weights, their average if one is kept, and what the optimizer remembers."""
    return FLOAT32 * config.num_parameters * (2 if averaged else 1) + optimizer_bytes(config, optimizer)


# -- what the forward pass keeps for the backward pass -----------------------------------------------------


def activation_bytes_per_token(step: StepShape) -> int:
    """Of all layers, the last norm, and the gradient that the chunked loss computes ahead."""
    stream = _stream_bytes(step)
    layers, last = step.config.num_hidden_layers, _norm_bytes(step) + stream
    if step.checkpointed:  # the inputs of all, and one that is being computed again
        return layers * stream + _layer_bytes(step) + last
    return layers * _layer_bytes(step) + last


def narrow_copies_bytes(step: StepShape) -> int:
    """The matrices of the blocks in the type of the products: a narrow model's, or made anew by autocast."""
    if step.dtype == "float32":
        return 0
    return ELEMENT_BYTES[step.dtype] * step.config.num_hidden_layers * step.config.block_matrices


def _layer_bytes(step: StepShape) -> int:
    config, element = step.config, ELEMENT_BYTES[step.dtype]
    # What the products read: an RMSNorm gives it in their type; torch's LayerNorm in float32, which autocast narrows
    # anew for each of q, k, v, up, gate.
    readers = 3 + _up_matrices(config)
    casts = step.dtype != "float32" and not step.narrow_weights and config.norm == "layer"
    inputs = readers * element if casts else 2 * element
    head_norms = _head_norm_bytes(step) if config.qk_norm else 0
    up_active_down = (4 if config.feed_forward == "swiglu" else 2) * config.intermediate_size * element
    return (
        2 * _norm_bytes(step)
        + inputs * config.hidden_size
        + head_norms
        + _attention_bytes(step)
        + up_active_down
    )


def _attention_bytes(step: StepShape) -> int:
    config, element = step.config, ELEMENT_BYTES[step.dtype]
    queries, keys = _head_widths(config)
    heads = config.num_attention_heads
    if step.writes_scores:  # q, k and v of every head, the scores, what o_proj reads
        return element * (4 * queries + heads * step.context_length)
    # The kernel's: q, k, v, its result, the logarithm of every softmax's sum, and the mask as numbers.
    mask = step.context_length if step.masked else 0
    # Queries that a CPU normed and turned lie head by head, and so does the result: o_proj reads a copy of it.
    copied = queries if step.device == "cpu" and config.qk_norm and config.positions == "rotary" else 0
    return element * (2 * queries + 2 * keys + mask + copied) + FLOAT32 * heads


def _norm_bytes(step: StepShape) -> int:
    """The stream and by what it was divided; elsewhere than on a CPU also, for RMSNorm, what it was divided to."""
    if step.config.norm == "layer":
        return _stream_bytes(step)
    return _stream_bytes(step) + FLOAT32 * (1 if step.device == "cpu" else step.config.hidden_size)


def _head_norm_bytes(step: StepShape) -> int:
    """Queries and keys as they were, and by what each head was divided; elsewhere what they were divided to."""
    queries, keys = _head_widths(step.config)
    heads = step.config.num_attention_heads + step.config.num_key_value_heads
    as_they_were = (queries + keys) * ELEMENT_BYTES[step.dtype]
    return as_they_were + FLOAT32 * (heads if step.device == "cpu" else queries + keys)


def _stream_bytes(step: StepShape) -> int:
    """The residual stream: float32, unless the weights are narrow too."""
    return step.config.hidden_size * (ELEMENT_BYTES[step.dtype] if step.narrow_weights else FLOAT32)


def _head_widths(config: ModelConfig) -> tuple[int, int]:
    """Width of all queries, and of all keys."""
    return config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim


def _up_matrices(config: ModelConfig) -> int:
    return 2 if config.feed_forward == "swiglu" else 1


# -- what exists for a moment ------------------------------------------------------------------------------


def _backward_work(step: StepShape) -> int:
    """The head, narrow and its gradient twice; a chunk of logits; what one layer's backward pass has in flight."""
    config, element = step.config, ELEMENT_BYTES[step.dtype]
    head = config.vocab_size * config.hidden_size * (2 * FLOAT32 + 2 * element)
    logits = LOGITS_AT_ONCE[step.device] * (FLOAT32 + 2 * element)
    scores = config.num_attention_heads * step.context_length if step.writes_scores else 0
    mask = step.context_length * (1 + element) if step.masked else 0
    layer = 2 * FLOAT32 * config.hidden_size + element * max(3 * config.intermediate_size, 2 * scores) + mask
    return head + logits + step.tokens * layer


def _update_work(config: ModelConfig, optimizer: str) -> int:
    """Muon: all matrices of one shape as a stack in float32, normalised and in bfloat16. AdamW's is one pass.

    The other two take a parameter at a time: squared, and as its update.
    """
    if optimizer == "muon":
        return config.num_hidden_layers * _largest_stack(config) * (2 * FLOAT32 + 2)
    largest = config.hidden_size * max(config.vocab_size, config.intermediate_size)
    return 0 if optimizer == "adamw" else 3 * FLOAT32 * largest


def _largest_stack(config: ModelConfig) -> int:
    """Numbers in those matrices of one layer that have the most frequent shape, or the largest."""
    width, inner = config.hidden_size, config.intermediate_size
    queries, keys = _head_widths(config)
    by_shape: dict[tuple[int, int], int] = {}
    for rows, columns, count in (
        (queries, width, 1),
        (keys, width, 2),
        (width, queries, 1),
        (inner, width, _up_matrices(config)),
        (width, inner, 1),
    ):
        by_shape[rows, columns] = by_shape.get((rows, columns), 0) + count * rows * columns
    return max(by_shape.values())
