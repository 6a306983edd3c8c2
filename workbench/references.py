"""From the words a person uses for a model to the folder it lies in.

RUN                 its most finished model
RUN/STAGE           the newest checkpoint of that stage
RUN/STAGE@STEP      that step, or `best`, or `latest`
FOLDER              any folder in Hugging Face format
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from workbench.artifacts import MANIFEST, verify
from workbench.errors import BadInput, NotFound
from workbench.launcher import frozen_plan
from workbench.plan import Plan, StagePlan
from workbench.runs import find_home, open_run

_REFERENCE = re.compile(r"^(?P<run>[^/@]+)(/(?P<stage>[^/@]+))?(@(?P<step>[^/@]+))?$")
_STEP = re.compile(r"^step-(\d+)$")


def find_checkpoint(reference: str, *, home: Path | None = None) -> Path:
    """The verified folder that `reference` means. Raises NotFound, BadInput or Damaged, each in one line."""
    folder = Path(reference)
    if (folder / "config.json").is_file():
        if (folder / MANIFEST).is_file():
            verify(folder)
        return folder
    parts = _REFERENCE.match(reference)
    if parts is None or folder.is_dir():
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
            return _chosen(plan, stage, steps, parts["step"] or "latest")
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


def _chosen(plan: Plan, stage: StagePlan, steps: dict[int, Path], which: str) -> Path:
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
    verify(steps[step])
    return steps[step]


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
