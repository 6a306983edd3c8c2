"""Run folders as pictures: events read from where the last look ended, folded into what a screen shows.

A feed lives in one thread at a time and hands out frozen records; it touches no widget. A torn last line is
"not yet" (EventReader). Everything a run says is text of unknown origin and is cleaned here.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tui import words
from tui.curves import Curve, Point
from workbench.events import Event, EventReader
from workbench.runs import LIVE, Run, list_runs
from workbench.safe_text import one_line, safe_text

READ_SECONDS = 0.1
"""How long one look may read: a long history comes in slices, and the screen shows what is there so far."""
_SLICE_BYTES = 1 << 20
_NOTES_KEPT = 200
_RATE_WINDOW = 40
_FIGURES = ("step", "steps", "loss", "val_loss", "val_bpb", "tokens", "tokens_per_second")


@dataclass(frozen=True, slots=True)
class RunRow:
    """One line of the runs list. `name` is the folder's own, to open it by; clean it to show it."""

    name: str
    state: str
    stage: str
    progress: float | None
    step: int | None
    loss: float | None
    heard_at: float | None


@dataclass(frozen=True, slots=True)
class StageSeen:
    """One stage of a run: `state` is a key of words.STAGE_SIGNS."""

    name: str
    state: str = "waiting"
    done: float | None = None
    total: float | None = None
    unit: str = ""
    seconds: float | None = None
    seconds_left: float | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CurveSeen:
    """The loss of one stage: every step in points, and what was measured on held-out data as (step, loss)."""

    points: tuple[Point, ...] = ()
    measured: tuple[tuple[int, float], ...] = ()
    broken_at: int | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """Something the run said: `kind` is note, warning or error, or the state in which the run ended."""

    at: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What the model wrote at some step."""

    step: int | None
    prompt: str
    text: str


@dataclass(frozen=True, slots=True)
class RunSeen:
    """A run as it is now. `figures` and `samples` hold the newest of each stage by name.

    `seconds` is what its workers spent until `told_at`, its newest event: the time it lay stopped is not in it.
    """

    name: str
    path: Path
    state: str = "pending"
    stages: tuple[StageSeen, ...] = ()
    stage: str = ""
    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    curves: Mapping[str, CurveSeen] = field(default_factory=dict)
    samples: Mapping[str, Sample] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    checkpoint_at: float | None = None
    checkpoint_step: int | None = None
    seconds: float = 0.0
    told_at: float | None = None
    ended_at: float | None = None
    heard_at: float | None = None
    behind: bool = False

    @property
    def is_live(self) -> bool:
        """Whether it still goes on and takes requests."""
        return self.state in LIVE

    def stage_seen(self, name: str) -> StageSeen | None:
        """The stage of that name."""
        return next((stage for stage in self.stages if stage.name == name), None)


def read_rows(home: Path) -> tuple[RunRow, ...]:
    """All runs of a home for the list, the newest first. Reads one small file a run."""
    rows = []
    for run in list_runs(home):
        try:
            rows.append(_row(run))
        except OSError:  # removed while we looked
            continue
    return tuple(rows)


def _row(run: Run) -> RunRow:
    status = run.status()
    progress = status.get("progress")
    done, total = (
        (progress.get("done"), progress.get("total")) if isinstance(progress, dict) else (None, None)
    )
    step, loss = status.get("step"), _number(status.get("loss"))
    heard = _number(status.get("heartbeat")) or _number(status.get("started_at"))
    return RunRow(
        name=run.name,
        state=run.state(),
        stage=one_line(str(status.get("stage") or ""), 20),
        progress=_share(_number(done), _number(total)),
        step=step if isinstance(step, int) else None,
        loss=loss,
        heard_at=heard,
    )


def _share(done: float | None, total: float | None) -> float | None:
    return min(done / total, 1.0) if done is not None and total else None


class RunFeed:
    """Follows one run. `look()` reads what is new and returns the run as it is now."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._reader = EventReader(run.events_path)
        self._stages: dict[str, StageSeen] = {name: StageSeen(name) for name in _planned_stages(run)}
        self._figures: dict[str, dict[str, Any]] = {}
        self._curves: dict[str, Curve] = {}
        self._measured: dict[str, dict[int, float]] = {}
        self._seen_curves: dict[str, CurveSeen] = {}
        self._paces: dict[str, deque[tuple[float, float]]] = {}
        self._samples: dict[str, Sample] = {}
        self._started: dict[str, float] = {}
        self._spent: dict[str, float] = {}
        self._made: set[str] = set()
        self._notes: deque[Note] = deque(maxlen=_NOTES_KEPT)
        self._seen = RunSeen(name=one_line(run.name, 120), path=run.path)

    def look(self) -> RunSeen:
        """The run as it is now; `behind` when there was more to read than one look may take."""
        # The state is read first: what a run wrote before it ended is then surely in the events read after.
        state, status = self.run.state(), self.run.status()
        behind = False
        deadline = time.monotonic() + READ_SECONDS
        while events := self._reader.read_new(limit_bytes=_SLICE_BYTES):
            for event in events:
                self._fold(event)
            if behind := time.monotonic() > deadline:
                break
        heard = _number(status.get("heartbeat")) or self._seen.heard_at
        stage = self._seen.stage or one_line(str(status.get("stage") or ""), 20)
        self._seen = replace(self._seen, state=state, stage=stage, heard_at=heard, behind=behind)
        return replace(
            self._seen,
            stages=tuple(self._with_state_of_run(one, state) for one in self._stages.values()),
            figures={name: dict(figures) for name, figures in self._figures.items()},
            curves=self._curves_seen(),
            samples=dict(self._samples),
            notes=tuple(self._notes),
        )

    def _fold(self, event: Event) -> None:
        """Take one event in. Unknown kinds and fields of the wrong type are passed over."""
        told_at, seconds = self._seen.told_at, self._seen.seconds
        at, name = _number(event.get("time")) or told_at or 0.0, one_line(str(event.get("stage") or ""), 20)
        if told_at is not None and event["kind"] != "run_started":
            seconds += max(at - told_at, 0.0)
        stage = self._stages.setdefault(name, StageSeen(name)) if name else None
        self._seen = replace(
            self._seen, told_at=at, seconds=seconds, heard_at=at, stage=name or self._seen.stage
        )
        match event["kind"], stage:
            case "run_started", _:
                self._leave_stage(told_at)  # what a killed worker was at ends with its last words
                self._seen = replace(self._seen, ended_at=None)
            case "run_finished", _:
                self._leave_stage(at)
                self._seen = replace(self._seen, ended_at=at)
                state = one_line(str(event.get("state") or "ended"), 20)
                self._notes.append(Note(at, state, f"after {words.span(seconds)}"))
            case "stage_started", StageSeen():
                self._started[name] = at
                self._stages[name] = replace(stage, state="running", seconds=None, summary={})
            case "stage_progress", StageSeen():
                self._fold_progress(stage, event, at)
            case "stage_finished", StageSeen():
                self._fold_finished(stage, event, at)
            case "metric", StageSeen():
                self._fold_metric(name, event)
            case "sample", StageSeen():
                self._samples[name] = _sample(event)
            case "checkpoint", _:
                step = event.get("step")
                self._seen = replace(
                    self._seen, checkpoint_at=at, checkpoint_step=step if isinstance(step, int) else None
                )
            case ("note" | "warning" | "error") as kind, _:
                text = one_line(str(event.get("text") or event.get("message") or ""), 400)
                self._notes.append(Note(at, kind, text))

    def _fold_progress(self, stage: StageSeen, event: Event, at: float) -> None:
        done, total = _number(event.get("done")), _number(event.get("total"))
        if done is None:
            return
        pace = self._paces.setdefault(stage.name, deque(maxlen=_RATE_WINDOW))
        if pace and done < pace[-1][1]:
            pace.clear()
        pace.append((at, done))
        self._stages[stage.name] = replace(
            stage,
            state="running",
            done=done,
            total=total,
            unit=one_line(str(event.get("unit") or ""), 20),
            seconds_left=seconds_left(pace, total),
        )

    def _fold_finished(self, stage: StageSeen, event: Event, at: float) -> None:
        """What a run made itself stays made by it: a worker that goes on finds it and calls it reused."""
        seconds, summary = _number(event.get("seconds")), event.get("summary")
        began = self._started.pop(stage.name, at)
        if not event.get("reused"):
            self._made.add(stage.name)
            self._spend(stage.name, at - began if seconds is None else seconds)
        self._stages[stage.name] = replace(
            stage,
            state="finished" if stage.name in self._made else "reused",
            seconds=self._spent.get(stage.name, 0.0),
            seconds_left=None,
            summary=summary if isinstance(summary, dict) else {},
        )

    def _leave_stage(self, at: float | None) -> None:
        """A stage that is cut off keeps its time: taken up again, it took what all its workers spent on it."""
        while at is not None and self._started:
            name, began = self._started.popitem()
            self._spend(name, at - began)

    def _spend(self, name: str, seconds: float) -> None:
        self._spent[name] = self._spent.get(name, 0.0) + max(seconds, 0.0)

    def _fold_metric(self, name: str, event: Event) -> None:
        figures = self._figures.setdefault(name, {})
        figures.update({key: event[key] for key in _FIGURES if key in event and event[key] is not None})
        step = event.get("step")
        if not isinstance(step, int):
            return
        if "loss" in event:
            self._curves.setdefault(name, Curve()).add(step, _float(event["loss"]))
        if (value := _number(event.get("val_loss"))) is not None:
            self._measured.setdefault(name, {})[step] = value
        self._seen_curves.pop(name, None)

    def _curves_seen(self) -> dict[str, CurveSeen]:
        for name in self._curves.keys() | self._measured.keys():
            if name not in self._seen_curves:
                curve = self._curves.get(name) or Curve()
                measured = tuple(sorted(self._measured.get(name, {}).items()))
                self._seen_curves[name] = CurveSeen(curve.points(), measured, curve.broken_at)
        return dict(self._seen_curves)

    def _with_state_of_run(self, stage: StageSeen, run_state: str) -> StageSeen:
        """A stage that was running when its run ended shares the run's fate."""
        if stage.state == "running" and run_state in ("paused", "failed", "stopped", "crashed"):
            return replace(stage, state=run_state, seconds_left=None)
        return stage


def read_log_tail(run: Run, *, most_bytes: int = 64_000) -> str:
    """The end of the worker's log, from a whole line on, cleaned; empty when there is none."""
    try:
        with run.log_path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most_bytes))
            tail = file.read()
    except OSError:
        return ""
    if size > most_bytes:
        tail = tail.partition(b"\n")[2]
    return safe_text(tail.decode(errors="replace"))


def seconds_left(pace: deque[tuple[float, float]], total: float | None) -> float | None:
    """Seconds to `total` at the rate of the last (time, done) pairs; None while nobody can tell."""
    if total is None or len(pace) < 2:
        return None
    (t0, done0), (t1, done1) = pace[0], pace[-1]
    if t1 - t0 < 1.0 or done1 <= done0:
        return None
    return max(total - done1, 0.0) * (t1 - t0) / (done1 - done0)


def _planned_stages(run: Run) -> Iterator[str]:
    try:
        stages = run.plan().get("stages", [])
    except Exception:  # a plan that cannot be read shows as a run without stages
        return
    for stage in stages if isinstance(stages, list) else ():
        if isinstance(stage, dict) and isinstance(stage.get("name"), str):
            yield one_line(stage["name"], 20)


def _sample(event: Event) -> Sample:
    step = event.get("step")
    return Sample(
        step=step if isinstance(step, int) else None,
        prompt=one_line(str(event.get("prompt") or ""), 400),
        text=one_line(str(event.get("text") or ""), 1000),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _float(value: Any) -> float:
    """A metric as a float: NaN and infinity are written as strings by events.py."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
