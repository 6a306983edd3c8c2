"""Verbs that ask a live run for something: stop, pause, resume, save."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from workbench.cli.output import Home, RunName, result, say
from workbench.errors import BadInput, WorkbenchError

Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")]
STOP_SECONDS = 600.0


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (stop, pause, resume, save):
        app.command()(verb)


def stop(name: RunName, wait: Wait = True, home: Home = None) -> None:
    """Stop a run with everything saved.

    `workbench resume`, or the same `workbench run`, goes on.

    Example: workbench stop quickstart
    """
    from workbench.runs import LIVE, find_home, open_run

    run = open_run(find_home(home), name)
    if run.state() not in LIVE:
        say(f"{run.name} is {run.state()} already")
        return
    run.request("stop")
    deadline = time.monotonic() + STOP_SECONDS
    while wait and run.state() in LIVE:
        if time.monotonic() > deadline:
            raise WorkbenchError(
                f"{run.name} has not stopped after {STOP_SECONDS:.0f} s",
                fix=f"`workbench log {run.name}` may say why",
            )
        time.sleep(0.1)
    result(f"{run.name} {'is ' + run.state() if wait else 'was asked to stop'}")


def pause(name: RunName, home: Home = None) -> None:
    """Pause a run.

    It saves, keeps its memory and waits for `workbench resume`.

    Example: workbench pause quickstart
    """
    _ask(name, "pause", home)


def save(name: RunName, home: Home = None) -> None:
    """Ask a training run for a checkpoint now.

    Example: workbench save quickstart
    """
    _ask(name, "save", home)


def resume(name: RunName, home: Home = None) -> None:
    """Go on with a run.

    Wakes a paused run, and puts a worker on a stopped, failed or crashed one.

    Example: workbench resume quickstart
    """
    from workbench.launcher import relaunch
    from workbench.runs import find_home, open_run

    run = open_run(find_home(home), name)
    state = run.state()
    if state == "paused":
        run.request("resume")
    elif state == "finished":
        say(f"{run.name} is finished already")
    elif state in ("running", "pending"):
        say(f"{run.name} is {state} already")
    else:
        relaunch(run)
        say(f"going on; `workbench follow {run.name}` shows it")
    result(run.name)


def _ask(name: str, request: str, home: Home) -> None:
    from workbench.runs import find_home, open_run

    run = open_run(find_home(home), name)
    state = run.state()
    if state not in ("running", "paused"):
        fix = None if state == "finished" else f"`workbench resume {run.name}` starts it again"
        raise BadInput(f"{run.name} is {state}; nothing to {request}", fix=fix)
    run.request(request)
    result(f"{run.name} was asked to {request}")
