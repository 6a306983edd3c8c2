"""Is what a run made still what it was, and is it the same as another run's? Reads bytes, knows no tensors."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from workbench.artifacts import problems_of, read_manifest
from workbench.errors import NotFound, WorkbenchError
from workbench.launcher import frozen_plan
from workbench.references import steps_of
from workbench.runs import Run

# What training made, and nothing that differs between equal trainings (times, paths, host): files of tensors, and the
# indexes of those that lie in parts.
TRAINED_FILES = re.compile(r"(model|training/state)(-[0-9]+-of-[0-9]+)?\.safetensors(\.index\.json)?")


def problems_of_run(run: Run) -> Iterator[str]:
    """One line for every file of the run's artifacts and checkpoints that is not what its manifest says."""
    plan = frozen_plan(run)
    finished = run.state() == "finished"
    for stage in plan.stages:
        published = plan.store.folder(stage.makes)
        building = plan.store.building(stage.makes)
        if published.is_dir():
            yield from _problems(published)
        elif finished:
            yield f"{published}: is missing although the run finished"
        if building.is_dir():
            for step in sorted(building.glob("step-*")):
                yield from _problems(step)


def digest_of_run(run: Run) -> str:
    """One hash over the weights and training state that each training stage of the run ended with.

    Equal for equal training, whatever the machine, the time or the number of interruptions; a checkpoint that several
    processes wrote in parts is equal to another of as many. Raises NotFound
    when a training stage is not finished.
    """
    plan = frozen_plan(run)
    digest = hashlib.blake2b(digest_size=16)
    stages = [stage for stage in plan.stages if stage.makes.kind == "checkpoint"]
    if not stages:
        raise NotFound(f"run {run.name} has no training stage", fix="only trained runs have a digest")
    for stage in stages:
        if not plan.store.exists(stage.makes):
            raise NotFound(
                f"{run.name}/{stage.name} is not finished", fix=f"`workbench resume {run.name}` finishes it"
            )
        step, folder = next(reversed(steps_of(plan, stage).items()))
        files = read_manifest(folder)["files"]
        for name in filter(TRAINED_FILES.fullmatch, sorted(files)):  # a start has no training state
            digest.update(f"{stage.name} {step} {name} {files[name]['digest']}\n".encode())
    return digest.hexdigest()


def _problems(folder: Path) -> list[str]:
    try:
        return problems_of(folder)
    except WorkbenchError as error:
        return [str(error)]
