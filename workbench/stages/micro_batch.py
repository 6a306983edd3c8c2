"""How many tokens pass through the model at once when the recipe leaves it open: by arithmetic, then tried on a GPU.

Tokens per step never change; only how a batch is cut. The cut decides the last bits, so it is part of the training's
environment, and whoever goes on uses the one that is recorded there. Not a stage: there is no [micro_batch] table.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch

from workbench.errors import BadInput, WorkbenchError
from workbench.files import human_bytes
from workbench.hardware import available_bytes, resident_bytes
from workbench.model_config import ModelConfig
from workbench.recipe import Pretrain
from workbench.stage_run import StageRun
from workbench.train.checkpoint_folder import STATE_NUMBERS, step_folder, steps_in
from workbench.train.device import Machine
from workbench.training_step import SHARE_OF_FREE_MEMORY, largest_micro_batch, peak_bytes, pretrain_step


def choose_micro_batch(
    run: StageRun,
    settings: Pretrain,
    config: ModelConfig,
    *,
    machine: Machine,
    begin: Path | None = None,
    free_bytes: int,
) -> int:
    """The tokens of a forward pass: the recipe's, else those of the checkpoint it goes on from, else what fits.

    begin: a checkpoint of another training that this one goes on from. free_bytes: of the device.
    Raises BadInput when not even a single row fits, before anything is allocated.
    """
    if settings.micro_batch_tokens is not None:
        return settings.micro_batch_tokens
    steps = steps_in(run.folder)
    recorded = recorded_micro_batch(step_folder(run.folder, steps[-1]) if steps else begin)
    if recorded is not None:
        return recorded
    room = round(SHARE_OF_FREE_MEMORY * free_bytes)
    chosen = largest_micro_batch(settings, config, room)
    if chosen is None:
        one_row = settings.model_copy(update={"micro_batch_tokens": settings.context_length})
        needed = peak_bytes(pretrain_step(one_row, config))
        raise BadInput(
            f"a single row of {settings.context_length:,} tokens needs about {human_bytes(needed)} and "
            f"{human_bytes(free_bytes)} are free on the {machine.device.type}",
            fix="choose a smaller [model] size; `workbench plan` says which fits",
        )
    if chosen < settings.batch_tokens:
        run.note(
            f"a step of {settings.batch_tokens:,} tokens is cut into micro-batches of {chosen:,}: "
            f"{human_bytes(free_bytes)} of memory are free"
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


def raises_when_full(machine: Machine) -> bool:
    """Whether the device says that its memory is full; on a CPU the kernel ends the process instead."""
    return machine.device.type == "cuda"


def halve_until_it_fits(
    run: StageRun, tokens: int, *, context_length: int, try_out: Callable[[int], None]
) -> int:
    """`tokens`, or the next smaller half of it in whole rows with which `try_out` does not run out of memory.

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


def free_memory_bytes(machine: Machine) -> int:
    """What training may allocate on its device now."""
    if machine.device.type == "cuda":
        return int(torch.cuda.mem_get_info(machine.device)[0])
    return available_bytes() + resident_bytes()  # the estimate counts this process too
