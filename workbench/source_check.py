"""Whether a stage reads what its run was planned with, asked before its work and after.

before: every file is what it was at planning          or one line, and nothing is done
after:  what the stage watched while it read           files that vanished: the plan of the others takes its place
        what nobody watched is looked at once more     a file that was written to: one line, nothing is published
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from workbench.errors import BadInput
from workbench.plan import Plan, StagePlan
from workbench.recipe_start import Start
from workbench.source_files import BUILT_IN
from workbench.source_identity import (
    SourceDigests,
    first_change,
    identity_beside_sources,
    identity_of,
    identity_of_packages,
    without_unread,
)
from workbench.source_watch import SourceWatch
from workbench.starting_point import still_there


@dataclass(frozen=True)
class CheckedSources:
    """What a stage reads, as it was when its work began."""

    digests: SourceDigests
    num_beside: int
    """Entries of the identity, the last ones, that are of no source."""


def check_sources(plan: Plan, stage: StagePlan) -> CheckedSources:
    """Raise BadInput, naming the file, when what `stage` reads from outside is not what it was at planning."""
    digests = SourceDigests(plan.home)
    table, packages = stage.table(), _packages(plan)
    beside: list[Any] = []
    if isinstance(table, Start):
        now = still_there(table, base=plan.recipe_folder, home=plan.home).identity(table, digests)
    else:
        folder = plan.recipe_folder
        now = identity_of(stage.name, table, folder=folder, packages=packages, digests=digests)
        beside = identity_beside_sources(stage.name, table, folder=folder, packages=packages, digests=digests)
    digests.keep()
    _require(stage, first_change(stage.sources, now))
    return CheckedSources(digests, len(beside))


def plan_as_read(plan: Plan, stage: StagePlan, watch: SourceWatch | None, checked: CheckedSources) -> Plan:
    """The plan of what `stage` did read: this one, or where files could not be read that of the others.

    watch: kept by the stage; None where it kept none. Raises BadInput, naming the file, when something was another
    than at planning.
    """
    if watch is None:
        check_sources(plan, stage)
        return plan
    for source, file in watch.changed:
        _require(stage, f"{file.name} in {source} changed")
    packages = _packages(plan)
    beside = identity_beside_sources(
        stage.name, stage.table(), folder=plan.recipe_folder, packages=packages, digests=checked.digests
    )
    split = len(stage.sources) - checked.num_beside
    _require(stage, first_change(stage.sources[split:], beside))
    python = [BUILT_IN, sys.version, packages]
    planned = [each for each in stage.sources[:split] if each[0] == BUILT_IN]
    _require(stage, first_change(planned, [python] * len(planned)))
    sources = without_unread(stage.sources, watch.unread, checked.digests)
    if sources == stage.sources:
        return plan
    if (anew := plan.with_sources(stage.name, sources)) is not None:
        return anew
    raise _other_than_planned(stage, first_change(stage.sources, sources))


def _packages(plan: Plan) -> list[Any]:
    corpus = next((each for each in plan.stages if each.name == "corpus"), None)
    return identity_of_packages(corpus.settings["packages"].value if corpus is not None else ())


def _require(stage: StagePlan, change: str | None) -> None:
    if change is not None:
        raise _other_than_planned(stage, change)


def _other_than_planned(stage: StagePlan, change: str | None) -> BadInput:
    return BadInput(
        f"[{stage.name}] {change} after this run was planned",
        fix="run the recipe again: what reads another file is another run",
    )
