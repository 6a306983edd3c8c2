"""What training stages took on this machine, kept in the home: the next plan of the same shape is told from it.

    HOME/cache/measured.json    {KEY: {"at", "by", "steps", "parts": {"step", "evaluation", …}, "peak_bytes"}, …}

A key stands for all that time and memory of a step depend on: the machine, the versions, the model's shape, and
the stage's settings but for those that only say how long or how fast to learn. Losing the file costs accuracy only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.artifacts import fingerprint_of
from workbench.errors import NoSpace
from workbench.files import human_duration, write_atomic
from workbench.hardware import fingerprint
from workbench.plan import Plan, StagePlan
from workbench.training_cost import model_shape
from workbench.training_time import PartSeconds
from workbench.version import VERSION

KEPT = 200
FEWEST_STEPS = 10
"""Of fewer the first ones, which are slower, would be half."""
COME_ELSEWHERE = ("training_seconds", "between_seconds", "tried_seconds")
"""Of all of a stage's time, what is told as another part, or was spent once for all runs of this home."""
FREE_SETTINGS = frozenset(
    {
        "tokens", "epochs", "max_examples", "seed", "learning_rate", "matrix_learning_rate", "schedule", "decay_ratio",
        "warmup_steps", "final_learning_rate_ratio", "weight_decay", "embedding_weight_decay", "norm_weight_decay",
        "embedding_learning_rate_factor", "norm_learning_rate_factor", "momentum", "beta1", "beta2", "beta",
        "eval_every_steps", "sample_every_steps", "save_every_seconds", "keep_last",
        "mixture", "curriculum", "milestones", "keep_every_steps",
    }
)  # fmt: skip
"""On these neither the time nor the memory of a step depends, nor that of one measurement or save."""


@dataclasses.dataclass(frozen=True)
class MeasuredCost:
    """What a stage took: each of its parts, the memory of them all, and how many steps it was measured by."""

    at: float
    by: str
    steps: int
    tokens_per_step: float
    parts: PartSeconds
    peak_bytes: int

    @property
    def basis(self) -> str:
        """Where the figures come from, in words."""
        seconds = time.time() - self.at
        when = "just now" if seconds < 60 else f"{human_duration(seconds)} ago"
        return f"measured {when} on this machine by {self.by}"


def keep_cost(plan: Plan, stage: StagePlan, cost: Mapping[str, float], *, by: str, nproc: int = 1) -> None:
    """Remember what `stage` took: `cost` as its training told it, with the `seconds` of all of it.

    nproc: how many processes shared it; the memory is that of the first.
    """
    if cost.get("steps", 0) < FEWEST_STEPS:
        return
    parts = PartSeconds(
        step=cost["step_seconds"],
        evaluation=cost["evaluation_seconds"],
        samples=cost["samples_seconds"],
        save=cost["save_seconds"],
        rest=max(0.0, cost["seconds"] - sum(cost.get(name, 0.0) for name in COME_ELSEWHERE)),
    )
    measured = MeasuredCost(
        at=round(time.time(), 1),
        by=by,
        steps=int(cost["steps"]),
        tokens_per_step=cost["tokens"] / cost["steps"],
        parts=parts,
        peak_bytes=int(cost.get("device_peak_bytes", cost["peak_bytes"])),
    )
    file = _file(plan.home)
    known = _read(file) | {cost_key(plan, stage, nproc=nproc): dataclasses.asdict(measured)}
    newest = sorted(known.items(), key=lambda item: item[1]["at"])[-KEPT:]
    with contextlib.suppress(OSError, NoSpace):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps(dict(newest), indent=1) + "\n", durable=False)


def find_cost(plan: Plan, stage: StagePlan, *, nproc: int = 1) -> MeasuredCost | None:
    """What a stage like this one took on `nproc` devices of this machine; None when none was measured."""
    facts = _read(_file(plan.home)).get(cost_key(plan, stage, nproc=nproc))
    if facts is None:
        return None
    try:
        return MeasuredCost(**facts | {"parts": PartSeconds(**facts["parts"])})
    except (TypeError, KeyError):  # written by another version
        return None


def cost_key(plan: Plan, stage: StagePlan, *, nproc: int = 1) -> str:
    """Equal for stages whose steps take the same time and memory on this machine."""
    settings = {key: setting.value for key, setting in stage.settings.items() if key not in FREE_SETTINGS}
    shape = model_shape(plan)
    try:
        torch = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        torch = ""
    model = None if shape is None else shape.to_dict()
    several = [] if nproc == 1 else [nproc]
    return fingerprint_of([fingerprint(), VERSION, torch, stage.name, settings, model, *several])


def _file(home: Path) -> Path:
    return home / "cache" / "measured.json"


def _read(file: Path) -> dict[str, Any]:
    try:
        known = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: facts for key, facts in known.items() if isinstance(facts, dict) and "at" in facts}
