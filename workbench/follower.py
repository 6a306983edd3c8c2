"""A process that helps another train: it does the stages that the first rank names, in step with it, and says nothing.

    python -m workbench.follower          (RANK, WORLD_SIZE… in the environment, as torchrun gives them)

The first rank is the run's worker (worker.py): it holds the lock, writes every file, hears every request. Nothing
in this process is worth saving, so it ends at once, at any time, when the first rank does.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import ExitCode, Stopped, WorkbenchError
from workbench.launcher import frozen_plan
from workbench.other_ranks import LAST_WORDS
from workbench.plan import Plan, StagePlan
from workbench.runs import Run
from workbench.stage_run import StageInputs, StageRun
from workbench.training_step import prepare_cublas


class SilentRun(StageRun):
    """The handle of a stage that another process answers for: facts go nowhere and nobody asks for anything."""

    def __init__(self, *, stage: str, folder: Path) -> None:
        self.stage = stage
        self.folder = folder
        self.cost = {}
        self._asked = {}
        self._when_steered = None

    def emit(self, kind: str, **fields: Any) -> None:
        """Say nothing: the first rank knows the same facts."""

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """Say nothing."""

    def tell_tuned(self, values: Mapping[str, Any]) -> None:
        """Say nothing."""

    def request(self) -> str | None:
        """What is asked is the first rank's to hear and to pass on."""
        return None


def follow() -> None:
    """Meet the other ranks and do what the first one orders until it says that all is done."""
    from workbench.train import parallel

    parallel.join()
    nothing_to_say: list[str] | None = None
    while (order := parallel.hear_first(nothing_to_say)) is not None:
        run_folder, stage_name = order
        plan = frozen_plan(Run(Path(run_folder)))
        prepare_cublas(stage.table() for stage in plan.stages)
        _do_stage(plan, plan.stage(stage_name))
        gc.collect()  # the model of a stage is not to stand beside that of the next
    parallel.leave()


def _do_stage(plan: Plan, stage: StagePlan) -> None:
    inputs = StageInputs(
        recipe_folder=plan.recipe_folder,
        artifacts={kind: plan.store.folder(name) for kind, name in stage.inputs.items()},
        checkpoints={before: plan.store.folder(name) for before, name in stage.checkpoints.items()},
        model=stage.model_table(),
        shorter=plan.shorter_checkpoint(stage),
    )
    handle = SilentRun(stage=stage.name, folder=plan.store.building(stage.makes))
    module = importlib.import_module(f"workbench.stages.{stage.name}")
    try:
        module.run(stage.table(), inputs, handle)
    except Stopped:  # all ranks stopped at the same step; what comes next is the first one's word
        return


def _die_with_parent() -> None:
    """End at once when the worker, which holds the other end of our standard input, is no more."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(ExitCode.FAILED)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def main() -> int:
    """Entry of the process."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):  # the first rank hears them, and decides
        signal.signal(number, signal.SIG_IGN)
    last_words = os.environ.get(LAST_WORDS)
    if last_words is not None:
        _die_with_parent()
    try:
        follow()
        return ExitCode.FINE
    except Exception as error:
        if not isinstance(error, WorkbenchError):
            traceback.print_exc()
        said = str(error) if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
        if last_words is not None:
            Path(last_words).write_text(said.partition("\n")[0], encoding="utf-8")
        return error.exit_code if isinstance(error, WorkbenchError) else ExitCode.FAILED


if __name__ == "__main__":
    sys.exit(main())
