"""How many tokens pass through the model at once when the recipe leaves it open: by arithmetic, then tried on a GPU.

Tokens per step never change; only how a batch is cut. The cut decides the last bits, so it is part of the training's
environment, and whoever goes on uses the one that is recorded there. Not a stage: there is no [micro_batch] table.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

from workbench.errors import BadInput, WorkbenchError
from workbench.files import human_bytes
from workbench.hardware import available_bytes, resident_bytes
from workbench.layout import Seat, lay_out
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.recipe import Dpo, Pretrain, Sft
from workbench.stage_run import StageRun
from workbench.tensor_files import STATE_NUMBERS
from workbench.train.checkpoint_folder import step_folder, steps_in
from workbench.train.device import Machine
from workbench.train.losses import LossSum
from workbench.train.ranks import Ranks
from workbench.training_step import (
    SHARE_OF_FREE_MEMORY,
    cuts,
    largest_micro_batch,
    least_bytes,
    step_of,
)

if TYPE_CHECKING:
    from workbench.stages.course import Course

MicroBatch = TypeVar("MicroBatch")


def choose_micro_batch(
    run: StageRun,
    settings: Pretrain | Sft | Dpo,
    config: ModelConfig,
    *,
    machine: Machine,
    begin: Path | None = None,
    row: int | None = None,
    free_bytes: int,
) -> int:
    """The tokens of a forward pass: the recipe's, else those of the checkpoint it goes on from, else what fits.

    begin: a checkpoint of another training that this one goes on from. row: tokens of the longest row of examples.
    free_bytes: of the device, for this process. Of several ranks the first one's choice holds for all.
    Raises BadInput when not even a single row fits, before anything is allocated.
    """
    chosen = _choose(run, settings, config, machine, begin, row, free_bytes) if machine.ranks.is_first else 0
    return machine.ranks.agree(chosen)


def _choose(
    run: StageRun,
    settings: Pretrain | Sft | Dpo,
    config: ModelConfig,
    machine: Machine,
    begin: Path | None,
    row: int | None,
    free_bytes: int,
) -> int:
    if settings.micro_batch_tokens is not None:
        return settings.micro_batch_tokens
    steps = steps_in(run.folder)
    recorded = recorded_micro_batch(step_folder(run.folder, steps[-1]) if steps else begin)
    if recorded is not None:
        return recorded
    layout = lay_out(
        machine.ranks.count, tensor_parallel=settings.tensor_parallel, replicate=settings.replicate
    )
    room = round(SHARE_OF_FREE_MEMORY * free_bytes)
    chosen = largest_micro_batch(settings, config, room, layout, row)
    all_cuts = cuts(settings, layout, row)
    if chosen is None:
        needed = least_bytes(step_of(settings, config, layout, at_once=all_cuts[-1], row=row))
        what = "pair of rows" if isinstance(settings, Dpo) else "row"
        raise BadInput(
            f"a single {what} of {row or settings.context_length:,} tokens needs about "
            f"{human_bytes(needed)} and {human_bytes(free_bytes)} are free on the {machine.device.type}",
            fix="choose a smaller [model] size; `workbench plan` says which fits",
        )
    if chosen < all_cuts[0]:
        run.note(
            f"a step is cut into micro-batches of {chosen:,} tokens: {human_bytes(free_bytes)} of memory are free"
        )
    return chosen


def recorded_micro_batch(checkpoint: Path | None) -> int | None:
    """The cut that a checkpoint was trained with; None when it does not tell."""
    if checkpoint is None:
        return None
    try:
        recorded = json.loads((checkpoint / STATE_NUMBERS).read_bytes())["environment"]["micro_batch_tokens"]
    except (OSError, ValueError, KeyError, TypeError):  # damaged: whoever resumes will say so
        return None
    return recorded if isinstance(recorded, int) and recorded > 0 else None


def try_cut(
    run: StageRun,
    course: Course,
    settings: Pretrain | Sft | Dpo,
    chosen: int,
    *,
    machine: Machine,
    least: int,
    largest_at: Callable[[int], MicroBatch],
    loss_fn: Callable[[Decoder, MicroBatch], LossSum],
) -> int:
    """`chosen` where the recipe names the cut or nothing can be tried out, else what every device was seen to bear.

    least: the tokens of a row, or of both rows of a pair. largest_at: the largest micro-batch of a cut; its gradient is
    computed and forgotten. What comes out is the course's cut, before its first step.
    """
    is_open = settings.micro_batch_tokens is None and course.state.step == 0
    if not is_open or not raises_when_full(machine):
        return chosen
    fits = least_of_all(
        run,
        machine.ranks,
        lambda: halve_until_it_fits(
            run,
            chosen,
            context_length=least,
            try_out=lambda tokens: course.try_gradient(largest_at(tokens), loss_fn),
        ),
    )
    course.state.environment["micro_batch_tokens"] = fits
    return fits


def least_of_all(run: StageRun, ranks: Ranks, find: Callable[[], int]) -> int:
    """The least that `find` gives on any rank, on all of them. Where it raises WorkbenchError on one, all raise."""
    found, problem = 0, None
    try:
        found = find()
    except WorkbenchError as error:
        problem = error
    least = ranks.smallest(found)
    if problem is not None:
        raise problem
    if not least:
        raise WorkbenchError(
            "the memory of another rank's GPU does not hold the step of a single row",
            fix="choose a smaller [model] size, or activation_checkpointing",
        )
    if least < found:
        run.warning(f"another rank's GPU bears {least:,} tokens at once: all take as many")
    return least


def raises_when_full(machine: Machine) -> bool:
    """Whether the device says that its memory is full; on a CPU the kernel ends the process instead."""
    return machine.device.type == "cuda"


def halve_until_it_fits(
    run: StageRun, tokens: int, *, context_length: int, try_out: Callable[[int], None]
) -> int:
    """`tokens`, or the next smaller half of it in whole rows with which `try_out` does not run out of memory.

    context_length: of a row, or of both rows of a pair.

    What was drawn at random meanwhile is given back: the training after it is that without it. Raises WorkbenchError
    when a single row is too much.
    """
    while True:
        try:
            with torch.random.fork_rng():
                try_out(tokens)
        except torch.OutOfMemoryError as error:
            smaller = tokens // 2 // context_length * context_length
            if not smaller:
                raise WorkbenchError(
                    f"the GPU's memory does not hold the step of a single row ({str(error).splitlines()[0]})",
                    fix="choose a smaller [model] size, or activation_checkpointing",
                ) from None
            run.warning(f"out of memory with {tokens:,} tokens at once: trying {smaller:,}")
            tokens = smaller
        else:
            return tokens
        finally:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch or Python found no more memory; on a CPU torch has no error of its own for that."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def out_of_memory(
    error: Exception,
    run: StageRun,
    settings: Pretrain | Sft | Dpo,
    config: ModelConfig,
    *,
    machine: Machine,
    tokens: int,
    step: int,
    memory_bytes: int,
) -> WorkbenchError:
    """What to say when a step after `step` with `tokens` at once ran out of memory: what it was reckoned to take, and
    the largest cut of at most half as many that fits by the same arithmetic.

    memory_bytes: all that this process may have on the device.
    """
    layout = lay_out(
        machine.ranks.count, tensor_parallel=settings.tensor_parallel, replicate=settings.replicate
    )

    def reckoned(at_once: int) -> str:
        return human_bytes(least_bytes(step_of(settings, config, layout, at_once=at_once)))

    all_cuts = cuts(settings, layout)
    fits = largest_micro_batch(settings, config, round(SHARE_OF_FREE_MEMORY * memory_bytes), layout) or 0
    half = min(tokens, all_cuts[0]) // 2
    chosen = next((each for each in all_cuts if each <= min(half, fits)), None)
    said = (str(error).splitlines() or [type(error).__name__])[0][:120]
    message = (
        f"out of memory after step {step:,} with {tokens:,} tokens at once, which were reckoned to take "
        f"{reckoned(tokens)} ({said})"
    )
    if chosen is None:
        smaller = "choose a smaller [model] size"
        layerwise = f', or [{run.stage}] activation_checkpointing = "layer"'
        return WorkbenchError(
            message, fix=smaller + ("" if settings.activation_checkpointing == "layer" else layerwise)
        )
    fix = f"set [{run.stage}] micro_batch_tokens = {chosen}, reckoned to take {reckoned(chosen)}"
    kept = steps_in(run.folder) if machine.ranks.is_first else []  # the others do not know the run's name
    if isinstance(settings, Pretrain) and kept:
        fix += f"; with --from {run.run_folder.name}/{run.stage}@{kept[-1]} it goes on from there"
    return WorkbenchError(message, fix=fix)


def device_memory_bytes(machine: Machine) -> int:
    """All the memory that this process may have on its device, what it holds there included."""
    if machine.device.type == "cuda":
        return free_memory_bytes(machine) + torch.cuda.memory_reserved(machine.device)
    return free_memory_bytes(machine)


def free_memory_bytes(machine: Machine) -> int:
    """What training may allocate on its device now; on a CPU, this process's part of it."""
    if machine.device.type == "cuda":
        return int(torch.cuda.mem_get_info(machine.device)[0])
    free = available_bytes() + resident_bytes()  # the estimate counts this process too
    return free // Seat.here().local_ranks
