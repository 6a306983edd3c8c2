"""Events as plain lines: the view of a run for pipes, logs and dumb terminals."""

from __future__ import annotations

import time
from typing import Any, TypeGuard

from workbench.cli.output import say
from workbench.cli.watching import Interrupts, new_events, request_stop
from workbench.events import Event
from workbench.files import human_count, human_duration
from workbench.runs import Run
from workbench.safe_text import one_line

METRIC_SECONDS = 10.0
NO_FIGURES = ("time", "seconds", "step", "seq")


def watch_plainly(run: Run, asked: Interrupts) -> bool:
    """Say what happens until the run is over. True when the person left it to itself.

    A first SIGINT, or SIGTERM, asks the run to stop with a checkpoint; a second SIGINT leaves.
    """
    requested = False
    spoke: dict[str, float] = {}
    for event in new_events(run):
        if asked.hung_up or asked.interrupts > 1:
            return True
        if (asked.interrupts or asked.terminated) and not requested:
            requested = True
            say(f"stopping {run.name} with everything saved (interrupt again to leave it to itself)")
            request_stop(run)
        if event is not None and _is_due(event, spoke) and (line := plain_line(event)) is not None:
            say(line)
    return False


def _is_due(event: Event, spoke: dict[str, float]) -> bool:
    """Whether an event is worth a line: of what comes many times a second, one every ten seconds.

    Not the error that ends a run: how it ended is said after it.
    """
    if event["kind"] == "error":
        return False
    if event["kind"] not in ("metric", "stage_progress") or "val_loss" in event or "task" in event:
        return True
    key, now = f"{event.get('stage')} {event['kind']}", time.monotonic()
    if now - spoke.get(key, -METRIC_SECONDS) < METRIC_SECONDS:
        return False
    spoke[key] = now
    return True


def plain_line(event: Event) -> str | None:
    """An event as one line; None for those that say nothing to a person."""
    text = _TEXTS[event["kind"]](event) if event["kind"] in _TEXTS else None
    stage = event.get("stage")
    return text if text is None or stage is None else f"{one_line(str(stage), 40)}: {text}"


def _metric(event: Event) -> str:
    names = [str(event[key]) for key in ("model", "task") if key in event]
    about = one_line(" ".join(names), 80) if names else f"step {event.get('step')}"
    figures = {key: value for key, value in event.items() if _is_number(value) and key not in NO_FIGURES}
    return "  ".join([about, *(f"{one_line(key, 40)} {short(value)}" for key, value in figures.items())])


def _stage_started(event: Event) -> str:
    return f"{'there already' if event.get('reused') else 'started'} ({one_line(str(event.get('artifact')), 80)})"


def _stage_finished(event: Event) -> str | None:
    if event.get("reused"):
        return None
    summary = event.get("summary")
    figures = summary.items() if isinstance(summary, dict) else ()
    shown = [f"{key} {short(value)}" for key, value in figures if isinstance(value, int | float | str)]
    return f"finished in {human_duration(_seconds(event))}  {one_line(', '.join(shown[:8]), 300)}"


def _stage_progress(event: Event) -> str:
    total = event.get("total")
    whole = f" of {human_count(total)}" if _is_number(total) else ""
    return f"{human_count(event.get('done') or 0)}{whole} {one_line(str(event.get('unit')), 40)}"


def _note(event: Event) -> str:
    kind = "" if event["kind"] == "note" else f"{event['kind']}: "
    return f"{kind}{one_line(str(event.get('text')), 400)}"


def _sample(event: Event) -> str:
    return f"“{one_line(str(event.get('prompt')), 60)}” → “{one_line(str(event.get('text')), 160)}”"


def _checkpoint(event: Event) -> str:
    return f"saved step {event.get('step')}{', the best so far' if event.get('best') else ''}"


_TEXTS = {
    "metric": _metric,
    "stage_started": _stage_started,
    "stage_finished": _stage_finished,
    "stage_progress": _stage_progress,
    "note": _note,
    "warning": _note,
    "error": _note,
    "sample": _sample,
    "checkpoint": _checkpoint,
}


def short(value: Any) -> str:
    """A figure in at most a few characters."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _seconds(event: Event) -> float:
    value = event.get("seconds")
    return float(value) if _is_number(value) else 0.0


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
