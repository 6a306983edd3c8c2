"""What of a home can be named as a model or a tokenizer: (reference, what it is), the newest run first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.launcher import frozen_plan
from workbench.plan import Plan
from workbench.references import steps_of
from workbench.runs import list_runs


def tokenizers_of(home: Path) -> Iterator[tuple[str, str]]:
    """The tokenizers that runs have made, one a tokenizer, and the run that names it."""
    known: set[str] = set()
    for plan in _plans(home):
        for stage in plan.stages:
            name = str(stage.makes)
            if stage.makes.kind == "tokenizer" and name not in known and plan.store.exists(stage.makes):
                known.add(name)
                yield plan.name, f"{stage.settings['vocab_size'].value:,} entries"


def models_of(home: Path) -> Iterator[tuple[str, str]]:
    """The newest model of every training stage of every run."""
    for plan in _plans(home):
        for stage in reversed(plan.stages):
            if stage.makes.kind == "checkpoint" and (steps := steps_of(plan, stage)):
                yield f"{plan.name}/{stage.name}", f"step {max(steps):,}"


def _plans(home: Path) -> Iterator[Plan]:
    for run in list_runs(home):
        try:
            yield frozen_plan(run)
        except (WorkbenchError, OSError):  # a run of another version can still be named by hand
            continue
