"""Verbs that look: runs, show, follow, log, status, metrics, plot, verify, digest."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from workbench.cli.output import (
    Home,
    Json,
    RunName,
    figure,
    figures,
    print_json,
    print_json_lines,
    print_table,
    result,
    say,
)
from workbench.errors import BadInput, ExitCode

STATE_GLYPHS = {
    "pending": "○", "running": "●", "paused": "◐", "finished": "✓", "failed": "✗", "stopped": "◌", "crashed": "?",
}  # fmt: skip
FIELDS = (
    "name", "state", "pid", "host", "started_at", "heartbeat", "finished_at", "stage", "step", "progress", "loss",
    "val_loss", "val_bpb", "heldout_bits_per_byte", "learning_rate", "tokens", "tokens_per_second", "tuned",
    "waits_for", "error", "exit_code",
)  # fmt: skip
"""All that a status ever holds."""
NOT_COUNTS = ("pid", "started_at", "heartbeat", "finished_at")
Stage = Annotated[str | None, typer.Argument(metavar="[STAGE]", help="Only this stage.")]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (runs, show, follow, log, status, metrics, plot, verify, digest):
        app.command()(verb)


def runs(home: Home = None, json: Json = False) -> None:
    """List the runs of this home, the newest first.

    Example: workbench runs
    """
    from workbench.runs import find_home, list_runs

    found = list_runs(find_home(home))
    facts = [
        {"name": run.name, "state": run.state(), **_pick(run.status(), "stage", "step", "loss", "heartbeat")}
        for run in found
    ]
    if json:
        print_json(facts)
        return
    if not facts:
        say(f"no runs in {find_home(home)} yet; `workbench run quickstart` makes one")
        return
    rows = [
        (
            f"{STATE_GLYPHS[fact['state']]} {fact['state']}",
            fact["name"],
            str(fact.get("stage") or ""),
            figure(fact.get("step") or ""),
            figure(fact.get("loss") or ""),
            _age(fact.get("heartbeat")),
        )
        for fact in facts
    ]
    print_table(("state", "run", "stage", "step", "loss", "last seen"), rows, right=(3, 4))


def show(name: RunName, home: Home = None, json: Json = False) -> None:
    """Show one run, stage by stage.

    What each stage made, how long it took and the figures it ended with.

    Example: workbench show quickstart
    """
    from workbench.cli.facts import run_facts
    from workbench.cli.inspected import fact_lines
    from workbench.cli.predictions import prediction_lines
    from workbench.files import human_duration
    from workbench.runs import find_home, open_run

    facts = run_facts(open_run(find_home(home), name))
    if json:
        print_json(facts)
        return
    state = f"{STATE_GLYPHS[facts['state']]} {facts['state']}"
    result(f"{facts['name']}   {state}   {human_duration(facts['seconds'])}   in {facts['home']}")
    if facts["error"]:
        say(facts["error"])
    for stage in facts["stages"]:
        spent = ""
        if stage["reused"] or stage["seconds"] is not None:
            spent = "reused" if stage["reused"] else human_duration(stage["seconds"])
        result(f"\n{stage['name']:<10} {stage['state']:<9} {spent:<9} {stage['artifact']}")
        for line in fact_lines({key: figures(value) for key, value in stage["summary"].items()}):
            result(f"  {line}")
        for line in prediction_lines(stage):
            result(f"  {line}")


def follow(name: RunName, home: Home = None, json: Json = False) -> None:
    """Follow a run's events until it is over.

    Ctrl-C stops following, not the run. With --json every event is one line of JSON.

    Example: workbench follow quickstart
    """
    from workbench.cli.foreground import exit_code_of
    from workbench.cli.plain import plain_line
    from workbench.runs import find_home, open_run

    followed = open_run(find_home(home), name)
    for event in followed.follow():
        if json:
            print_json(event)
        elif (line := plain_line(event)) is not None:
            result(line)
    raise typer.Exit(exit_code_of(followed))


def log(
    name: RunName,
    home: Home = None,
    lines: Annotated[int, typer.Option(help="Only the last so many lines.")] = 200,
) -> None:
    """Print the worker's log.

    Example: workbench log quickstart --lines 50
    """
    from collections import deque

    from workbench.runs import find_home, open_run

    path = open_run(find_home(home), name).log_path
    if not path.exists() or not path.stat().st_size:
        say("the log is empty: the worker only writes here when something is wrong")
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in deque(file, maxlen=max(1, lines)):
            result(line.rstrip("\n"))


def status(
    name: RunName,
    field: Annotated[
        str | None, typer.Option(help="One figure, bare: state, stage, step, loss, pid, …")
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Show where a run is now.

    With --field one figure of it, bare on stdout.

    Example: workbench status quickstart --field step
    """
    from workbench.runs import LIVE, find_home, open_run

    run = open_run(find_home(home), name)
    facts: dict[str, Any] = {"name": run.name, **run.status(), "state": run.state()}
    if field is not None:
        if field not in facts and field not in FIELDS:
            known = ", ".join(sorted({*FIELDS, *facts}))
            raise BadInput(f"{field!r} is not a field of a status", fix=f"there are {known}")
        if facts.get(field) is None:
            say(f"{field}: {'not yet' if run.state() in LIVE else 'none'}")
        else:
            result(str(facts[field]))
    elif json:
        print_json(facts)
    else:
        for key, value in facts.items():
            if value is not None:
                result(f"{key:<18} {value if key in NOT_COUNTS else figures(value)}")


def metrics(
    name: RunName,
    stage: Stage = None,
    csv: Annotated[bool, typer.Option("--csv", help="CSV instead of JSON lines.")] = False,
    home: Home = None,
) -> None:
    """Print what training logged.

    One JSON object a line, or CSV.

    Example: workbench metrics quickstart pretrain --csv > loss.csv
    """
    import csv as csv_writer
    import sys
    from itertools import chain

    from workbench.launcher import frozen_plan
    from workbench.metric_history import MetricHistory
    from workbench.runs import find_home, open_run

    run = open_run(find_home(home), name)
    if stage is not None:
        frozen_plan(run).stage(stage)
    history = MetricHistory(run.events_path, stage)
    if not len(history):
        say(f"{run.name} has logged no metrics{f' in {stage}' if stage is not None else ''}")
    elif csv:
        columns = [
            key for key in dict.fromkeys(chain.from_iterable(history.events())) if key not in ("kind", "seq")
        ]
        writer = csv_writer.DictWriter(sys.stdout, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(history.events())
    else:
        print_json_lines(
            {key: value for key, value in event.items() if key not in ("kind", "seq")}
            for event in history.events()
        )


def plot(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN…", help="One run or several to lay over each other.")
    ],
    stage: Annotated[
        str | None, typer.Option(help="The stage to plot [default: the first that logged it]")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="loss, val_loss, val_bpb, grad_norm, learning_rate, tokens_per_second, …")
    ] = "loss",
    home: Home = None,
) -> None:
    """Plot a training curve in the terminal.

    Example: workbench plot quickstart --stage pretrain
    """
    from workbench.cli.plots import draw_curves
    from workbench.metric_history import MetricHistory
    from workbench.runs import find_home, open_run

    curves: dict[str, tuple[list[float], list[float]]] = {}
    for name in names:
        run = open_run(find_home(home), name)
        found = MetricHistory(run.events_path).curves(metric)
        if not found:
            raise BadInput(
                f"{run.name} has logged no {metric} by step",
                fix=f"`workbench metrics {run.name}` prints what there is",
            )
        chosen = stage or next(iter(found))
        if chosen not in found:
            raise BadInput(
                f"{run.name} has logged no {metric} in {chosen}", fix=f"it has in {', '.join(found)}"
            )
        curves[f"{run.name}/{chosen}"] = found[chosen]
    result(draw_curves(curves, metric))


def verify(name: RunName, home: Home = None, json: Json = False) -> None:
    """Check every file of a run.

    Artifacts and checkpoints against their manifests. Exit code 1, and what is wrong on stderr, if a file is
    not what it was.

    Example: workbench verify quickstart
    """
    from workbench.audit import problems_of_run
    from workbench.runs import find_home, open_run

    run = open_run(find_home(home), name)
    problems = list(problems_of_run(run))
    if json:
        print_json({"run": run.name, "ok": not problems, "problems": problems})
    else:
        for problem in problems:
            say(problem)
        if not problems:
            result(f"{run.name}: every file is what its manifest says")
    if problems:
        raise typer.Exit(int(ExitCode.FAILED))


def digest(name: RunName, home: Home = None, json: Json = False) -> None:
    """Print one hash over a run's training.

    Over all weights and training state of a finished run: equal for equal training.

    Example: workbench digest quickstart
    """
    from workbench.audit import digest_of_run
    from workbench.runs import find_home, open_run

    run = open_run(find_home(home), name)
    value = digest_of_run(run)
    if json:
        print_json({"run": run.name, "digest": value})
    else:
        result(value)


def _pick(facts: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: facts.get(key) for key in keys}


def _age(heartbeat: Any) -> str:
    from workbench.files import human_duration

    return (
        f"{human_duration(max(0.0, time.time() - heartbeat))} ago"
        if isinstance(heartbeat, int | float)
        else ""
    )
