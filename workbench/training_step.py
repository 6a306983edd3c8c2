"""A pretraining step as its recipe table asks for it on this machine: its shape, its memory, and how to cut it.

Shared by the plan, which foretells the cut, and the stage, which makes it. Knows no plan and no run.
"""

from __future__ import annotations

from typing import Literal

from workbench.accelerators import accelerators
from workbench.hardware import available_bytes, has_fast_bfloat16, has_gpu
from workbench.model_config import ModelConfig
from workbench.recipe import Pretrain, Training
from workbench.step_memory import StepShape, training_memory

PROCESS_BYTES = 360_000_000
"""Interpreter, torch, and the code that torch makes for every shape of product, before any tensor of ours."""
GPU_CONTEXT_BYTES = 600_000_000
SHARE_OF_FREE_MEMORY = 0.9
"""Of what is free, what a training takes that may choose: the rest is for evaluation, saving and neighbours."""


def peak_bytes(step: StepShape) -> int:
    """All that a training of such steps holds where it trains: on the GPU, or in its process."""
    return training_memory(step).total + (GPU_CONTEXT_BYTES if step.device == "cuda" else PROCESS_BYTES)


def pretrain_step(table: Pretrain, shape: ModelConfig) -> StepShape:
    """A pretraining step of `table`; where it leaves the cut open, with the one that fits into what is free now."""
    at_once = table.micro_batch_tokens or _fitting_now(table, shape)
    return StepShape(
        config=shape,
        rows=at_once // table.context_length,
        context_length=table.context_length,
        micro_batches=table.batch_tokens // at_once,
        optimizer=table.optimizer,
        dtype=dtype_of(table.dtype),
        device="cuda" if has_gpu() else "cpu",
        masked=table.isolate_documents,
        narrow_weights=table.weights_dtype == "bfloat16",
        checkpointed=table.activation_checkpointing == "layer",
        averaged=is_averaged(table),
    )


def is_averaged(table: Training) -> bool:
    """Whether an average of the weights is kept beside them."""
    return table.ema_decay is not None or table.average_last is not None


def largest_micro_batch(table: Pretrain, shape: ModelConfig, room_bytes: int) -> int | None:
    """The most tokens at once that fit, as whole rows that divide the batch; None when a single row does not."""
    rows = table.batch_tokens // table.context_length
    for at_once in sorted((each for each in range(1, rows + 1) if rows % each == 0), reverse=True):
        tokens = at_once * table.context_length
        step = pretrain_step(table.model_copy(update={"micro_batch_tokens": tokens}), shape)
        if peak_bytes(step) <= room_bytes:
            return tokens
    return None


def _fitting_now(table: Pretrain, shape: ModelConfig) -> int:
    """The tokens at once that a training would choose now: a row at the least, all where memory is not known."""
    gpus = accelerators()
    free = gpus[0].memory_bytes if gpus else available_bytes()
    if free is None:
        return table.batch_tokens
    room = round(SHARE_OF_FREE_MEMORY * free)
    return largest_micro_batch(table, shape, room) or table.context_length


def dtype_of(asked: Literal["auto", "bfloat16", "float32", "float8"]) -> Literal["bfloat16", "float32"]:
    """The arithmetic that `dtype` means on this machine; float8 is that of the products alone."""
    if asked != "auto":
        return "float32" if asked == "float32" else "bfloat16"
    return "bfloat16" if has_gpu() or has_fast_bfloat16() else "float32"
