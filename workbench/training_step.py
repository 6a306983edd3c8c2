"""A training step as its recipe table asks for it on this machine: its shape, its memory, and how to cut it.

Shared by the plan, which foretells the cut, and the stage, which makes it. Knows no plan and no run.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable
from typing import Literal

from workbench.accelerators import accelerators
from workbench.hardware import available_bytes, has_fast_bfloat16, has_gpu
from workbench.layout import ONE_DEVICE, Layout
from workbench.model_config import ModelConfig
from workbench.recipe import Dpo, Pretrain, Sft, Training
from workbench.recipe_fields import Table
from workbench.step_memory import SEGMENTS_TORCH, StepShape, training_memory

Arithmetic = Literal["float8", "bfloat16", "TF32", "float32"]
"""What the products of a training are computed in, by the name that people know."""
PROCESS_BYTES = 360_000_000
"""Interpreter, torch, and the code that torch makes for every shape of product, before any tensor of ours."""
SHARING_BYTES = 90_000_000
"""What a process holds besides to share a training: PyTorch's engine for that, and room for messages."""
GPU_CONTEXT_BYTES = 600_000_000
SHARE_OF_FREE_MEMORY = 0.9
"""Of what is free, what a training takes that may choose: the rest is for evaluation, saving and neighbours."""


def peak_bytes(step: StepShape) -> int:
    """All that a training of such steps holds where it trains: on the GPU, or in its process."""
    around = PROCESS_BYTES + (SHARING_BYTES if step.layout.ranks > 1 else 0)
    return training_memory(step).total + (GPU_CONTEXT_BYTES if step.device == "cuda" else around)


def least_bytes(step: StepShape) -> int:
    """What it can do with: training then waits while checkpoints are written."""
    return peak_bytes(step) - training_memory(step).snapshot


def step_of(
    table: Pretrain | Sft | Dpo,
    shape: ModelConfig,
    layout: Layout = ONE_DEVICE,
    *,
    at_once: int | None = None,
    row: int | None = None,
) -> StepShape:
    """A step of `table`, as each device of `layout` takes it.

    at_once: tokens of a forward pass on a device; None: those of the table, and where it leaves them open the most that
    fit into what is free now. row: tokens of the longest row, where that is known.
    """
    row = row or table.context_length
    at_once = at_once or table.micro_batch_tokens or _fitting_now(table, shape, layout, row)
    together, whole = at_once * layout.data_ranks, whole_batch_tokens(table, row)
    device_tokens = min(at_once, _share(_usual_tokens(table, row), layout))
    row = min(row, device_tokens)
    return StepShape(
        config=shape,
        rows=max(1, -(-device_tokens // row)),
        context_length=row,
        micro_batches=max(1, -(-whole // together)),
        optimizer=table.optimizer,
        dtype=dtype_of(table.dtype),
        device="cuda" if has_gpu() else "cpu",
        masked=isinstance(table, Sft) or (isinstance(table, Pretrain) and table.isolate_documents),
        by_segments=_attends_by_segments(),
        narrow_weights=table.weights_dtype == "bfloat16",
        checkpointed=table.activation_checkpointing == "layer",
        averaged=is_averaged(table),
        all_logits=isinstance(table, Dpo),
        layout=layout,
    )


def _attends_by_segments() -> bool:
    """Whether the installed torch attends inside documents without a mask on a GPU."""
    try:
        major, minor = importlib.metadata.version("torch").split(".")[:2]
    except importlib.metadata.PackageNotFoundError:
        return False
    return (int(major), int(minor)) >= SEGMENTS_TORCH


def whole_batch_tokens(table: Pretrain | Sft | Dpo, row: int) -> int:
    """The positions that no batch of `table` has more of, whose longest row has `row`.

    Conversations fill about `batch_tokens`, and never twice that.
    """
    if isinstance(table, Dpo):
        return 2 * table.batch_pairs * row
    return table.batch_tokens if isinstance(table, Pretrain) else 2 * table.batch_tokens


def _usual_tokens(table: Pretrain | Sft | Dpo, row: int) -> int:
    """The positions of a large batch: a quarter more than the mean one, where conversations make it."""
    return table.batch_tokens * 5 // 4 if isinstance(table, Sft) else whole_batch_tokens(table, row)


def _share(tokens: int, layout: Layout) -> int:
    return -(-tokens // layout.data_ranks)


def is_averaged(table: Training) -> bool:
    """Whether an average of the weights is kept beside them."""
    return table.ema_decay is not None or table.average_last is not None


def largest_micro_batch(
    table: Pretrain | Sft | Dpo,
    shape: ModelConfig,
    room_bytes: int,
    layout: Layout = ONE_DEVICE,
    row: int | None = None,
) -> int | None:
    """The most tokens at once that fit into a device; None when not even a single row, or pair, does.

    Beside a copy of the checkpoint that is being written, if a single row does; else without one.
    """
    for needed in (peak_bytes, least_bytes):
        for at_once in cuts(table, layout, row):
            if needed(step_of(table, shape, layout, at_once=at_once, row=row)) <= room_bytes:
                return at_once
    return None


def cuts(table: Pretrain | Sft | Dpo, layout: Layout = ONE_DEVICE, row: int | None = None) -> list[int]:
    """The tokens at once that a batch can be cut into, on each device, the most first.

    In pretraining whole rows that divide the batch; elsewhere all of it, and halves of that down to a row or a pair.
    """
    if isinstance(table, Pretrain):
        rows = table.batch_tokens // table.context_length
        parts = [each for each in range(1, rows + 1) if rows % each == 0]
        enough = min(each for each in parts if each * layout.data_ranks >= rows)
        return [each * table.context_length for each in reversed(parts) if each <= enough]
    row = row or table.context_length
    least = 2 * row if isinstance(table, Dpo) else row
    found = [max(least, _share(whole_batch_tokens(table, row), layout))]
    while found[-1] > least:
        found.append(max(least, found[-1] // 2))
    return found


def _fitting_now(table: Pretrain | Sft | Dpo, shape: ModelConfig, layout: Layout, row: int) -> int:
    """The tokens at once that a training would choose now: the fewest where nothing fits, all where nothing tells."""
    gpus, all_cuts = accelerators(), cuts(table, layout, row)
    free = gpus[0].memory_bytes if gpus else available_bytes() // layout.ranks
    if free is None:
        return all_cuts[0]
    room = round(SHARE_OF_FREE_MEMORY * free)
    return largest_micro_batch(table, shape, room, layout, row) or all_cuts[-1]


def dtype_of(asked: Literal["auto", "bfloat16", "float32", "float8"]) -> Literal["bfloat16", "float32"]:
    """The arithmetic that `dtype` means on this machine; float8 is that of the products alone."""
    if asked != "auto":
        return "float32" if asked == "float32" else "bfloat16"
    return "bfloat16" if has_gpu() or has_fast_bfloat16() else "float32"


def arithmetic_of(table: Training | None = None) -> Arithmetic:
    """What the products of `table`, or of a table that says nothing, are computed in on this machine.

    Where a GPU may round inside of float32 products torch takes TF32, for `medium` as for `high`. A CPU has none of
    TF32 and float8: what it does with either is not told apart from float32 and bfloat16.
    """
    asked = "auto" if table is None else table.dtype
    dtype = dtype_of(asked)
    if table is None or not has_gpu():
        return dtype
    if asked == "float8":
        return "float8"
    may_round = dtype == "float32" and table.float32_matmul_precision != "highest"
    return "TF32" if may_round else dtype


def prepare_cublas(tables: Iterable[Table]) -> None:
    """Let cuBLAS multiply in a fixed order in this process if one of `tables` asks for `deterministic`.

    torch looks at the variable once, at the first product on a GPU, which may be an earlier stage's. Eight buffers of
    4 MiB are what it takes on Hopper anyway (NVIDIA, cuBLAS: results reproducibility).
    """
    if any(isinstance(table, Training) and table.deterministic for table in tables):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
