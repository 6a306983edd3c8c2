"""The process that works: take the run's lock, walk its frozen plan, write facts, take requests.

    python -m workbench.worker RUN_FOLDER [--until STAGE] [--only STAGE] [--force STAGE]… [--nproc N]

It has no terminal and reads no recipe. SIGHUP is ignored; the first SIGTERM or SIGINT stops with everything
saved (exit 75), a second SIGINT ends at once, which is safe too. Stages are found by name: `workbench.stages.NAME`.
Of several processes that train together it is the first; other_ranks.py has the others.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import dataclasses
import importlib
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from workbench.artifacts import ArtifactName, verify
from workbench.budget import predictions
from workbench.errors import BadInput, ExitCode, NoSpace, Stopped, WorkbenchError
from workbench.events import EventWriter
from workbench.files import disk_error, remove_folder, sweep
from workbench.hardware import forget_peak_memory, give_back_freed_memory, peak_memory_bytes
from workbench.heartbeat import Heartbeat, write_status
from workbench.launcher import frozen_plan
from workbench.less_memory import FREE_SOME, less_memory
from workbench.measured_cost import keep_cost
from workbench.other_ranks import OtherRanks
from workbench.plan import Plan, StagePlan, summary_of
from workbench.recipe import Training
from workbench.runs import Run, create_run
from workbench.safe_text import one_line
from workbench.source_check import check_sources, plan_as_read
from workbench.source_identity import taken_away
from workbench.stage_run import SHOWN_METRICS, RunStatus, StageInputs, StageRun
from workbench.training_step import prepare_cublas

WAIT_SECONDS = 0.5


class StopSignal:
    """Remembers SIGTERM and the first SIGINT; a second SIGINT ends the process at once."""

    def __init__(self) -> None:
        self.received = False
        self._owns_process = False

    def install(self) -> None:
        """Take over the signals of this process."""
        self._owns_process = True
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, _frame: object) -> None:
        if self.received and number == signal.SIGINT:
            os._exit(ExitCode.INTERRUPTED)
        self.received = True

    def __call__(self) -> bool:
        """Whether a stop was signalled."""
        return self.received

    def lost(self, path: Path) -> None:
        """Stop because `path`, which this work held, was taken away. Ends a process of ours at once: that is safe."""
        if self._owns_process:
            _log(f"{path}: was taken away while the run worked; the worker ends")
            os._exit(ExitCode.FAILED)
        self.received = True


@dataclasses.dataclass
class _Work:
    """What every part of the walk needs. The plan changes when a person steers a stage."""

    run: Run
    plan: Plan
    events: EventWriter
    status: RunStatus
    stop: StopSignal
    heartbeat: Heartbeat
    others: OtherRanks


def work(plan: Plan, *, nproc: int = 1) -> Run:
    """Do the run of `plan` in this process, from where it is; `run.status()` says how it ended.

    For notebooks and tests; `launch` does the same detached. Raises Busy if another process works on it.
    """
    run = create_run(
        plan.home,
        plan.name,
        recipe_text=plan.recipe_text,
        plan=plan.to_dict() | {"predicted": predictions(plan, nproc=nproc)},
    )
    work_on(run, nproc=nproc)
    return run


def work_on(
    run: Run,
    *,
    until: str | None = None,
    only: str | None = None,
    force: Sequence[str] = (),
    stop: StopSignal | None = None,
    nproc: int = 1,
) -> ExitCode:
    """Do a run that has a folder, in this process. Returns how it ended; raises Busy if somebody else works on it.

    nproc: train on so many devices, with a process each; under torchrun there are as many as it started.
    """
    stop = stop or StopSignal()
    others = OtherRanks(nproc, give_up=_give_up)
    plan = frozen_plan(run)
    prepare_cublas(stage.table() for stage in plan.stages)
    with run.take_lock() as lock:
        status = RunStatus(
            state="running",
            pid=os.getpid(),
            host=socket.gethostname(),
            started_at=round(time.time(), 3),
            nproc=others.count,
        )
        try:
            sweep(run.path)
            run.keep_reserve()
            events = EventWriter(run.events_path)
        except NoSpace as error:
            status.update(state="failed", error=str(error), exit_code=int(error.exit_code))
            _final_status(run, status)
            raise
        if run.status().get("state") != "pending":
            run.take_requests()  # requests to a dead worker are not for this one
        with Heartbeat(run, status, when_lost=stop.lost) as heartbeat, heartbeat.watching(lock):
            work = _Work(run, plan, events, status, stop, heartbeat, others)
            try:
                code = _walk(work, until=until, only=only, force=force)
            finally:
                others.dismiss()
        with contextlib.suppress(OSError):
            events.close()
        _final_status(run, status)
    return code


def _walk(work: _Work, *, until: str | None, only: str | None, force: Sequence[str]) -> ExitCode:
    run, events, status = work.run, work.events, work.status
    plan = work.plan
    started = time.monotonic()
    try:
        plan.store.sweep()
        events.write(
            "run_started", name=run.name, pid=os.getpid(), stages=[stage.name for stage in plan.stages]
        )
        for name in [stage.name for stage in plan.stages]:
            if only is not None and name != only:
                continue
            _do_stage(work, name, again=name in force)
            if name == until:
                break
        work.others.finish()
        state = "finished" if work.plan.is_complete() else "stopped"
        return _end(events, status, state, ExitCode.FINE, started)
    except Stopped as stopped:
        return _end(events, status, "stopped", ExitCode.RESUME_ME, started, note=str(stopped))
    except WorkbenchError as error:
        if isinstance(error, NoSpace):
            run.give_reserve_back()
        _log(str(error))
        return _end(events, status, "failed", error.exit_code, started, error=str(error))
    except Exception as error:  # our own bug: the log holds the traceback, the event one line
        if (refused := disk_error(error, run.path)) is not None:
            _log(str(refused))
            return _end(events, status, "failed", refused.exit_code, started, error=str(refused))
        _log(traceback.format_exc())
        if _is_out_of_memory(error):
            said = (str(error).splitlines() or [""])[0]
            at = status.snapshot().get("stage")
            ways = less_memory(work.plan, work.plan.stage(at)) if at is not None else FREE_SOME
            message = f"out of memory ({said}); {ways}"
            return _end(events, status, "failed", ExitCode.FAILED, started, error=message)
        if isinstance(error, FileNotFoundError) and str(error.filename).startswith(str(run.home)):
            message = f"{error.filename}: was taken away while the run worked; run the same command again"
            return _end(events, status, "failed", ExitCode.FAILED, started, error=message)
        message = f"{type(error).__name__}: {error}; this is a bug in Workbench, see {run.log_path}"
        return _end(events, status, "failed", ExitCode.OUR_BUG, started, error=message)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether Python or torch, whose errors nobody here knows by type, found no more memory."""
    named = type(error).__name__ == "OutOfMemoryError"
    return isinstance(error, MemoryError) or named or "can't allocate memory" in str(error)


def _do_stage(work: _Work, name: str, *, again: bool) -> None:
    """Make the stage's artifact unless it is there, or `again`; wait if another run is making it."""
    if again and work.plan.stage(name).steering:  # made again as the recipe has it
        _freeze(work, work.plan.steered(name, ()))
    plan, stage = work.plan, work.plan.stage(name)
    work.status.update(stage=stage.name, progress=None, tuned=None, **dict.fromkeys(SHOWN_METRICS))
    handle = StageRun(
        work.run,
        stage=stage.name,
        folder=plan.store.building(stage.makes),
        events=work.events,
        status=work.status,
        stop_signalled=work.stop,
        when_steered=lambda decisions: _steer(work, name, decisions, locks),
    )
    artifact = str(stage.makes)
    with (
        contextlib.ExitStack() as locks,
        _making(plan, stage, handle, again=again) as lock,
        work.heartbeat.watching(lock),
    ):
        started = time.monotonic()
        if again:
            plan.store.remove(stage.makes)
        reused = plan.store.exists(stage.makes)
        handle.emit("stage_started", artifact=artifact, reused=reused)
        if not reused:
            handle.check_stop()
            if stage.planned is not None:  # a kill may have come between a new plan and the new name
                plan.store.rename_building(stage.planned, stage.makes)
            give_back_freed_memory()
            forget_peak_memory()
            handle.when_there_is_room(lambda: _make(work, name, handle, locks))
            handle.tell_cost(peak_bytes=peak_memory_bytes())
        seconds = round(time.monotonic() - started, 3)
        plan, stage = work.plan, work.plan.stage(name)  # a person may have steered it
        handle.emit(
            "stage_finished",
            artifact=str(stage.makes),
            reused=reused,
            seconds=seconds,
            summary=summary_of(plan, stage),
            cost=handle.cost,
        )
        if not reused:
            figures = {**handle.cost, "seconds": seconds}
            keep_cost(plan, stage, figures, by=f"run {plan.name}", nproc=work.others.count)


@contextlib.contextmanager
def _making(plan: Plan, stage: StagePlan, handle: StageRun, *, again: bool) -> Iterator[IO[str] | None]:
    """Hold the artifact's lock unless it is there already, waiting while another run makes the same one."""
    lock: IO[str] | None = None
    said = False
    while lock is None and (again or not plan.store.exists(stage.makes)):
        lock = handle.when_there_is_room(lambda: plan.store.lock(stage.makes))
        if lock is None:
            if not said:
                handle.note(f"another run is making {stage.makes}; waiting for it")
                said = True
            handle.check_stop()
            time.sleep(WAIT_SECONDS)
    with lock or contextlib.nullcontext():
        yield lock


def _steer(
    work: _Work, name: str, decisions: Sequence[Mapping[str, Any]], locks: contextlib.ExitStack
) -> Path:
    """Let the stage `name` be made under the name that these decisions give it; gives the folder to build in.

    First the plan, then the folder: whoever is killed between finds the folder by the name in the recipe's plan.
    """
    old = work.plan.stage(name)
    plan = work.plan.steered(name, decisions)
    new = plan.stage(name)
    if new.makes != old.makes:
        lock = plan.store.lock(new.makes)
        assert lock is not None, "the name is this run's own"
        locks.enter_context(lock)
        _freeze(work, plan)
    return plan.store.rename_building(old.makes, new.makes)


def _freeze(work: _Work, plan: Plan) -> None:
    """Let `plan` be the plan of this run."""
    work.run.replace_plan(work.run.plan() | plan.to_dict())  # what was predicted stays
    work.plan = plan


def _make(work: _Work, name: str, handle: StageRun, locks: contextlib.ExitStack) -> None:
    plan, stage = work.plan, work.plan.stage(name)
    inputs = StageInputs(
        recipe_folder=plan.recipe_folder,
        artifacts={kind: _verified(plan, name) for kind, name in stage.inputs.items()},
        checkpoints={before: _verified(plan, name) for before, name in stage.checkpoints.items()},
        model=stage.model_table(),
        start=plan.start_folder() if stage.name == "start" else None,
        shorter=plan.shorter_checkpoint(stage),
    )
    checked = check_sources(plan, stage)
    plan.store.start(stage.makes)
    module = importlib.import_module(f"workbench.stages.{stage.name}")
    try:
        settings = stage.table()
        if isinstance(settings, Training):
            work.others.do(handle.run_folder, stage.name)
        try:
            summary = module.run(settings, inputs, handle)
        finally:
            handle.end_background()  # its lock is about to be given back
    except Exception as error:
        lost = None if isinstance(error, WorkbenchError) else work.others.lost()
        work.others.dismiss()  # whatever comes next, they are not in step any more
        if lost is not None:
            raise lost from error
        if isinstance(error, BadInput) and not any(handle.folder.glob("step-*")):
            # another input is another artifact: nobody would ever come back to this one
            remove_folder(handle.folder)
        named = None if isinstance(error, WorkbenchError) else disk_error(error, handle.folder)
        if named is None:
            raise
        raise named from error
    plan, stage = work.plan, work.plan.stage(name)  # a person may have steered it
    plan = plan_as_read(plan, stage, handle.watch, checked)
    if plan is not work.plan and not _publish_as(work, plan, name, handle, locks):
        return
    stage = plan.stage(name)
    values: dict[str, Any] = {key: setting.value for key, setting in stage.settings.items()}
    if stage.model is not None:
        values["model"] = {key: setting.value for key, setting in stage.model.items()}
    names = {**stage.inputs, **stage.checkpoints}
    plan.store.publish(
        stage.makes,
        stage=stage.name,
        settings=values,
        inputs={kind: str(name) for kind, name in names.items()},
        summary=summary,
        family=None if stage.planned is not None else stage.family,
    )


def _publish_as(work: _Work, plan: Plan, name: str, handle: StageRun, locks: contextlib.ExitStack) -> bool:
    """Let what was built be the artifact that `plan` names; whether it is still to be published.

    First the plan, then the folder, as in `_steer`; a recipe of today may have made the same before, or be at it.
    """
    planned, stage = work.plan.stage(name), plan.stage(name)
    files = [one_line(file) for file in taken_away(planned.sources, stage.sources)]
    more = f", and {len(files) - 3:,} more" if len(files) > 3 else ""
    handle.warning(
        f"{', '.join(files[:3])}{more}: could not be read any more, or not to the end; {stage.makes} is made of what "
        "could"
    )
    lock = locks.enter_context(_making(plan, stage, handle, again=False))
    _freeze(work, plan)
    if lock is None:
        remove_folder(handle.folder)
        return False
    remove_folder(plan.store.building(stage.makes))  # of somebody who was killed
    handle.folder = plan.store.rename_building(planned.makes, stage.makes)
    return True


def _verified(plan: Plan, name: ArtifactName) -> Path:
    folder = plan.store.folder(name)
    verify(folder)
    return folder


def _end(
    events: EventWriter,
    status: RunStatus,
    state: str,
    code: ExitCode,
    started: float,
    *,
    error: str | None = None,
    note: str | None = None,
) -> ExitCode:
    with contextlib.suppress(
        OSError, NoSpace
    ):  # a full disk may refuse even this; the status file says it too
        if note is not None:
            events.write("note", text=note)
        if error is not None:
            events.write("error", text=error)
        events.write(
            "run_finished", state=state, exit_code=int(code), seconds=round(time.monotonic() - started, 3)
        )
    status.update(state=state, error=error, exit_code=int(code), finished_at=round(time.time(), 3))
    return code


def _give_up(reason: str) -> None:
    _log(reason)
    os._exit(ExitCode.FAILED)


def _final_status(run: Run, status: RunStatus) -> None:
    for durable in (True, True, False):  # a disk that can make nothing durable may still take it
        try:
            return write_status(run, status, durable=durable)
        except (OSError, NoSpace):
            run.give_reserve_back()


def _log(text: str) -> None:
    """Say it in the log, if the disk takes it."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _name_process(run: Run) -> None:
    """Show the run's name in `ps` and `top`; a convenience, so nothing depends on it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(15, f"workbench:{run.name}"[:15].encode(), 0, 0, 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the detached process."""
    parser = argparse.ArgumentParser(prog="python -m workbench.worker")
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("--until")
    parser.add_argument("--only")
    parser.add_argument("--force", action="append", default=[])
    parser.add_argument("--nproc", type=int, default=1)
    options = parser.parse_args(arguments)
    return work_here(
        Run(options.run_folder.absolute()),
        until=options.until,
        only=options.only,
        force=options.force,
        nproc=options.nproc,
    )


def work_here(
    run: Run, *, until: str | None, only: str | None, force: Sequence[str], nproc: int = 1
) -> ExitCode:
    """Be the worker of `run`: take over this process's signals, do it, and say in the log why it could not."""
    stop = StopSignal()
    stop.install()
    _name_process(run)
    # What torch compiles, for the next start too. Its own place is a folder in /tmp that anybody could have made first.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(run.home / "cache" / "compiled"))
    try:
        return work_on(run, until=until, only=only, force=force, stop=stop, nproc=nproc)
    except WorkbenchError as error:
        _log(str(error))
        return error.exit_code
    except OSError as error:
        refused = disk_error(error, run.path)
        if refused is None:
            raise
        _log(str(refused))
        return refused.exit_code


if __name__ == "__main__":
    sys.exit(main())
