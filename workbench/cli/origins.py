"""Where a model comes from: the run, the stage, and what else that run made. Text and paths, no tensors."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.launcher import frozen_plan
from workbench.plan import Plan, StagePlan
from workbench.runs import find_home, open_run
from workbench.train.checkpoint_folder import finished_checkpoint


@dataclasses.dataclass(frozen=True)
class Origin:
    """The stage of a run that made a model."""

    plan: Plan
    stage: StagePlan

    def artifact(self, kind: str) -> Path | None:
        """The run's own finished artifact of that kind; None if it has none."""
        for stage in self.plan.stages:
            if stage.makes.kind == kind and self.plan.store.exists(stage.makes):
                return self.plan.store.folder(stage.makes)
        return None

    def started_from(self) -> Path | None:
        """The checkpoint that this training started from; None for random weights."""
        before = self.stage.inputs.get("checkpoint")
        return None if before is None else finished_checkpoint(self.plan.store.folder(before), "last")

    def chats(self) -> bool:
        """Whether the model has seen the chat format."""
        return self.stage.name not in ("start", "pretrain")

    def longest_context(self) -> int | None:
        """The longest row that this training, or one before it, read; None if no setting says."""
        lengths = []
        for stage in self.plan.stages:
            if (setting := stage.settings.get("context_length")) is not None:
                lengths.append(int(setting.value))
            if stage.name == self.stage.name:
                break
        return max(lengths, default=None)


def origin_of(reference: str, folder: Path, *, home: Path | None) -> Origin | None:
    """Which run and stage made the checkpoint `folder`, which `reference` was found to mean; None if no run did."""
    name = re.split("[/@]", reference, maxsplit=1)[0]
    try:
        plan = frozen_plan(open_run(find_home(home), name))
    except WorkbenchError:
        return None
    for stage in plan.stages:
        if folder.parent in (plan.store.folder(stage.makes), plan.store.building(stage.makes)):
            return Origin(plan, stage)
    return None
