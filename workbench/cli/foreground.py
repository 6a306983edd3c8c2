"""`workbench run` in the foreground: a view over a detached worker. It may die at any time; the work goes on.

On a terminal it draws (live.py), in a pipe it says lines (plain.py). Ctrl-C on a terminal asks whether to stop or
to detach; in a script SIGINT and SIGTERM stop the run with a checkpoint; a hang-up ends the view alone.
"""

from __future__ import annotations

import contextlib
import os
import sys

from workbench.cli.output import say
from workbench.cli.plain import watch_plainly
from workbench.cli.watching import Interrupts, is_over
from workbench.errors import ExitCode
from workbench.runs import Run

HANG_UP = 129
"""What a shell calls a process that a hang-up ended; nobody is left to read it."""

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
    return int(ExitCode.FAILED)


def _say_the_end(run: Run) -> None:
    state, status = run.state(), run.status()
    if state == "finished":
        say(f"{run.name} is finished; talk to it: workbench chat {run.name}")
    elif state == "failed":
        say(str(status.get("error") or f"{run.name} failed; `workbench log {run.name}` has the details"))
    elif state == "crashed":
        words = last_words(run)
        why = f" ({words})" if words else ""
        say(f"{run.name}: the worker died{why}; what it saved is whole, run the same command again to go on")
    elif state == "stopped" and status.get("exit_code"):
        say(f"{run.name} is stopped; `workbench resume {run.name}` goes on from what is saved")
    elif state == "stopped":
        say(f"{run.name} did what was asked; run it without --until and --only for the rest")


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
