"""What a training stage of a plan costs: its steps, tokens and FLOPs, its memory by part, its checkpoints on disk.

Arithmetic over a recipe's table and the model's shape; how long that takes on which machine is for others.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from workbench.files import human_bytes, human_count
from workbench.hardware import has_gpu
from workbench.model_config import SIZES, ModelConfig
from workbench.plan import Plan, StagePlan, summary_of
from workbench.recipe import Dpo, Pretrain, Sft, Tokenizer
from workbench.recipe_model import Model
from workbench.source_sizes import count_examples
from workbench.step_memory import MemoryParts, StepShape, checkpoint_bytes, training_memory
from workbench.training_step import dtype_of, is_averaged, largest_micro_batch, peak_bytes, pretrain_step

EXAMPLE_TOKENS = 70
"""Of a conversation, where nothing tells."""


@dataclasses.dataclass(frozen=True)
class TrainingCost:
    """One training stage. `step` is its forward pass, `memory` the peak by part without the process."""

    step: StepShape
    steps: int
    tokens: float
    flops: float
    disk_bytes: int
    summary: str

    @property
    def memory(self) -> MemoryParts:
        """What the step takes."""
        return training_memory(self.step)

    @property
    def peak_bytes(self) -> int:
        """All that the training holds where it trains: on the GPU, or in this process."""
        return peak_bytes(self.step)


def training_cost(plan: Plan, stage: StagePlan, shape: ModelConfig) -> TrainingCost | None:
    """The cost of a stage that trains; None of any other."""
    table = stage.table()
    if isinstance(table, Pretrain):
        step = pretrain_step(table, shape)
        stretches = table.sizes().stretches
        # What a shorter training has done already; where that can be gone on from there is one stretch.
        done = (stage.shorter.step or 0) if stage.shorter is not None else 0
        read = [((each.num_steps - done) * each.batch_tokens, each.context_length) for each in stretches]
        return TrainingCost(
            step,
            sum(each.num_steps - done for each in stretches),
            sum(tokens for tokens, _ in read),
            sum(tokens * shape.flops_per_token(context_length) for tokens, context_length in read),
            _disk_bytes(table, shape),
            f"{human_count(table.tokens)} tokens",
        )
    if isinstance(table, Sft | Dpo):
        return _fine_tuning_cost(plan, stage, table, shape)
    return None


def _fine_tuning_cost(plan: Plan, stage: StagePlan, table: Sft | Dpo, shape: ModelConfig) -> TrainingCost:
    known = summary_of(plan, stage).get("examples")
    about = "" if isinstance(known, int) else "~"
    examples = min(known or count_examples(plan, table), table.max_examples or 2**53)
    if isinstance(table, Dpo):  # both replies, by the frozen model and by the one that learns
        tokens = 4.0 * examples * table.epochs * min(table.context_length, EXAMPLE_TOKENS)
        steps = examples * table.epochs / table.batch_pairs
        at_once = table.micro_batch_tokens or 2 * table.batch_pairs * min(
            table.context_length, 2 * EXAMPLE_TOKENS
        )
    else:
        tokens = examples * table.epochs * min(table.context_length, EXAMPLE_TOKENS)
        steps = tokens / table.batch_tokens
        at_once = table.micro_batch_tokens or table.batch_tokens
    row = min(table.context_length, at_once)
    step = StepShape(
        config=shape,
        rows=max(1, at_once // row),
        context_length=row,
        micro_batches=1 if table.micro_batch_tokens is None else 2,
        optimizer=table.optimizer,
        dtype=dtype_of(table.dtype),
        device="cuda" if has_gpu() else "cpu",
        masked=isinstance(table, Sft),
        narrow_weights=table.weights_dtype == "bfloat16",
        checkpointed=table.activation_checkpointing == "layer",
        averaged=is_averaged(table),
    )
    return TrainingCost(
        step,
        max(1, round(steps)),
        tokens,
        tokens * shape.flops_per_token(table.context_length),
        _disk_bytes(table, shape),
        f"{about}{human_count(examples)} examples",
    )


def _disk_bytes(table: Pretrain | Sft | Dpo, shape: ModelConfig) -> int:
    """The newest checkpoints, the best besides, and the one that is being written."""
    return (table.keep_last + 2) * checkpoint_bytes(shape, table.optimizer, averaged=is_averaged(table))


def fitting_advice(plan: Plan, stage: StagePlan, room_bytes: int) -> str:
    """What to change so that a training stage fits into `room_bytes`: its micro-batch, or else the model's size."""
    model, table = _model_and_vocabulary(plan), stage.table()
    if model is None or not isinstance(table, Pretrain):
        return "lower micro_batch_tokens or choose a smaller [model] size"
    model_table, vocab_size = model
    shape = model_table.shape(vocab_size=vocab_size)
    if tokens := largest_micro_batch(table, shape, room_bytes):
        return f"micro_batch_tokens = {tokens} is the largest that fits"
    for size in reversed(SIZES):
        smaller = model_table.model_copy(update=_only_size(size)).shape(vocab_size=vocab_size)
        if smaller.num_parameters < shape.num_parameters and (
            tokens := largest_micro_batch(table, smaller, room_bytes)
        ):
            return f'[model] size = "{size}" with micro_batch_tokens = {tokens} is the largest that fits'
    return f"not even the smallest [model] size fits into {human_bytes(room_bytes)}"


def model_shape(plan: Plan) -> ModelConfig | None:
    """The model's numbers: those of a start, or what [model] gives for the vocabulary; None without a model."""
    for stage in plan.stages:
        if stage.shape is not None:
            return stage.shape
    model = _model_and_vocabulary(plan)
    return None if model is None else model[0].shape(vocab_size=model[1])


def _model_and_vocabulary(plan: Plan) -> tuple[Model, int] | None:
    for stage in plan.stages:
        if (model := stage.model_table()) is not None:
            tokenizer = plan.stage("tokenizer").table()
            assert isinstance(tokenizer, Tokenizer)
            return model, tokenizer.vocab_size
    return None


def _only_size(size: str) -> dict[str, Any]:
    """The changes to a model table that leave nothing of its shape but a named size."""
    return {"size": size, **dict.fromkeys(key for keys in SIZES.values() for key in keys)} | dict.fromkeys(
        ("num_key_value_heads", "head_dim")
    )
