"""`workbench run` in the foreground: a view over a detached worker. It may die at any time; the work goes on.

On a terminal it draws (live.py), in a pipe it says lines (plain.py). Ctrl-C on a terminal asks whether to stop or
to detach; in a script SIGINT and SIGTERM stop the run with a checkpoint; a hang-up ends the view alone.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from workbench.cli.output import say
from workbench.cli.plain import watch_plainly
from workbench.cli.watching import Interrupts, is_over
from workbench.errors import ExitCode, NoSpace
from workbench.files import write_atomic
from workbench.launcher import frozen_plan
from workbench.runs import Run

HANG_UP = 129
"""What a shell calls a process that a hang-up ended; nobody is left to read it."""

DYING_SECONDS = 10.0
"""How long a worker may take to end after it gave its lock back."""
LAST_WORDS = 500
"""Bytes of the log that are looked at for its last line."""


def watch_run(run: Run, *, json: bool = False) -> int:
    """Show `run` until it is over or the person leaves; returns the exit code to end with."""
    with Interrupts() as asked:
        if can_draw() and not json:
            from workbench.cli.live import watch_live

            detached = watch_live(run, asked)
        else:
            detached = not is_over(run) and watch_plainly(run, asked)
    if asked.hung_up:
        with contextlib.suppress(OSError):
            say(f"{run.name} goes on without this terminal")
        return HANG_UP
    if detached:
        say(
            f"{run.name} goes on; `workbench follow {run.name}` shows it, `workbench stop {run.name}` ends it"
        )
        return int(ExitCode.INTERRUPTED) if asked.interrupts > 1 else int(ExitCode.FINE)
    _say_the_end(run)
    return exit_code_of(run)


def can_draw() -> bool:
    """Whether there is a terminal to draw on and a person to answer."""
    dumb = os.environ.get("TERM", "dumb") in ("", "dumb", "unknown")
    return sys.stderr.isatty() and sys.stdin.isatty() and not dumb


def exit_code_of(run: Run) -> int:
    """How a run that is over ended, as an exit code."""
    state, status = run.state(), run.status()
    if state == "finished":
        return int(ExitCode.FINE)
    if state in ("stopped", "failed"):
        return int(status.get("exit_code", ExitCode.FAILED))
    return int(ExitCode.DISK if disk_refusal(run) is not None else ExitCode.FAILED)


def _what_next(run: Run) -> str:
    """What a person does with what a finished run made."""
    stages = [stage.name for stage in frozen_plan(run).stages]
    if any(stage in stages for stage in ("pretrain", "sft", "dpo")):
        return f"talk to it: workbench chat {run.name}"
    return f"look at it: workbench inspect {run.name}"


def _say_the_end(run: Run) -> None:
    state, status = run.state(), run.status()
    if state == "finished":
        say(f"{run.name} is finished; {_what_next(run)}")
    elif state == "failed":
        say(str(status.get("error") or f"{run.name} failed; `workbench log {run.name}` has the details"))
    elif state == "crashed" and (refused := disk_refusal(run)) is not None:
        say(refused)
    elif state == "crashed":
        words = last_words(run)
        why = f" ({words})" if words else ""
        say(f"{run.name}: the worker died{why}; what it saved is whole, run the same command again to go on")
    elif state == "stopped" and status.get("exit_code"):
        say(f"{run.name} is stopped; `workbench resume {run.name}` goes on from what is saved")
    elif state == "stopped":
        say(f"{run.name} did what was asked; run it without --until and --only for the rest")


def disk_refusal(run: Run) -> str | None:
    """How the disk refused itself to a worker that died without a trace in its run; None when it died otherwise.

    Where nothing can be written there may be a last line in the log, and there is the worker's exit code for whoever
    started it; anybody else can try the disk.
    """
    words = last_words(run)
    if "cannot write" in words or "cannot be written" in words:
        return words
    if run.worker is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            if run.worker.wait(timeout=DYING_SECONDS) == ExitCode.DISK:
                fix = "see to the disk or choose another --home, then run the same command again"
                what = "the disk refuses to be written; what was saved is whole"
                return str(NoSpace(what, file=run.path, fix=fix))
    try:
        write_atomic(run.path / ".tried", b"?")
        (run.path / ".tried").unlink()
    except NoSpace as refused:
        return str(refused)
    except OSError:  # no disk's fault
        return None
    return None


def last_words(run: Run) -> str:
    """The last line the worker that works or worked on `run` put into its log; empty if it said nothing.

    A worker that cannot write its own status, on a disk with errors, can often still say why.
    """
    try:
        if run.log_path.stat().st_mtime < float(run.status().get("started_at") or 0):
            return ""  # an earlier worker's
        lines = run.log_path.read_bytes()[-LAST_WORDS:].decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
