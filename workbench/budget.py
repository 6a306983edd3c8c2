"""What a plan will cost before any work: parameters, tokens, FLOPs, memory, disk and time, by arithmetic.

The time is an estimate from the kind of machine (rates measured on machines of that kind, below), not a
measurement; the run itself shows the measured time left.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

from workbench.errors import BadInput
from workbench.files import free_bytes, human_bytes, human_count
from workbench.model_config import ModelConfig
from workbench.plan import Plan, StagePlan, summary_of
from workbench.recipe import Corpus, Dpo, Examples, Pretrain, Sft, Tokenizer
from workbench.recipe_file import LoadedRecipe
from workbench.source_files import DOCUMENT_SUFFIXES, EXAMPLE_SUFFIXES, files_of, is_file_source

# Training FLOPs a second that the model reaches, per core or per device (recipes/LOG.md, 2026-11-20).
CPU_BF16_FLOPS = 1.5e11
CPU_FP32_FLOPS = 0.6e11
GPU_FLOPS = 2.0e14
# Text that the corpus, tokenizer and pack stages get through in a second, together.
TEXT_BYTES_PER_SECOND = 1.0e6
# Weights that are read, checked and written again.
READ_BYTES_PER_SECOND = 2.0e8
PYTHON_DOCS_BYTES = 6_000_000
PYTHON_DOCS_EXAMPLES = 12_000
# Interpreter, torch and data sets before any tensor of ours.
PROCESS_BYTES = 500_000_000
# Floats kept for the backward pass per token and layer, in units of the width: inputs of 7 products, norms,
# attention and SwiGLU (Korthikanti et al. 2022 count 34 bytes in mixed precision without dropout, plus ours).
ACTIVATION_BYTES_PER_WIDTH = 60
GZIP_RATIO = 3.5
# An example's, where the file does not tell.
EXAMPLE_BYTES = 500
SAMPLE_BYTES = 256_000
_BETWEEN_RECORDS = re.compile(r"[\s,\[]*")


@dataclasses.dataclass(frozen=True)
class StageBudget:
    """What one stage costs."""

    seconds: float
    flops: float = 0.0
    peak_bytes: int = PROCESS_BYTES
    disk_bytes: int = 0
    summary: str = ""


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a whole plan costs; stages that are finished cost nothing any more."""

    parameters: int
    architecture: str
    """What others know the model as: llama, qwen3, gpt2; "workbench" when only we do; "" without a model."""
    exported_as: str
    """What a package of the model is loaded as; "" when it cannot be exported."""
    tokens: int
    device: str
    memory_bytes: int
    free_bytes: int
    stages: dict[str, StageBudget]
    problems: tuple[str, ...]

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

    def to_dict(self) -> dict[str, Any]:
        """Plain data, totals included."""
        totals = ("flops", "seconds", "peak_bytes", "disk_bytes")
        return {**dataclasses.asdict(self), **{name: getattr(self, name) for name in totals}}


def estimate(plan: Plan) -> Budget:
    """The budget of a plan on this machine. `problems` says in words what will not fit."""
    device, flops_per_second = _device()
    shape = _shape(plan)
    stages: dict[str, StageBudget] = {}
    for stage in plan.stages:
        cost = _cost(plan, stage, shape, flops_per_second)
        if plan.store.exists(stage.makes):
            cost = dataclasses.replace(cost, seconds=0.0, flops=0.0, disk_bytes=0)
        else:  # what was cut off lies on the disk already
            held = _bytes_below(plan.store.building(stage.makes))
            cost = dataclasses.replace(cost, disk_bytes=max(0, cost.disk_bytes - held))
        stages[stage.name] = cost
    pretrain = next((stage.table() for stage in plan.stages if stage.name == "pretrain"), None)
    memory, free = _memory_bytes(), free_bytes(plan.home)
    budget = Budget(
        parameters=shape.num_parameters if shape else 0,
        architecture=(shape.known_as or "workbench") if shape else "",
        exported_as=(shape.exported_as or "") if shape else "",
        tokens=pretrain.tokens if isinstance(pretrain, Pretrain) else 0,
        device=device,
        memory_bytes=memory,
        free_bytes=free,
        stages=stages,
        problems=(),
    )
    problems = (_memory_problem(budget), _disk_problem(budget, plan.home))
    return dataclasses.replace(budget, problems=tuple(problem for problem in problems if problem))


def _bytes_below(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # a living run deletes old checkpoints
                total += os.lstat(os.path.join(root, name)).st_size
    return total


def require_fit(plan: Plan, loaded: LoadedRecipe) -> None:
    """Raise BadInput, pointing at [model] or naming the home, when the plan cannot fit this machine."""
    budget = estimate(plan)
    if problem := _memory_problem(budget):
        raise loaded.blame("model", "", BadInput(f"will not fit: {problem}"))
    if problem := _disk_problem(budget, plan.home):
        raise BadInput(f"will not fit: {problem}")


def _memory_problem(budget: Budget) -> str | None:
    if budget.peak_bytes <= 0.95 * budget.memory_bytes:
        return None
    return (
        f"needs about {human_bytes(budget.peak_bytes)} of memory and this machine has "
        f"{human_bytes(budget.memory_bytes)}; lower [pretrain] micro_batch_tokens or choose a smaller [model] size"
    )


def _disk_problem(budget: Budget, home: Path) -> str | None:
    if not _can_hold_files(home):
        return f"the home {home} cannot be written; choose another --home"
    if 1.1 * budget.disk_bytes <= budget.free_bytes:
        return None
    return (
        f"needs about {human_bytes(budget.disk_bytes)} of disk and {human_bytes(budget.free_bytes)} are free in "
        f"{home}; free some space or choose another --home"
    )


def _can_hold_files(folder: Path) -> bool:
    """Whether `folder` is, or will be, on a disk that we may write: /proc is none."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return os.access(there, os.W_OK) and shutil.disk_usage(there).total > 0


def _shape(plan: Plan) -> ModelConfig | None:
    for stage in plan.stages:
        if stage.shape is not None:
            return stage.shape
        if (model := stage.model_table()) is not None:
            tokenizer = plan.stage("tokenizer").table()
            assert isinstance(tokenizer, Tokenizer)
            return model.shape(vocab_size=tokenizer.vocab_size)
    return None


def _cost(plan: Plan, stage: StagePlan, shape: ModelConfig | None, flops_per_second: float) -> StageBudget:
    table = stage.table()
    text = _text_bytes(plan)
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
        return StageBudget(
            text / 3e6 + 1, disk_bytes=round(text / 3.5 * 2), summary=f"~{human_count(text / 3.5)} tokens"
        )
    if shape is None:
        return StageBudget(0.0)
    flops, tokens_at_once, what = _training(plan, stage, shape)
    training = stage.makes.kind == "checkpoint"
    weights = 4 * shape.num_parameters
    activations = tokens_at_once * (
        shape.num_hidden_layers * shape.hidden_size * ACTIVATION_BYTES_PER_WIDTH + shape.vocab_size * 10
    )
    # Weights, gradient and two moments while training (Muon keeps one for matrices); a reference model for DPO.
    peak = (
        PROCESS_BYTES + (weights * (5 if stage.name == "dpo" else 4) if training else weights) + activations
    )
    kept = 3 * 3 * weights if training else 1_000_000
    return StageBudget(flops / flops_per_second + 2, flops, round(peak), kept, what)


def _training(plan: Plan, stage: StagePlan, shape: ModelConfig) -> tuple[float, int, str]:
    """FLOPs, tokens in flight, and the size in words of a stage that runs the model."""
    table = stage.table()
    if isinstance(table, Pretrain):
        flops = table.tokens * shape.flops_per_token(table.context_length)
        return flops, table.micro_batch_tokens or table.batch_tokens, f"{human_count(table.tokens)} tokens"
    if isinstance(table, Sft | Dpo):
        known = summary_of(plan, stage).get("examples")
        about = "" if isinstance(known, int) else "~"
        examples = min(known or _examples(plan, table), table.max_examples or 2**53)
        per_example = min(table.context_length, 70) * (4 if isinstance(table, Dpo) else 1)
        tokens = examples * table.epochs * per_example
        at_once = (
            table.batch_tokens if isinstance(table, Sft) else 2 * table.batch_pairs * table.context_length
        )
        return (
            tokens * shape.flops_per_token(table.context_length),
            at_once,
            f"{about}{human_count(examples)} examples",
        )
    limit = getattr(table, "limit", None) or 1000
    return limit * 6 * 60 * shape.flops_per_token(128), 8192, ", ".join(getattr(table, "tasks", ()))[:60]


def _text_bytes(plan: Plan) -> int:
    """How much text the corpus will hold: known when it is made, else from the sizes of its files; 0 without one."""
    stage = next((each for each in plan.stages if each.name == "corpus"), None)
    if stage is None:
        return 0
    corpus, made = stage.table(), summary_of(plan, stage)
    assert isinstance(corpus, Corpus)
    if isinstance(made.get("bytes"), int):
        return int(made["bytes"])
    total = 0
    for source in corpus.sources:
        if is_file_source(source):
            files = files_of(source, base=plan.recipe_folder, suffixes=DOCUMENT_SUFFIXES)
            total += sum(_unpacked_bytes(file) for file in files)
        else:
            total += PYTHON_DOCS_BYTES
    return total


def _examples(plan: Plan, table: Examples) -> int:
    total = 0
    for source in table.sources:
        if is_file_source(source):
            files = files_of(source, base=plan.recipe_folder, suffixes=EXAMPLE_SUFFIXES)
            total += sum(map(examples_in, files))
        else:
            total += PYTHON_DOCS_EXAMPLES
    return total


def examples_in(file: Path) -> int:
    """About how many records a file holds, from the length of those that lie whole in its first bytes."""
    num_bytes, records, end = _unpacked_bytes(file), 0, 0
    if file.suffix in (".json", ".jsonl"):
        with open(file, "rb") as opened:
            head = opened.read(SAMPLE_BYTES).decode("latin-1")  # a character a byte
        with contextlib.suppress(ValueError, RecursionError):  # the last one is cut
            while between := _BETWEEN_RECORDS.match(head, end):
                _, end = json.JSONDecoder().raw_decode(head, between.end())
                records += 1
    return round(num_bytes * records / end) if records else math.ceil(num_bytes / EXAMPLE_BYTES)


def _unpacked_bytes(file: Path) -> int:
    ratio = GZIP_RATIO if file.suffix in (".gz", ".zst", ".parquet") else 1
    return round(file.stat().st_size * ratio)


def _device() -> tuple[str, float]:
    """What this machine trains on, in words, and the FLOPs a second to expect of it."""
    if Path("/proc/driver/nvidia/gpus").is_dir():
        return "the GPU", GPU_FLOPS
    cores = len(os.sched_getaffinity(0))
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        flags = ""
    fast = "avx512_bf16" in flags or "amx_bf16" in flags
    kind = "bfloat16" if fast else "float32"
    return f"{cores} CPU cores in {kind}", cores * (CPU_BF16_FLOPS if fast else CPU_FP32_FLOPS)


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
