"""How much memory a training step takes, by part, before anything is allocated: arithmetic over the model's shape.

Two instants of a step can be its peak:

    backward begins    weights, their bfloat16 copies, optimizer state, activations, a layer's gradients in flight
    optimizer steps    weights, gradients, optimizer state, what the optimizer computes with

Between the two the gradients grow as fast as the activations are let go. When a step is several micro-batches
the first instant holds the gradients too. The activations are counted operation by operation as the decoder is
written; a test holds the count against what autograd keeps.

Of several devices that share a training, each holds its shard of weights, gradients and optimizer state, the
activations of its own rows, and for a moment the whole of a layer, and of the tables, that came together. Knows no
recipe, no machine and no tensors.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from workbench.layout import ONE_DEVICE, Layout
from workbench.model_config import ModelConfig

FLOAT32 = 4
ELEMENT_BYTES = {"bfloat16": 2, "float32": FLOAT32}
LONGEST_SHORT_ROW = 1024
"""Up to this many tokens a row's attention scores are written out on a CPU in bfloat16 (`model/attention.py`)."""
SCORES_BLOCK = 256
"""Queries whose scores are written out together, for the keys up to the last of them."""
LOGITS_AT_ONCE = {"cpu": 1 << 21, "cuda": 1 << 25}
"""Logits that the chunked loss holds at a time (`train/losses.py`)."""
# What an allocator holds beyond what is in use. glibc before 2.38 cannot give the room that an aligned tensor left
# to another of the same size, and attention that writes scores out asks for more sizes (measured: recipes/LOG.md).
ALLOCATOR_SLACK = {"cpu, scores written": 1.5, "cpu": 1.25, "cuda": 1.05}
STATE_BYTES = {"adamw": 8.0, "adamw8bit": 2.0 + 8 / 256, "adafactor": 0.0}
"""An optimizer's memory per parameter. Adafactor keeps a row and a column a matrix, which is next to nothing."""
SEGMENTS_TORCH = (2, 13)
"""The torch from which on a GPU attends inside documents without a mask (`model/segments.py`)."""
LAYERS_IN_FLIGHT = 2
"""The one whose turn it is and the next, which comes together meanwhile."""
IN_PARTS_FROM_BYTES = 2 << 30
"""A checkpoint of at least so many bytes is written by all processes of a training, each a part (`train/together.py`).
A smaller one the first process writes into single files, which is a few seconds at most."""
MATRICES_TOGETHER_BYTES = 1 << 28
"""Of matrices that come together to be orthogonalised (`train/sharded_optimizers.py`)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepShape:
    """What a training step looks like, as far as memory depends on it.

    rows x context_length tokens pass through the model at once, `micro_batches` times a step.
    masked: attention stays inside documents. by_segments: a GPU's torch needs no mask for that, see `writes_mask`.
    narrow_weights: a bfloat16 copy of the model computes.
    checkpointed: of a layer only its input is kept, and the rest computed again. averaged: an average of the weights
    is kept beside them. all_logits: those of a forward pass exist at once. layout: of the devices that share it; rows
    are those of one device.
    """

    config: ModelConfig
    rows: int
    context_length: int
    micro_batches: int = 1
    optimizer: str = "adamw"
    dtype: Literal["bfloat16", "float32"] = "float32"
    device: Literal["cpu", "cuda"] = "cpu"
    masked: bool = False
    by_segments: bool = False
    narrow_weights: bool = False
    checkpointed: bool = False
    averaged: bool = False
    all_logits: bool = False
    layout: Layout = ONE_DEVICE

    @property
    def tokens(self) -> int:
        """Positions in a forward pass."""
        return self.rows * self.context_length

    @property
    def writes_mask(self) -> bool:
        """Whether documents are kept apart by a mask of every pair of a row's positions (`model/segments.py`)."""
        kernel = self.by_segments and self.device == "cuda" and self.dtype == "bfloat16"
        return self.masked and not (kernel and self.config.fits_flash_attention)

    @property
    def writes_scores(self) -> bool:
        """Whether attention scores exist for whole rows at a time."""
        short = self.context_length <= LONGEST_SHORT_ROW
        return self.device == "cpu" and self.dtype == "bfloat16" and short

    @property
    def scores_per_token(self) -> float:
        """How many scores are written out for a query of one head, on average."""
        T = self.context_length
        blocks = ((first, min(first + SCORES_BLOCK, T)) for first in range(0, T, SCORES_BLOCK))
        return sum((end - first) * end for first, end in blocks) / T


@dataclasses.dataclass(frozen=True)
class MemoryParts:
    """Bytes by what they are for, at the instant of the peak.

    gathered: weights of other devices' shards while it is their turn, and gradients before they go there.
    work: what exists for a moment: logits, gradients of activations, what the optimizer computes with.
    snapshot: the copy that a thread writes as a checkpoint while steps are taken. It is host memory, so a GPU has none;
    training can do without, and waits then while checkpoints are written.
    """

    weights: int = 0
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0
    gathered: int = 0
    work: int = 0
    snapshot: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return sum(dataclasses.astuple(self))


def training_memory(step: StepShape) -> MemoryParts:
    """The parts at the peak of a training step, on each device; the process around them comes on top."""
    config, layout = step.config, step.layout
    weights = gradients = FLOAT32 * held_parameters(config, layout)
    average = weights if step.averaged else 0
    state = optimizer_bytes(config, step.optimizer, layout) + average
    # Of several processes the first one alone has a copy, which `TrainingCost.copy_bytes` counts.
    copied = step.device == "cpu" and layout.ranks == 1
    saved = checkpoint_bytes(config, step.optimizer, averaged=step.averaged) if copied else 0
    slack = ALLOCATOR_SLACK["cpu, scores written" if step.writes_scores else step.device]
    backward = MemoryParts(
        weights=weights + narrow_copies_bytes(step),
        gradients=gradients if step.micro_batches > 1 else 0,
        optimizer=state,
        activations=round(slack * step.tokens * activation_bytes_per_token(step)),
        gathered=gathered_bytes(step),
        work=_backward_work(step),
        snapshot=saved,
    )
    # A narrow model stays. The copies that autocast made are gone by then, but glibc has no use for the holes between
    # what is larger: at 333M parameters the peak was higher by all of them (recipes/LOG.md).
    copies = narrow_copies_bytes(step) if step.narrow_weights or step.device == "cpu" else 0
    work = _update_work(config, step.optimizer, layout)
    update = MemoryParts(weights + copies, gradients, state, 0, 0, work, saved)
    return max(backward, update, key=lambda parts: parts.total)


def held_parameters(config: ModelConfig, layout: Layout) -> int:
    """Parameters in a device's shard: of the blocks' matrices a slice at most, of the rest all that shards leave."""
    matrices = config.num_hidden_layers * config.block_matrices
    rest = config.num_parameters - matrices
    return -(-matrices // (layout.shard * layout.tensor)) - (-rest // layout.shard)


def optimizer_bytes(config: ModelConfig, optimizer: str, layout: Layout = ONE_DEVICE) -> int:
    """What an optimizer remembers. Muon: one moment of each matrix of the blocks, and AdamW's two of the rest."""
    if optimizer == "muon":
        matrices = config.num_hidden_layers * config.block_matrices
        rest = STATE_BYTES["adamw"] * (config.num_parameters - matrices) / layout.shard
        return round(FLOAT32 * matrices / (layout.shard * layout.tensor) + rest)
    return round(STATE_BYTES.get(optimizer, STATE_BYTES["adamw"]) * held_parameters(config, layout))


def gathered_bytes(step: StepShape) -> int:
    """What has come together of other devices' shards while a layer is computed, and its gradients on their way back.

    The tables and the last norm stay together from the first layer's turn to the last one's.
    """
    config, layout = step.config, step.layout
    if layout.ranks == 1:
        return 0
    element = ELEMENT_BYTES[step.dtype] if step.narrow_weights else FLOAT32
    layer = -(-config.block_parameters // layout.tensor)
    tables = config.embedding_parameters + config.norm_parameters
    there = element * LAYERS_IN_FLIGHT * layer + FLOAT32 * tables
    return there + (element + FLOAT32) * layer + FLOAT32 * tables


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
    if step.dtype == "float32" or (
        step.narrow_weights and step.layout.ranks > 1
    ):  # those come together narrow
        return 0
    matrices = step.config.num_hidden_layers * step.config.block_matrices
    return ELEMENT_BYTES[step.dtype] * matrices // step.layout.tensor


def _layer_bytes(step: StepShape) -> int:
    config, element = step.config, ELEMENT_BYTES[step.dtype]
    inner = config.intermediate_size // step.layout.tensor
    # What the products read: an RMSNorm gives it in their type; torch's LayerNorm in float32, which autocast narrows
    # anew for each of q, k, v, up, gate.
    readers = 3 + _up_matrices(config)
    casts = step.dtype != "float32" and not step.narrow_weights and config.norm == "layer"
    inputs = readers * element if casts else 2 * element
    head_norms = _head_norm_bytes(step) if config.qk_norm else 0
    up_active_down = (4 if config.feed_forward == "swiglu" else 2) * inner * element
    return (
        2 * _norm_bytes(step)
        + inputs * config.hidden_size
        + head_norms
        + _attention_bytes(step)
        + up_active_down
    )


def _attention_bytes(step: StepShape) -> int:
    config, element = step.config, ELEMENT_BYTES[step.dtype]
    queries, keys = (width // step.layout.tensor for width in _head_widths(config))
    heads = config.num_attention_heads // step.layout.tensor
    if step.writes_scores:  # q, k and v of every head, the scores, what o_proj reads
        return element * (4 * queries + round(heads * step.scores_per_token))
    # The kernel's: q, k, v, its result, the logarithm of every softmax's sum, and the mask as numbers.
    mask = step.context_length if step.writes_mask else 0
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
    queries, keys = (width // step.layout.tensor for width in _head_widths(step.config))
    heads = (step.config.num_attention_heads + step.config.num_key_value_heads) // step.layout.tensor
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
    config, element, slices = step.config, ELEMENT_BYTES[step.dtype], step.layout.tensor
    head = config.vocab_size * config.hidden_size * (2 * FLOAT32 + 2 * element)
    logits = LOGITS_AT_ONCE[step.device] * (FLOAT32 + 2 * element)
    if step.all_logits:  # as they are, in float32, as logarithms of probabilities, and the gradients of these
        logits = step.tokens * config.vocab_size * (3 * FLOAT32 + 2 * element)
    scores = round(config.num_attention_heads // slices * step.scores_per_token) if step.writes_scores else 0
    mask = step.context_length * (1 + element) if step.writes_mask else 0
    inner = config.intermediate_size // slices
    in_flight = max(element * max(3 * inner, 2 * scores), _segments_work(step))
    layer = 2 * FLOAT32 * config.hidden_size + in_flight + mask
    return head + logits + step.tokens * layer


def _segments_work(step: StepShape) -> int:
    """What the kernel that needs no mask computes a token's gradients with.

    It adds up those of the queries in float32, with room for 128 more tokens a document: as much again where documents
    have 128 on average. Those of keys and values come for every query head, and are added up by key/value head then.
    """
    if not step.masked or step.writes_mask:
        return 0
    queries, keys = (width // step.layout.tensor for width in _head_widths(step.config))
    return 2 * FLOAT32 * queries + ELEMENT_BYTES[step.dtype] * (4 * queries + 2 * keys)


def _update_work(config: ModelConfig, optimizer: str, layout: Layout) -> int:
    """Muon: all matrices of one shape as a stack in float32, normalised and in bfloat16. AdamW's is one pass.

    In shards the stack is that of the shards, and as many whole matrices as come together at a time are there four
    times: gathered, put in order, handed back, and put in order again. The other two take a parameter at a time:
    squared, and as its update.
    """
    if optimizer == "muon":
        stack = config.num_hidden_layers * _largest_stack(config)
        if layout.ranks == 1:
            return stack * (2 * FLOAT32 + 2)
        matrix = config.hidden_size * config.intermediate_size
        together = min(stack, max(layout.ranks * matrix, MATRICES_TOGETHER_BYTES // FLOAT32))
        return 2 * FLOAT32 * stack // (layout.shard * layout.tensor) + 4 * FLOAT32 * together
    largest = config.hidden_size * max(config.vocab_size, config.intermediate_size)
    return 0 if optimizer == "adamw" else 3 * FLOAT32 * largest // layout.shard


def _largest_stack(config: ModelConfig) -> int:
    """Numbers in those matrices of one layer that have the most frequent shape, or the largest."""
    by_shape: dict[tuple[int, int], int] = {}
    for rows, columns in config.block_matrix_shapes:
        by_shape[rows, columns] = by_shape.get((rows, columns), 0) + rows * columns
    return max(by_shape.values())
