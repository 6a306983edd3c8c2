"""From the words a person uses for a model to the folder it lies in.

RUN                 its most finished model
RUN/STAGE           the newest checkpoint of that stage
RUN/STAGE@STEP      that step, or `best`, or `latest`
FOLDER              any folder in Hugging Face format
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from workbench.artifacts import MANIFEST, ArtifactName, verify
from workbench.errors import BadInput, NotFound, WorkbenchError
from workbench.launcher import frozen_plan
from workbench.plan import Plan, StagePlan
from workbench.runs import find_home, open_run

_REFERENCE = re.compile(r"^(?P<run>[^/@]+)(/(?P<stage>[^/@]+))?(@(?P<step>[^/@]+))?$")
TRIES = 5
"""A checkpoint is saved every few seconds at most, and a model is loaded in less than that."""
T = TypeVar("T")
_STEP = re.compile(r"^step-(\d+)$")


def open_checkpoint(reference: str, read: Callable[[Path], T], *, home: Path | None = None) -> T:
    """What `read` makes of the verified folder that `reference` means. Raises NotFound, BadInput or Damaged, and its.

    A run that trains takes its older checkpoints away and moves them when it publishes. One that goes before it is
    read to the end was not what the reference means any more: it is looked up again.
    """
    tries = 0
    while True:
        folder = Path(reference)
        is_trained = not (folder / "config.json").is_file()
        if is_trained:
            folder = find_trained(reference, home=home).folder
        try:
            if is_trained or (folder / MANIFEST).is_file():
                verify(folder)
            return read(folder)
        except (WorkbenchError, OSError):
            tries += 1
            if not is_trained or (folder / MANIFEST).is_file() or tries == TRIES:
                raise


def find_artifact(run: str, kind: str, *, home: Path | None = None) -> Path:
    """What `run` has made of `kind`: documents, tokenizer, scorecard, … Raises NotFound, also before it is made."""
    plan = frozen_plan(open_run(find_home(home), run))
    made = [stage for stage in plan.stages if stage.makes.kind == kind]
    if not made:
        raise NotFound(f"the recipe of {plan.name} makes no {kind}", fix="choose another run")
    if not plan.store.exists(made[-1].makes):
        raise NotFound(
            f"{plan.name}/{made[-1].name} is not finished",
            fix=f"`workbench follow {plan.name}` shows how far it is",
        )
    return plan.store.folder(made[-1].makes)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A checkpoint of a run: its folder, the reference that names it for good, and its run's tokenizer if published."""

    folder: Path
    reference: str
    tokenizer: ArtifactName | None


def find_trained(reference: str, *, home: Path | None = None) -> Trained:
    """The checkpoint of a run that `reference` means, not verified. Raises NotFound or BadInput."""
    parts = _REFERENCE.match(reference)
    if parts is None or Path(reference).is_dir():
        raise BadInput(
            f"{reference!r} is neither a model folder nor RUN/STAGE@STEP",
            fix="a model folder holds a config.json",
        )
    plan = frozen_plan(open_run(find_home(home), parts["run"]))
    stages = [stage for stage in plan.stages if stage.makes.kind == "checkpoint"]
    if parts["stage"] is not None:
        stages = [stage for stage in stages if stage.name == parts["stage"]]
        if not stages:
            known = ", ".join(stage.name for stage in plan.stages if stage.makes.kind == "checkpoint")
            raise NotFound(
                f"run {plan.name} has no training stage {parts['stage']!r}", fix=f"it has {known or 'none'}"
            )
    for stage in reversed(stages):
        if steps := steps_of(plan, stage):
            step = _chosen(plan, stage, steps, parts["step"] or "latest")
            return Trained(steps[step], f"{plan.name}/{stage.name}@{step}", _tokenizer_of(plan))
    raise NotFound(
        f"run {plan.name} has no checkpoint yet", fix=f"`workbench follow {plan.name}` shows how far it is"
    )


def steps_of(plan: Plan, stage: StagePlan) -> dict[int, Path]:
    """The whole checkpoints of a training stage, finished or not, by step, the oldest first."""
    for folder in (plan.store.folder(stage.makes), plan.store.building(stage.makes)):
        steps = checkpoint_steps(folder)
        if steps:
            return steps
    return {}


def checkpoint_steps(folder: Path) -> dict[int, Path]:
    """The whole checkpoints in `folder` by step, the oldest first."""
    found = {}
    for entry in folder.iterdir() if folder.is_dir() else ():
        if (step := _STEP.match(entry.name)) and (entry / MANIFEST).is_file():
            found[int(step[1])] = entry
    return dict(sorted(found.items()))


def _tokenizer_of(plan: Plan) -> ArtifactName | None:
    """What the run's stages read as their tokenizer, if it is published."""
    names = (stage.inputs["tokenizer"] for stage in plan.stages if "tokenizer" in stage.inputs)
    name = next(names, None)
    return name if name is not None and plan.store.exists(name) else None


def _chosen(plan: Plan, stage: StagePlan, steps: dict[int, Path], which: str) -> int:
    if which == "latest":  # a damaged one is refused: an older one would be another model, unasked
        which = str(max(steps))
    if which == "best":
        which = str(_best(plan, stage, steps))
    if not which.isdecimal():
        raise BadInput(f"@{which} is not a step", fix="write a number, best or latest")
    step = int(which)
    if step not in steps:
        kept = ", ".join(map(str, steps))
        raise NotFound(f"{plan.name}/{stage.name} keeps no checkpoint of step {step}", fix=f"it keeps {kept}")
    return step


def _best(plan: Plan, stage: StagePlan, steps: dict[int, Path]) -> int:
    try:
        summary = json.loads((plan.store.folder(stage.makes) / "summary.json").read_bytes())
        return int(summary["best"])
    except (OSError, ValueError, KeyError, TypeError):
        marked = [step for step, folder in steps.items() if _says_best(folder)]
        return marked[-1] if marked else next(reversed(steps))


def _says_best(folder: Path) -> bool:
    try:
        state = json.loads((folder / "training" / "state.json").read_bytes())
        return bool(state["best_step"] == state["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
