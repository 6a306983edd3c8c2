"""`workbench run` and `follow`: a view over a detached worker. It may die at any time; the work goes on.

On a terminal: a stage list with live figures on stderr. In a pipe: plain lines, a few a minute. Ctrl-C on a
terminal asks whether to stop or to detach; in a script SIGINT and SIGTERM stop the run with a checkpoint.
"""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from workbench.cli.output import say
from workbench.errors import ExitCode
from workbench.events import Event, EventReader
from workbench.files import human_count, human_duration
from workbench.launch import frozen_plan
from workbench.runs import LIVE, Run
from workbench.safe_text import one_line

POLL_SECONDS = 0.2
PLAIN_METRIC_SECONDS = 10.0
REPAINT_SECONDS = 0.5
MOST_NOTES = 6


def watch_run(run: Run, *, json: bool = False) -> int:
    """Show `run` until it is over or the person leaves; returns the exit code to end with."""
    live = sys.stderr.isatty() and sys.stdin.isatty() and os.environ.get("TERM") != "dumb" and not json
    asked = _Interrupts()
    with asked:
        if live:
            detached = _watch_on_terminal(run, asked)
        else:
            detached = _watch_in_pipe(run, asked)
    if detached:
        say(f"left {run.name} running; `workbench follow {run.name}` shows it, `workbench stop {run.name}` ends it")
        return 0
    _say_the_end(run)
    return exit_code_of(run)


def exit_code_of(run: Run) -> int:
    """How a run that is over ended, as an exit code."""
    state, status = run.state(), run.status()
    if state == "finished":
        return int(ExitCode.FINE)
    if state in ("stopped", "failed"):
        return int(status.get("exit_code", ExitCode.FAILED))
    return int(ExitCode.FAILED)


def plain_line(event: Event) -> str | None:
    """An event as one line for a pipe; None for those that say nothing to a person."""
    stage, kind = event.get("stage"), event["kind"]
    if kind == "metric":
        shown = [f"{key} {value:.4g}" for key, value in event.items() if isinstance(value, float) and key not in ("time", "seconds")]
        return f"{stage}: step {event.get('step')}  {'  '.join(shown)}"
    if kind == "stage_started":
        return f"{stage}: {'reused' if event.get('reused') else 'started'} ({event.get('artifact')})"
    if kind == "stage_finished":
        if event.get("reused"):
            return None
        summary = event.get("summary") or {}
        figures = ", ".join(f"{key} {_short(value)}" for key, value in list(summary.items())[:8] if isinstance(value, int | float | str))
        return f"{stage}: finished in {human_duration(float(event.get('seconds', 0)))}  {one_line(figures, 300)}"
    if kind == "stage_progress":
        total = event.get("total")
        return f"{stage}: {human_count(event.get('done') or 0)}{f' of {human_count(total)}' if total else ''} {event.get('unit')}"
    if kind in ("note", "warning", "error"):
        return f"{stage + ': ' if stage else ''}{'' if kind == 'note' else kind + ': '}{one_line(str(event.get('text')), 400)}"
    if kind == "sample":
        return f"{stage}: sample {one_line(str(event.get('prompt')), 60)!r} -> {one_line(str(event.get('text')), 160)!r}"
    if kind == "checkpoint":
        return f"{stage}: saved step {event.get('step')}"
    return None


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _say_the_end(run: Run) -> None:
    state, status = run.state(), run.status()
    if state == "finished":
        say(f"{run.name} is finished; talk to it: workbench chat {run.name}")
    elif state == "failed":
        say(str(status.get("error") or f"failed; `workbench log {run.name}` has the details"))
    elif state == "crashed":
        say(f"{run.name}: the worker died; nothing saved is lost: run the same command again to go on")
    elif state == "stopped" and status.get("exit_code"):
        say(f"{run.name} is stopped, everything is saved; `workbench resume {run.name}` goes on")
    elif state == "stopped":
        say(f"{run.name} did what was asked; run it without --until or --only for the rest")


class _Interrupts:
    """SIGINT and SIGTERM as counts that the view looks at, so that no signal ends it half-way."""

    def __init__(self) -> None:
        self.interrupts = 0
        self.terminated = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        if number == signal.SIGTERM:
            self.terminated = True
        else:
            self.interrupts += 1


def _events(run: Run, asked: _Interrupts) -> Iterator[Event | None]:
    """New events as they come, None in between, until the run is over; a stop asked by signal is passed on once."""
    # What earlier workers of this run wrote is history: begin with the last start.
    reader = EventReader(run.events_path)
    seen = reader.read_new()
    starts = [index for index, event in enumerate(seen) if event["kind"] == "run_started"]
    seen = seen[starts[-1] :] if starts else seen
    while True:
        over = run.state() not in LIVE
        yield from seen
        yield None
        if over and not seen:
            return
        time.sleep(POLL_SECONDS)
        seen = reader.read_new()


def _watch_in_pipe(run: Run, asked: _Interrupts) -> bool:
    requested = False
    spoke: dict[str, float] = {}
    for event in _events(run, asked):
        if (asked.interrupts or asked.terminated) and not requested:
            requested = True
            say(f"stopping {run.name} with a checkpoint (again to leave it to itself)")
            _request_stop(run)
        if asked.interrupts > 1:
            return True
        if event is None:
            continue
        if event["kind"] in ("metric", "stage_progress") and "val_loss" not in event:
            key = f"{event.get('stage')} {event['kind']}"
            if time.monotonic() - spoke.get(key, -PLAIN_METRIC_SECONDS) < PLAIN_METRIC_SECONDS:
                continue
            spoke[key] = time.monotonic()
        if (line := plain_line(event)) is not None:
            say(line)
    return False


def _request_stop(run: Run) -> None:
    if run.state() in LIVE:
        run.request("stop")


@dataclasses.dataclass
class _StageView:
    """What the screen knows of one stage."""

    name: str
    state: str = "pending"
    reused: bool = False
    started: float | None = None
    seconds: float = 0.0
    done: float = 0.0
    first_done: float | None = None
    total: float | None = None
    unit: str = ""
    figures: dict[str, float] = dataclasses.field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Learn from one event of this stage."""
        kind = event["kind"]
        if kind == "stage_started":
            self.state, self.started, self.reused = "running", event["time"], bool(event.get("reused"))
            self.first_done = None
        elif kind == "stage_finished":
            self.state, self.seconds = "finished", float(event.get("seconds", 0.0))
        elif kind == "stage_progress":
            self.done, self.total, self.unit = event.get("done") or 0, event.get("total"), str(event.get("unit"))
            self.first_done = self.done if self.first_done is None else self.first_done
        elif kind == "metric":
            self.figures.update({key: value for key, value in event.items() if isinstance(value, int | float)})

    def seconds_left(self) -> float | None:
        """Time left at the rate since this worker took the stage up."""
        if self.started is None or not self.total or self.first_done is None or self.done <= self.first_done:
            return None
        rate = (self.done - self.first_done) / max(1e-3, time.time() - self.started)
        return (self.total - self.done) / rate


def _watch_on_terminal(run: Run, asked: _Interrupts) -> bool:
    from rich.console import Console
    from rich.live import Live

    stages = {stage.name: _StageView(stage.name) for stage in frozen_plan(run).stages}
    notes: list[str] = []
    console = Console(stderr=True, highlight=False, markup=False)
    painted = 0.0
    with Live(_picture(run, stages, notes), console=console, auto_refresh=False, transient=False) as live:
        for event in _events(run, asked):
            if event is not None:
                if event.get("stage") in stages:
                    stages[event["stage"]].take(event)
                if event["kind"] in ("note", "warning", "error", "sample"):
                    notes.append(plain_line(event) or "")
                    del notes[:-MOST_NOTES]
            elif time.monotonic() - painted >= REPAINT_SECONDS:
                painted = time.monotonic()
                live.update(_picture(run, stages, notes), refresh=True)
            if asked.terminated:
                asked.terminated = False
                _request_stop(run)
            if asked.interrupts:
                live.stop()
                if _ask_to_leave(run):
                    return True
                asked.interrupts = 0
                live.start()
        live.update(_picture(run, stages, notes), refresh=True)
    return False


def _ask_to_leave(run: Run) -> bool:
    """Ask what Ctrl-C meant. True: leave the run to itself."""
    say("\n[d] detach and leave it running   [s] stop with everything saved   [enter] go on watching")
    while run.state() in LIVE:
        ready, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
        if not ready:
            continue
        answer = sys.stdin.readline()
        if answer == "" or answer.strip().lower().startswith("d"):
            return True
        if answer.strip().lower().startswith("s"):
            _request_stop(run)
            say("stopping after this step")
        return False
    return False


def _picture(run: Run, stages: dict[str, _StageView], notes: list[str]) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for _ in range(5):
        table.add_column(no_wrap=True)
    for stage in stages.values():
        table.add_row(*_row(stage))
    lines = [Text(one_line(note, 200), style="dim", no_wrap=True, overflow="ellipsis") for note in notes]
    head = Text(f"{run.name}", style="bold")
    foot = Text("ctrl-c: stop or detach", style="dim")
    return Group(head, table, *lines, foot)


def _row(stage: _StageView) -> tuple[Any, ...]:
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    glyph, style = {"pending": ("○", "dim"), "running": ("●", "cyan"), "finished": ("✓", "green")}[stage.state]
    name = Text(f"{glyph} {stage.name}", style=style)
    if stage.state == "finished":
        spent = "reused" if stage.reused else human_duration(stage.seconds)
        return name, Text(spent, style="dim"), _figures(stage), Text(""), Text("")
    if stage.state == "pending":
        return name, Text("waiting", style="dim"), Text(""), Text(""), Text("")
    elapsed = human_duration(time.time() - (stage.started or time.time()))
    bar: Any = Text("")
    if stage.total:
        bar = ProgressBar(total=stage.total, completed=min(stage.done, stage.total), width=16)
    left = stage.seconds_left()
    progress = f"{human_count(stage.done)}{f'/{human_count(stage.total)}' if stage.total else ''} {stage.unit}"
    return name, Text(elapsed), _figures(stage) if stage.figures else Text(progress), bar, Text(f"{human_duration(left)} left" if left is not None else "", style="dim")


def _figures(stage: _StageView) -> Any:
    from rich.text import Text

    figures = stage.figures
    parts = []
    if "step" in figures and stage.total:
        parts.append(f"step {int(figures['step']):,}/{int(stage.total):,}")
    parts += [f"{label} {figures[key]:.3f}" for key, label in (("loss", "loss"), ("val_bpb", "bpb"), ("rewards/accuracies", "acc")) if key in figures]
    if figures.get("tokens_per_second"):
        parts.append(f"{human_count(figures['tokens_per_second'])} tok/s")
    return Text("  ".join(parts))
