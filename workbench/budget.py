"""What a plan will cost before any work: parameters, tokens, FLOPs, memory, disk, time and energy, by arithmetic.

The time is an estimate from the kind of machine (rates measured on machines of that kind, below), not a
measurement; the run itself shows the measured time left.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Any

from workbench.accelerators import accelerators, power
from workbench.doctor import obstacles
from workbench.errors import BadInput
from workbench.files import free_bytes, human_bytes, human_count
from workbench.hardware import cpu_flags, has_fast_bfloat16, has_gpu, memory_bytes, usable_cores
from workbench.layout import local_processes
from workbench.less_memory import smaller_model
from workbench.measured_cost import MeasuredCost, find_cost
from workbench.model_config import ModelConfig
from workbench.plan import Plan, StagePlan
from workbench.recipe import Pretrain, Tokenizer, Training
from workbench.recipe_corpus import Corpus
from workbench.recipe_file import LoadedRecipe
from workbench.source_sizes import GZIP_RATIO, text_bytes
from workbench.step_memory import MemoryParts, checkpoint_bytes
from workbench.token_sizes import bytes_per_token
from workbench.training_cost import TrainingCost, fitting_advice, model_shape, training_cost
from workbench.training_step import PROCESS_BYTES, Arithmetic, arithmetic_of
from workbench.training_time import FORWARD_SHARE, PartSeconds, sampling_seconds, seconds_of

# Training FLOPs a second that the model reaches, per core (recipes/LOG.md, 2026-11-20).
CPU_FLOPS: dict[Arithmetic, float] = {"bfloat16": 1.5e11, "float32": 0.6e11}
EMULATED_BFLOAT16 = {True: 0.45, False: 0.08}
"""Of float32's speed, where a CPU has no instructions for bfloat16: with AVX-512, and without (LOG.md, 2026-11-21)."""
# Per device: not measured. The speeds of Hopper's data sheet beside that of bfloat16; float8 as torchao tells of whole
# trainings of 8B parameters, whose attention and norms it leaves alone.
GPU_FLOPS: dict[Arithmetic, float] = {
    "bfloat16": 2.0e14,
    "float8": 1.25 * 2.0e14,
    "TF32": 2.0e14 / 2,
    "float32": 2.0e14 * 67 / 989,
}
# Text that the corpus, tokenizer and pack stages get through in a second, together.
TEXT_BYTES_PER_SECOND = 1.0e6
# Checkpoints that are copied, looked through and digested on a core that trains; that are copied from a GPU.
SAVED_BYTES_PER_SECOND = {False: 4.0e8, True: 5.0e9}
# Until a training takes its first step: its process has torch to load.
START_SECONDS = 4.0
# Weights that are read, checked and written again.
READ_BYTES_PER_SECOND = 2.0e8
TOKENS_PER_PARAMETER = 20
"""Tokens that make the best of a training's compute (Hoffmann et al. 2022)."""
LARGEST_SHARE_OF_MEMORY = 0.95
ESTIMATED = "estimated"


@dataclasses.dataclass(frozen=True)
class StageBudget:
    """What one stage costs. The last fields are known of training stages.

    memory: the peak by part, without the process. tokens_at_once: of a forward pass. On several devices these and
    peak_bytes are of each of them; machine_bytes are of all their processes together, copy_bytes of the first one's
    while it saves, or of each one's where they are saved_together.
    """

    seconds: float
    flops: float = 0.0
    peak_bytes: int = PROCESS_BYTES
    disk_bytes: int = 0
    summary: str = ""
    memory: MemoryParts | None = None
    tokens_at_once: int | None = None
    steps: int | None = None
    tokens_per_second: float | None = None
    devices: str = "1"
    """How many, and if several as copies x shards x slices."""
    copy_bytes: int = 0
    saved_together: bool = False
    machine_bytes: int = 0
    process_bytes: int = 0
    """Of the peak: what holds the training besides `memory`."""
    basis: str = ESTIMATED
    """What time and peak are from, in words."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a whole plan costs; stages that are finished cost nothing any more."""

    parameters: int
    architecture: str
    """What others know the model as: llama, qwen3, gpt2; "workbench" when only we do; "" without a model."""
    exported_as: str
    """What a package of the model is loaded as; "" when it cannot be exported."""
    own_parts: tuple[str, ...]
    """Keys of [model] that no other program knows."""
    tokens: int
    device: str
    memory_bytes: int | None
    """Of this machine, or of its GPU; None where that is not known."""
    nproc: int
    """Devices that training is shared by."""
    free_bytes: int
    power_watts: float
    power_basis: str
    stages: dict[str, StageBudget]
    obstacles: tuple[str, ...]
    """Why nothing at all can run here, as `doctor` finds it."""
    problems: tuple[str, ...]
    """These, and what will not fit."""

    @property
    def flops(self) -> float:
        """Floating-point operations of all stages."""
        return sum(stage.flops for stage in self.stages.values())

    @property
    def seconds(self) -> float:
        """Time of all stages."""
        return sum(stage.seconds for stage in self.stages.values())

    @property
    def peak_bytes(self) -> int:
        """Memory of the hungriest stage."""
        return max((stage.peak_bytes for stage in self.stages.values()), default=0)

    @property
    def disk_bytes(self) -> int:
        """What the artifacts will take."""
        return sum(stage.disk_bytes for stage in self.stages.values())

    @property
    def energy_kwh(self) -> float:
        """What all stages draw at the most, in kWh: an estimate."""
        return self.power_watts * self.seconds / 3.6e6

    @property
    def refusals(self) -> tuple[str, ...]:
        """The problems as whole lines."""
        return tuple(
            f"{'cannot run here' if each in self.obstacles else 'will not fit'}: {each}"
            for each in self.problems
        )

    @property
    def compute_optimal_tokens(self) -> int:
        """The tokens for which, of all models of these FLOPs, one of this size would be the best."""
        return TOKENS_PER_PARAMETER * self.parameters

    def to_dict(self) -> dict[str, Any]:
        """Plain data, totals included."""
        totals = (
            "flops",
            "seconds",
            "peak_bytes",
            "disk_bytes",
            "energy_kwh",
            "compute_optimal_tokens",
        )
        return {**dataclasses.asdict(self), **{name: getattr(self, name) for name in totals}}


def estimate(plan: Plan, *, nproc: int = 1) -> Budget:
    """The budget of a plan on this machine. `problems` says in words why it cannot run here.

    nproc: devices like this machine's, with a process each; on a CPU, processes that share it. Raises BadInput for
    a number that the recipe's layout cannot deal out.
    """
    shape = model_shape(plan)
    stages: dict[str, StageBudget] = {}
    for stage in plan.stages:
        finished = plan.store.exists(stage.makes)
        cost = _cost(plan, stage, shape, 1 if finished else nproc)
        if finished:
            cost = dataclasses.replace(cost, seconds=0.0, flops=0.0, disk_bytes=0)
        else:  # what was cut off lies on the disk already
            held = _bytes_below(plan.store.building(stage.makes))
            cost = dataclasses.replace(cost, disk_bytes=max(0, cost.disk_bytes - held))
        stages[stage.name] = cost
    pretrain = next((stage.table() for stage in plan.stages if stage.name == "pretrain"), None)
    drawn = power(gpus=nproc)
    budget = Budget(
        parameters=shape.num_parameters if shape else 0,
        architecture=(shape.known_as or "workbench") if shape else "",
        exported_as=(shape.exported_as or "") if shape else "",
        own_parts=shape.own_parts if shape else (),
        tokens=pretrain.tokens if isinstance(pretrain, Pretrain) else 0,
        device=_device_in_words(plan, nproc),
        memory_bytes=training_memory_bytes(),
        nproc=nproc,
        free_bytes=free_bytes(plan.home),
        power_watts=drawn.watts,
        power_basis=drawn.basis,
        stages=stages,
        obstacles=obstacles(plan.home),
        problems=(),
    )
    problems = (
        *budget.obstacles,
        _memory_problem(budget, plan),
        _machine_problem(budget, plan),
        _disk_problem(budget, plan.home),
    )
    return dataclasses.replace(budget, problems=tuple(problem for problem in problems if problem))


def predictions(plan: Plan, *, nproc: int = 1) -> dict[str, Any]:
    """What is predicted of every stage that is still to run, for a run to be compared with later."""
    budget = estimate(plan, nproc=nproc)
    kept = ("seconds", "peak_bytes", "steps", "tokens_per_second", "basis")
    return {
        name: {"parameters": budget.parameters or None} | {key: getattr(cost, key) for key in kept}
        for name, cost in budget.stages.items()
        if not plan.store.exists(plan.stage(name).makes)
    }


def training_memory_bytes() -> int | None:
    """The memory that training has on this machine: the GPU's where there is one. None: not known."""
    return accelerators()[0].memory_bytes if has_gpu() else memory_bytes()


def require_fit(plan: Plan, loaded: LoadedRecipe, *, nproc: int = 1) -> None:
    """Raise BadInput when nothing can run here, or the plan cannot fit `nproc` devices or the disk.

    It points at [model] or [start], or names the home.
    """
    budget = estimate(plan, nproc=nproc)
    if budget.obstacles:
        raise BadInput(budget.refusals[0])
    if problem := _memory_problem(budget, plan) or _machine_problem(budget, plan):
        place = ("model", "") if loaded.recipe.start is None else ("start", "model")
        raise loaded.blame(*place, BadInput(f"will not fit: {problem}"))
    if problem := _disk_problem(budget, plan.home):
        raise BadInput(f"will not fit: {problem}")


# -- what will not fit -------------------------------------------------------------------------------------


def _memory_problem(budget: Budget, plan: Plan) -> str | None:
    if budget.memory_bytes is None:
        return None
    room = round(LARGEST_SHARE_OF_MEMORY * budget.memory_bytes)
    name, hungriest = max(
        budget.stages.items(), key=lambda item: item[1].peak_bytes, default=("", StageBudget(0.0))
    )
    if hungriest.peak_bytes <= room:
        return None
    several = budget.nproc > 1
    holder = "its GPU" if has_gpu() else "this machine"
    if several:
        holder = "a GPU" if has_gpu() else "this machine"
    each = f" on each of {budget.nproc} devices" if several else ""
    return (
        f"[{name}] needs about {human_bytes(hungriest.peak_bytes)} of memory{each} and {holder} has "
        f"{human_bytes(budget.memory_bytes)}; "
        f"{fitting_advice(plan, plan.stage(name), room, nproc=budget.nproc)}"
    )


def _machine_problem(budget: Budget, plan: Plan) -> str | None:
    """Of several processes together, and of the whole tensors that are saved."""
    if budget.nproc == 1:
        return None
    there = memory_bytes()
    name, hungriest = max(
        budget.stages.items(), key=lambda item: item[1].machine_bytes, default=("", StageBudget(0.0))
    )
    if hungriest.machine_bytes <= LARGEST_SHARE_OF_MEMORY * there:
        return None
    what = f"[{name}] needs about {human_bytes(hungriest.machine_bytes)} of this machine's memory in all"
    who = "each process" if hungriest.saved_together else "the first process"
    copy = f", {human_bytes(hungriest.copy_bytes)} of it while {who} saves"
    shape = model_shape(plan)
    assert shape is not None, "only training has several processes"
    for fewer in range(budget.nproc - 1, 0, -1):
        with contextlib.suppress(BadInput):
            cost = training_cost(plan, plan.stage(name), shape, nproc=fewer)
            assert cost is not None
            if cost.machine_bytes(fewer) <= LARGEST_SHARE_OF_MEMORY * there and not has_gpu():
                return f"{what}{copy} and it has {human_bytes(there)}; --nproc {fewer} fits"
    return f"{what}{copy} and it has {human_bytes(there)}; {smaller_model(plan)}"


def _disk_problem(budget: Budget, home: Path) -> str | None:
    if 1.1 * budget.disk_bytes <= budget.free_bytes:
        return None
    return (
        f"needs about {human_bytes(budget.disk_bytes)} of disk and {human_bytes(budget.free_bytes)} are free in "
        f"{home}; free some space or choose another --home"
    )


def _bytes_below(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # a living run deletes old checkpoints
                total += os.lstat(os.path.join(root, name)).st_size
    return total


# -- stages ------------------------------------------------------------------------------------------------


def _cost(plan: Plan, stage: StagePlan, shape: ModelConfig | None, nproc: int) -> StageBudget:
    table = stage.table()
    text = text_bytes(plan)
    if stage.shape is not None:
        weights = 4 * stage.shape.num_parameters
        return StageBudget(
            weights / READ_BYTES_PER_SECOND + 1,
            peak_bytes=PROCESS_BYTES + weights,
            disk_bytes=weights,
            summary=f"{human_count(stage.shape.num_parameters)} parameters",
        )
    if isinstance(table, Corpus):
        return StageBudget(
            text / TEXT_BYTES_PER_SECOND + 5,
            disk_bytes=round(text / GZIP_RATIO),
            summary=f"{human_bytes(text)} of text",
        )
    if isinstance(table, Tokenizer):
        seen = min(text, table.sample_bytes)
        return StageBudget(seen / 4e6 + 1, disk_bytes=2_000_000, summary=f"{table.vocab_size:,} tokens")
    if stage.name == "pack":
        tokens = text / bytes_per_token(plan)
        return StageBudget(
            text / 3e6 + 1, disk_bytes=round(2 * tokens), summary=f"~{human_count(tokens)} tokens"
        )
    if shape is None:
        return StageBudget(0.0)
    if (training := training_cost(plan, stage, shape, nproc=nproc)) is not None:
        budget = _training_budget(training)
        measured = find_cost(plan, stage, nproc=nproc)
        return budget if measured is None else _as_measured(budget, measured, training)
    limit = getattr(table, "limit", None) or 1000
    flops = limit * 6 * 60 * shape.flops_per_token(128)
    return StageBudget(
        flops / _flops_per_second(_of_an_evaluation()) + 2,
        flops,
        PROCESS_BYTES + 4 * shape.num_parameters + 256_000_000,
        1_000_000,
        ", ".join(getattr(table, "tasks", ()))[:60],
    )


def _training_budget(cost: TrainingCost) -> StageBudget:
    layout = cost.step.layout
    flops_per_second = _flops_per_second(cost.arithmetic) * (
        layout.ranks if has_gpu() else 1
    )  # a CPU is shared
    training, config = cost.all_flops / flops_per_second, cost.step.config
    forward = FORWARD_SHARE * config.flops_per_token(cost.step.context_length)
    parts = PartSeconds(
        step=training / cost.left.full_steps,
        evaluation=cost.evaluation_tokens * forward / flops_per_second,
        samples=sampling_seconds(
            tokens=cost.sample_tokens,
            layers=config.num_hidden_layers,
            weight_bytes=4 * config.num_parameters,
            on_gpu=has_gpu(),
        ),
        save=checkpoint_bytes(config, cost.step.optimizer, averaged=cost.step.averaged)
        / SAVED_BYTES_PER_SECOND[has_gpu()],
        rest=START_SECONDS,
    )
    memory, process = cost.memory, cost.peak_bytes - cost.memory.total
    room = training_memory_bytes()
    if room is not None and cost.peak_bytes > LARGEST_SHARE_OF_MEMORY * room:
        memory = dataclasses.replace(memory, snapshot=0)  # training will wait while checkpoints are written
    return StageBudget(
        seconds=seconds_of(parts, cost.left),
        flops=cost.flops,
        peak_bytes=memory.total + process,
        disk_bytes=cost.disk_bytes,
        summary=cost.summary,
        memory=memory,
        devices=str(layout),
        copy_bytes=cost.copy_bytes,
        saved_together=cost.saved_together,
        machine_bytes=cost.machine_bytes(local_processes(layout.ranks)),
        process_bytes=process,
        tokens_at_once=cost.step.tokens,
        steps=cost.steps,
        tokens_per_second=round(cost.tokens / training, 1) if training else None,
    )


def _as_measured(budget: StageBudget, measured: MeasuredCost, cost: TrainingCost) -> StageBudget:
    """The budget of a training whose like was measured on this machine."""
    return dataclasses.replace(
        budget,
        seconds=seconds_of(measured.parts, cost.left),
        peak_bytes=measured.peak_bytes,
        tokens_per_second=round(measured.tokens_per_step / measured.parts.step, 1),
        basis=measured.basis,
    )


def _device_in_words(plan: Plan, nproc: int) -> str:
    """What this machine trains on, and in which arithmetic; that of every training, where they differ."""
    tables = [table for stage in plan.stages if isinstance(table := stage.table(), Training)]
    arithmetic = " and ".join(dict.fromkeys(map(arithmetic_of, tables))) or arithmetic_of()
    if has_gpu():
        name = accelerators()[0].name
        return f"the GPU ({name}) in {arithmetic}" if nproc == 1 else f"{nproc} GPUs ({name}) in {arithmetic}"
    cores = usable_cores()
    shared = f", shared by {nproc} processes" if nproc > 1 else ""
    return f"{cores} CPU core{'s' if cores > 1 else ''} in {arithmetic}{shared}"


def _of_an_evaluation() -> Arithmetic:
    """What models are measured in (evals/subject.py): as they train on a CPU, in float32 on a GPU."""
    return "float32" if has_gpu() else arithmetic_of()


def _flops_per_second(arithmetic: Arithmetic) -> float:
    """What to expect of a machine of this kind."""
    if has_gpu():
        return GPU_FLOPS[arithmetic]
    if arithmetic == "bfloat16" and not has_fast_bfloat16():
        return usable_cores() * EMULATED_BFLOAT16["avx512f" in cpu_flags()] * CPU_FLOPS["float32"]
    return usable_cores() * CPU_FLOPS[arithmetic]
