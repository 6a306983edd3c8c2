"""Verbs that ask a live run for something: stop, pause, resume, save, tune."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import Home, RunName, result, say
from workbench.errors import BadInput, WorkbenchError
from workbench.safe_text import one_line

if TYPE_CHECKING:
    from workbench.runs import Run

Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")]
STOP_SECONDS = 600.0


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (stop, pause, resume, save, tune):
        app.command()(verb)


def stop(
    name: RunName,
    now: Annotated[
        bool,
        typer.Option(
            "--now", help="Save nothing first: the steps since the last checkpoint are taken again."
        ),
    ] = False,
    wait: Wait = True,
    home: Home = None,
) -> None:
    """Stop a run with everything saved.

    `workbench resume`, or the same `workbench run`, goes on. With --now a training writes no checkpoint first, and says
    how many steps there will be to take again; they come out as they did.

    Example: workbench stop quickstart
    """
    from workbench.events import EventReader
    from workbench.runs import LIVE, STOP_NOW, find_home, open_run

    run = open_run(find_home(home), name)
    if run.state() not in LIVE:
        say(f"{run.name} is {run.state()} already")
        return
    events = EventReader(run.events_path)
    events.skip_to(run.events_path.stat().st_size if run.events_path.exists() else 0)
    asked = run.request(STOP_NOW if now else "stop")
    deadline = time.monotonic() + STOP_SECONDS
    while wait and run.state() in LIVE:
        if time.monotonic() > deadline:
            raise WorkbenchError(
                f"{run.name} has not stopped after {STOP_SECONDS:.0f} s",
                fix=f"`workbench log {run.name}` may say why",
            )
        time.sleep(0.1)
    for event in events.read_new():
        if event.get("answers") == asked:
            say(one_line(str(event.get("text")), 200))
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


def resume(
    name: RunName,
    nproc: Annotated[
        int | None,
        typer.Option("--nproc", metavar="N", help="Train on N devices from here; else as many as before."),
    ] = None,
    home: Home = None,
) -> None:
    """Go on with a run.

    Wakes a paused run, and puts a worker on a stopped, failed or crashed one.

    Example: workbench resume quickstart
    """
    from workbench.budget import estimate
    from workbench.launcher import frozen_plan, relaunch
    from workbench.layout import check_devices, lay_out
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
        if nproc is not None:
            lay_out(nproc)
            check_devices(nproc)
            for refusal in estimate(frozen_plan(run), nproc=nproc).refusals:
                raise BadInput(refusal)
        relaunch(run, nproc=nproc)
        say(f"going on; `workbench follow {run.name}` shows it")
    result(run.name)


def tune(
    name: RunName,
    assignment: Annotated[str, typer.Argument(metavar="KEY=VALUE", help="For example decay=now.")],
    home: Home = None,
) -> None:
    """Change a training while it runs.

    decay=now lets a WSD schedule fall from the next step on, over decay_ratio of the steps so far, and ends with it.
    learning_rate=X is the new peak rate, eval_every_steps=N measures more or less often, and so decides which step is
    the best one. These make the result this run's alone: the recipe's own result is still to be made.

    save_every_seconds, sample_every_steps and sample_prompts change no result. sample_prompts takes a text, a list of
    texts, or [] for the beginnings of held-out documents.

    What was tuned is saved with the next checkpoint: after an interruption it holds as before. `workbench status RUN
    --field tuned` tells it.

    Example: workbench tune quickstart decay=now

    Example: workbench tune quickstart 'sample_prompts=["os.path.join", "def main"]'
    """
    from workbench.launcher import frozen_plan
    from workbench.recipe import Training
    from workbench.runs import find_home, open_run
    from workbench.tuning import parse_tuning

    run = open_run(find_home(home), name)
    _require_live(run, "tune")
    stage = str(run.status().get("stage"))
    table = next((each.table() for each in frozen_plan(run).stages if each.name == stage), None)
    if not isinstance(table, Training):
        raise BadInput(f"{run.name} is in {stage}, which does not train", fix="wait for a training stage")
    parse_tuning(assignment, table)
    run.request(f"tune {assignment}")
    say(f"`workbench follow {run.name}` tells what came of it")
    result(f"{run.name}/{stage} was asked for {one_line(assignment, 60)}")


def _ask(name: str, request: str, home: Home) -> None:
    from workbench.runs import find_home, open_run

    run = open_run(find_home(home), name)
    _require_live(run, request)
    run.request(request)
    result(f"{run.name} was asked to {request}")


def _require_live(run: Run, request: str) -> None:
    state = run.state()
    if state not in ("running", "paused"):
        fix = None if state == "finished" else f"`workbench resume {run.name}` starts it again"
        raise BadInput(f"{run.name} is {state}; nothing to {request}", fix=fix)
