"""What a training stage of a plan costs: its steps, tokens and FLOPs, its memory by part, its checkpoints on disk.

Arithmetic over a recipe's table and the model's shape; how long that takes on which machine is for others.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from workbench.example_sizes import example_sizes, num_steps
from workbench.files import human_bytes, human_count
from workbench.hardware import has_gpu
from workbench.layout import Layout, lay_out
from workbench.less_memory import less_memory
from workbench.model_config import SIZES, ModelConfig
from workbench.plan import Plan, StagePlan, summary_of
from workbench.recipe import Dpo, Pretrain, Sft, Tokenizer, Training
from workbench.recipe_model import Model
from workbench.step_memory import (
    FLOAT32,
    IN_PARTS_FROM_BYTES,
    MemoryParts,
    StepShape,
    checkpoint_bytes,
    training_memory,
)
from workbench.training_step import (
    PROCESS_BYTES,
    Arithmetic,
    arithmetic_of,
    is_averaged,
    largest_micro_batch,
    peak_bytes,
    step_of,
)
from workbench.training_time import FORWARD_SHARE, StepsLeft

DOCUMENT_TOKENS = 600
"""Read of a held-out document, where nothing tells."""
HELDOUT_EXAMPLES, SAMPLE_TOKENS = 256, 64
"""Of fine-tuning: conversations measured, and the longest reply of a sample (stages/fine_tuning.py)."""
MUON_NARROW, MUON_ROUNDS = 512, (3, 5)
"""Rounds of Newton-Schulz for a matrix whose smaller side is at most so long, and for others (train/optimizers.py)."""


@dataclasses.dataclass(frozen=True)
class TrainingCost:
    """One training stage. `step` is the forward pass of a device, `memory` its peak by part without the process.

    left: its steps and what comes between them. evaluation_tokens: read in one evaluation; sample_tokens: of a reply.
    """

    step: StepShape
    arithmetic: Arithmetic
    left: StepsLeft
    tokens: float
    flops: float
    disk_bytes: int
    summary: str
    evaluation_tokens: int
    sample_tokens: int
    engine: str = "fsdp"

    @property
    def steps(self) -> int:
        """Those that are left."""
        return self.left.last - self.left.done

    @property
    def memory(self) -> MemoryParts:
        """What the step takes on a device."""
        return training_memory(self.step)

    @property
    def peak_bytes(self) -> int:
        """All that the training holds where it trains: on each GPU, or in each process."""
        return peak_bytes(self.step)

    @property
    def all_flops(self) -> float:
        """`flops`, which are the model's, and those of Muon, which does not care how few tokens a step has."""
        step = self.step
        return self.flops + (self.steps * muon_flops(step.config) if step.optimizer == "muon" else 0.0)

    @property
    def saved_together(self) -> bool:
        """Whether every process writes its part of a checkpoint."""
        return (
            self.step.layout.ranks > 1
            and self.engine == "fsdp"
            and self._checkpoint_bytes >= IN_PARTS_FROM_BYTES
        )

    @property
    def copy_bytes(self) -> int:
        """What the first of several processes holds besides while it saves, not on a GPU: all in whole tensors.

        Where every process writes its part, what each holds: a whole tensor of its own, and one that comes together.
        """
        if self.step.layout.ranks == 1:
            return 0
        config = self.step.config
        largest = config.hidden_size * max(config.vocab_size, config.intermediate_size)
        return 2 * FLOAT32 * largest if self.saved_together else self._checkpoint_bytes

    def machine_bytes(self, local_ranks: int) -> int:
        """The memory of the machine that `local_ranks` processes, the first among them, take together.

        Each builds the whole model before it keeps its shard. A thread of the first writes its copy meanwhile.
        """
        step = self.step
        if step.layout.ranks == 1:
            return self.peak_bytes if step.device == "cpu" else PROCESS_BYTES + self._whole_bytes
        starting = PROCESS_BYTES + self._whole_bytes
        copies = self.copy_bytes * (local_ranks if self.saved_together else 1)
        if step.device == "cuda":
            return max(local_ranks * starting, local_ranks * PROCESS_BYTES + copies)
        held = self.memory.weights + self.memory.optimizer
        return max(local_ranks * (starting + held), local_ranks * self.peak_bytes + copies)

    @property
    def _checkpoint_bytes(self) -> int:
        return checkpoint_bytes(self.step.config, self.step.optimizer, averaged=self.step.averaged)

    @property
    def _whole_bytes(self) -> int:
        return FLOAT32 * self.step.config.num_parameters


def muon_flops(config: ModelConfig) -> float:
    """FLOPs of one step of Muon: in every round a matrix's Gram matrix, that one's square, and a product of both."""
    total = 0.0
    for sides in config.block_matrix_shapes:
        short, long = sorted(sides)
        total += MUON_ROUNDS[short > MUON_NARROW] * (4 * short**2 * long + 2 * short**3)
    return config.num_hidden_layers * total


def training_cost(plan: Plan, stage: StagePlan, shape: ModelConfig, *, nproc: int = 1) -> TrainingCost | None:
    """The cost of a stage that trains on `nproc` devices; None of any other. Raises BadInput as `lay_out` does."""
    table = stage.table()
    if isinstance(table, Pretrain):
        step = step_of(table, shape, layout_of(table, nproc))
        stretches = table.sizes().stretches
        # What a shorter training has done already; where that can be gone on from there is one stretch.
        done = (stage.shorter.step or 0) if stage.shorter is not None else 0
        read = [((each.num_steps - done) * each.batch_tokens, each.context_length) for each in stretches]
        tokens = sum(tokens for tokens, _ in read)
        left = StepsLeft(
            done=done,
            last=done + sum(each.num_steps - done for each in stretches),
            full_steps=tokens / table.batch_tokens,
            eval_every_steps=table.eval_every_steps,
            sample_every_steps=table.sample_every_steps,
            save_every_seconds=table.save_every_seconds,
        )
        return TrainingCost(
            step,
            arithmetic_of(table),
            left,
            tokens,
            sum(tokens * shape.flops_per_token(context_length) for tokens, context_length in read),
            _disk_bytes(table, shape),
            f"{human_count(table.tokens)} tokens",
            evaluation_tokens=_heldout_tokens(plan, table),
            sample_tokens=SAMPLE_TOKENS,
            engine=table.engine,
        )
    if isinstance(table, Sft | Dpo):
        return _fine_tuning_cost(plan, stage, table, shape, nproc)
    return None


def _heldout_tokens(plan: Plan, table: Pretrain) -> int:
    """Of the documents that are measured: as `pack` found them where it is done, else as long as documents are."""
    packed = next((summary_of(plan, stage) for stage in plan.stages if stage.name == "pack"), {})
    tokens, documents = packed.get("heldout_tokens"), packed.get("heldout_documents")
    if not isinstance(tokens, int) or not isinstance(documents, int):
        return table.eval_documents * DOCUMENT_TOKENS
    return round(min(1.0, table.eval_documents / max(1, documents)) * tokens)


def layout_of(table: Training, nproc: int) -> Layout:
    """How `nproc` devices share the training of `table`. Raises BadInput when it cannot be laid out so."""
    return lay_out(nproc, tensor_parallel=table.tensor_parallel, replicate=table.replicate)


def _fine_tuning_cost(
    plan: Plan, stage: StagePlan, table: Sft | Dpo, shape: ModelConfig, nproc: int
) -> TrainingCost:
    known = summary_of(plan, stage).get("examples")
    about = "" if isinstance(known, int) else "~"
    sizes = example_sizes(plan, table)
    if isinstance(known, int):
        sizes = dataclasses.replace(sizes, train=known)
    steps, row, sides = num_steps(table, sizes), table.context_length, 1
    read = sizes.learned * sizes.tokens
    learned = read * table.epochs
    if isinstance(table, Dpo):
        row, sides = max(1, min(row, math.ceil(sizes.longest))), 2
        read, learned = sides * read, sides * learned
    # The frozen model of DPO reads every pair once.
    passes = learned + (FORWARD_SHARE * read if isinstance(table, Dpo) else 0.0)
    left = StepsLeft(
        last=steps,
        full_steps=steps,
        eval_every_steps=table.eval_every_steps,
        save_every_seconds=table.save_every_seconds,
    )
    return TrainingCost(
        step_of(table, shape, layout_of(table, nproc), row=row),
        arithmetic_of(table),
        left,
        learned,
        passes * shape.flops_per_token(table.context_length),
        _disk_bytes(table, shape),
        f"{about}{human_count(round(sizes.train))} examples",
        evaluation_tokens=round(min(HELDOUT_EXAMPLES, sizes.heldout) * sides * sizes.tokens),
        sample_tokens=SAMPLE_TOKENS,
        engine=table.engine,
    )


def _disk_bytes(table: Pretrain | Sft | Dpo, shape: ModelConfig) -> int:
    """The newest checkpoints, the best besides, and the one that is being written."""
    return (table.keep_last + 2) * checkpoint_bytes(shape, table.optimizer, averaged=is_averaged(table))


def fitting_advice(plan: Plan, stage: StagePlan, room_bytes: int, *, nproc: int = 1) -> str:
    """What to change so that a stage fits into `room_bytes` on each of `nproc` devices.

    Of pretraining its micro-batch, or the number of GPUs, or else the model's size, each as it fits.
    """
    model, table = _model_and_vocabulary(plan), stage.table()
    if model is None or not isinstance(table, Pretrain):
        return less_memory(plan, stage)
    model_table, vocab_size = model
    shape = model_table.shape(vocab_size=vocab_size)
    layout = layout_of(table, nproc)
    if tokens := largest_micro_batch(table, shape, room_bytes, layout):
        return f"micro_batch_tokens = {tokens} is the largest that fits"
    ways = []
    if has_gpu() and (more := fewest_devices(table, shape, room_bytes, beyond=nproc)):
        ways.append(f"--nproc {more} is the fewest such GPUs that hold it")
    for size in reversed(SIZES):
        smaller = model_table.model_copy(update=_only_size(size)).shape(vocab_size=vocab_size)
        if smaller.num_parameters < shape.num_parameters and (
            tokens := largest_micro_batch(table, smaller, room_bytes, layout)
        ):
            on = f" on {nproc} devices" if nproc > 1 else ""
            ways.append(
                f'[model] size = "{size}" with micro_batch_tokens = {tokens} is the largest that fits{on}'
            )
            break
    return "; ".join(ways) or f"not even the smallest [model] size fits into {human_bytes(room_bytes)}"


def fewest_devices(table: Pretrain, shape: ModelConfig, room_bytes: int, *, beyond: int) -> int | None:
    """The fewest devices, more than `beyond`, on each of which the training fits into `room_bytes`.

    None when more of them would not help: there are no more than the batch has rows for.
    """
    group = table.tensor_parallel * table.replicate
    rows = table.batch_tokens // table.context_length
    for nproc in range(group, rows * table.tensor_parallel + 1, group):
        if nproc > beyond and largest_micro_batch(table, shape, room_bytes, layout_of(table, nproc)):
            return nproc
    return None


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
