"""Start a run: make its folder and a detached worker, or find that it is running or finished already.

The worker is a process of its own session with no terminal: closing the view, the terminal or the connection
never reaches it. Knows nothing of what the worker does.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from workbench.artifacts import verify
from workbench.budget import predictions
from workbench.errors import BadInput, WorkbenchError
from workbench.files import disk_errors_named
from workbench.plan import Plan
from workbench.plan_difference import difference
from workbench.runs import Run, create_run

# Paper imports and the lock come first in a worker: this is long even on a crowded machine.
READY_SECONDS = 60.0


def launch(
    plan: Plan,
    *,
    until: str | None = None,
    only: str | None = None,
    force: Sequence[str] = (),
    nproc: int = 1,
) -> Run:
    """The run of `plan`, with a worker on it unless it is finished or has one; returns once the worker holds it.

    nproc: how many processes train, one per device; another number than last time is the same run.

    Raises BadInput when a run of that name has another plan, Damaged when files of a finished one were changed,
    NoSpace or BadInput when the home cannot be written, and WorkbenchError with the end of the worker's log when
    the worker does not start.
    """
    run = prepare(plan, until=until, only=only, force=force, nproc=nproc)
    if run.is_alive():
        return run
    frozen = frozen_plan(run)
    if (
        frozen.is_complete() and not force and run.state() == "finished"
    ):  # a run that was steered made something else
        for each in frozen.stages:
            verify(frozen.store.folder(each.makes), at_a_glance=True)
        return run
    return start_worker(run, until=until, only=only, force=force, nproc=nproc)


def prepare(
    plan: Plan,
    *,
    until: str | None = None,
    only: str | None = None,
    force: Sequence[str] = (),
    nproc: int = 1,
) -> Run:
    """The run of `plan`, with a folder but not yet a worker. Raises like `launch`; NotFound for an unknown stage."""
    for stage in (until, only, *force):
        if stage is not None:
            plan.stage(stage)
    facts = plan.to_dict() | {"predicted": predictions(plan, nproc=nproc)}
    run = create_run(plan.home, plan.name, recipe_text=plan.recipe_text, plan=facts)
    changes = difference(frozen_plan(run), plan)
    if changes:
        raise BadInput(
            f"run {run.name} exists with another plan ({'; '.join(changes[:3])}{'; …' if len(changes) > 3 else ''})",
            fix="give another --name, or leave --name out",
        )
    return run


def relaunch(run: Run, *, nproc: int | None = None) -> Run:
    """Put a worker on a run that has none, with its frozen plan. A living or finished run is returned as it is.

    nproc: as in `launch`; None: as many as last time.
    """
    plan = frozen_plan(run)  # refused here when it cannot be read, before anything is written
    if run.is_alive() or (run.state() == "finished" and plan.is_complete()):
        return run
    return start_worker(run, nproc=nproc or int(run.status().get("nproc", 1)))


def frozen_plan(run: Run) -> Plan:
    """The plan a run was started with. Raises BadInput when it is not whole or of another version, NotFound."""
    try:
        text = (run.path / "recipe.toml").read_text(encoding="utf-8")
    except OSError:
        text = ""
    try:
        return Plan.from_dict(run.plan(), home=run.home, recipe_text=text)
    except BadInput as error:
        raise BadInput(error.message, file=run.path / "plan.json", fix=error.fix) from None


def start_worker(
    run: Run,
    *,
    until: str | None = None,
    only: str | None = None,
    force: Sequence[str] = (),
    nproc: int = 1,
) -> Run:
    """Start the worker and wait until it holds the run."""
    command = [sys.executable, "-m", "workbench.worker", str(run.path)]
    command += ["--until", until] if until else []
    command += ["--only", only] if only else []
    command += ["--nproc", str(nproc)] if nproc > 1 else []
    for stage in force:
        command += ["--force", stage]
    with disk_errors_named(run.log_path), open(run.log_path, "ab") as log:
        log_start = log.tell()
        worker = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            close_fds=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if run.is_alive():
            return dataclasses.replace(run, worker=worker)
        if worker.poll() is not None:
            # It may have been quick, or another worker may have been quicker.
            if worker.returncode in (0, 4) or run.status().get("pid") == worker.pid:
                return dataclasses.replace(run, worker=worker)
            with open(run.log_path, "rb") as log:
                log.seek(log_start)
                said = log.read().decode(errors="replace").strip().splitlines()
            last = said[-1] if said else "it could not even say why; is the disk full?"
            raise WorkbenchError(f"the worker of {run.name} did not start: {last[:300]}", file=run.log_path)
        time.sleep(0.02)
    raise WorkbenchError(
        f"the worker of {run.name} took more than {READY_SECONDS:.0f} s to start", file=run.log_path
    )
