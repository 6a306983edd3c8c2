"""Run folders as pictures: events read from where the last look ended, folded into what a screen shows.

A feed lives in one thread at a time and hands out frozen records; it touches no widget. A torn last line is
"not yet" (EventReader). Everything a run says is text of unknown origin and is cleaned here.
"""

from __future__ import annotations

import functools
import operator
import time
from array import array
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tui import feed_cache, words
from tui.chart.series import NAN
from tui.chart.track import StageCurves
from tui.gpus import GpusSeen, gpus_of
from tui.metric_rows import MUST_BE_NUMBERS, NO_METRIC, alike, columns_of, columns_of_rows, number
from tui.planned import flops_per_token, planned_stages, predicted
from tui.time_left import run_left, seconds_left, uncertainty, usual_silence
from workbench.event_columns import Rows
from workbench.events import Event
from workbench.files import free_bytes
from workbench.history import HistoryReader
from workbench.runs import LIVE, Run
from workbench.safe_text import one_line, safe_text

READ_SECONDS = 0.1
"""How long one look may read: a long history comes in slices, and the screen shows what is there so far."""
_SLICE_BYTES = 1 << 20
_NOTES_KEPT = 200
_RATE_WINDOW = 40
_SAMPLES_KEPT = 200
_GAPS_KEPT = 400
KEEP_AFTER_BYTES = 4 << 20
"""So much that was read since is worth keeping what it came to."""
_WRITTEN_AS_WORDS = ("nan", "inf", "-inf")
_PLAIN = (
    "stage", "seconds", "told_at", "ended_at", "checkpoint_at", "checkpoint_step", "version", "heard_at",
)  # fmt: skip


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
    left_within: float | None = None
    """Plus and minus so many seconds."""
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the worker said of a request: `state` is taken, done or refused."""

    at: float
    state: str
    text: str


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
    """A run as it is now. `figures` holds the newest of each stage by name, `samples` all of them, oldest first.

    `curves` go on growing in the feed's thread; whoever draws them reads what is there. `version` changes whenever
    an event was read. `answers` are the worker's, by the id of the request.
    `seconds` is what its workers spent until `told_at`, its newest event: the time it lay stopped is not in it.
    """

    name: str
    path: Path
    state: str = "pending"
    stages: tuple[StageSeen, ...] = ()
    stage: str = ""
    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    curves: Mapping[str, StageCurves] = field(default_factory=dict)
    samples: Mapping[str, tuple[Sample, ...]] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    answers: Mapping[str, Answer] = field(default_factory=dict)
    checkpoint_at: float | None = None
    checkpoint_step: int | None = None
    seconds: float = 0.0
    told_at: float | None = None
    ended_at: float | None = None
    heard_at: float | None = None
    behind: bool = False
    read_share: float = 1.0
    resident_bytes: float | None = None
    free_bytes: float | None = None
    gpus: GpusSeen | None = None
    left: tuple[float, float] | None = None
    """Seconds until the whole run is done, and plus and minus how many."""
    usual_silence: float | None = None
    """How many seconds pass between two facts of the running stage while all is well."""
    version: int = 0

    @property
    def is_live(self) -> bool:
        """Whether it still goes on and takes requests."""
        return self.state in LIVE

    def stage_seen(self, name: str) -> StageSeen | None:
        """The stage of that name."""
        return next((stage for stage in self.stages if stage.name == name), None)


class RunFeed:
    """Follows one run. `look()` reads what is new and returns the run as it is now.

    What a long history came to is kept in the home's cache, so that the next feed goes on from there.
    """

    def __init__(self, run: Run, *, cached: bool = True) -> None:
        self.run = run
        self._reader = HistoryReader(run.events_path)
        self._stages: dict[str, StageSeen] = {name: StageSeen(name) for name in planned_stages(run)}
        foreseen = predicted(run)
        self._flops_per_token = flops_per_token(foreseen)
        self._planned_seconds = {name: number(each.get("seconds")) or 0.0 for name, each in foreseen.items()}
        self._figures: dict[str, dict[str, Any]] = {}
        self._curves: dict[str, StageCurves] = {}
        self._paces: dict[str, deque[tuple[float, float]]] = {}
        self._gaps: dict[str, deque[float]] = {}
        self._progress: dict[str, Event] = {}  # the newest of each stage that waits to be settled
        self._samples: dict[str, list[Sample]] = {}
        self._started: dict[str, float] = {}
        self._spent: dict[str, float] = {}
        self._made: set[str] = set()
        self._notes: deque[Note] = deque(maxlen=_NOTES_KEPT)
        self._answers: dict[str, Answer] = {}
        self._stage = ""
        self._seconds = 0.0
        self._told_at: float | None = None
        self._ended_at: float | None = None
        self._checkpoint_at: float | None = None
        self._checkpoint_step: int | None = None
        self._version = 0
        self._heard_at: float | None = None
        self._kept_at = 0
        self._cached = cached
        if cached and (kept := feed_cache.load(run)) is not None:
            self._restore(kept)

    def look(self) -> RunSeen:
        """The run as it is now; `behind` when there was more to read than one look may take."""
        # The state is read first: what a run wrote before it ended is then surely in the events read after.
        state, status = self.run.state(), self.run.status()
        behind = False
        deadline = time.monotonic() + READ_SECONDS
        while pieces := self._reader.read_new(limit_bytes=_SLICE_BYTES):
            for piece in pieces:
                self._fold_rows(piece) if isinstance(piece, Rows) else self._fold_all(piece)
                self._version += len(piece)
            if time.monotonic() > deadline:
                behind = self._reader.share_read() < 1
                break
        if self._cached and not behind and self._reader.offset - self._kept_at > KEEP_AFTER_BYTES:
            self._kept_at = self._reader.offset
            feed_cache.keep(self.run, self._kept_at, self._facts(), self._curves)
        self._heard_at = number(status.get("heartbeat")) or self._heard_at
        return RunSeen(
            name=one_line(self.run.name, 120),
            path=self.run.path,
            state=state,
            stage=self._stage or one_line(str(status.get("stage") or ""), 20),
            stages=tuple(_with_state_of_run(one, state) for one in self._stages.values()),
            figures={name: dict(figures) for name, figures in self._figures.items()},
            curves=dict(self._curves),
            samples={name: tuple(samples) for name, samples in self._samples.items()},
            notes=tuple(self._notes),
            answers=dict(self._answers),
            checkpoint_at=self._checkpoint_at,
            checkpoint_step=self._checkpoint_step,
            seconds=self._seconds,
            told_at=self._told_at,
            ended_at=self._ended_at,
            heard_at=self._heard_at,
            behind=behind,
            read_share=self._reader.share_read() if behind else 1.0,
            resident_bytes=number(status.get("resident_bytes")),
            free_bytes=_free_bytes(self.run),
            gpus=gpus_of(status) if state in LIVE else None,
            left=self._left() if state == "running" else None,
            usual_silence=usual_silence(self._gaps.get(self._stage, ())),
            version=self._version,
        )

    def _left(self) -> tuple[float, float] | None:
        spent = {name: self._spent[name] for name in self._made if name in self._spent}
        return run_left(self._stages.values(), planned=self._planned_seconds, spent=spent)

    def _fold_all(self, events: list[Event]) -> None:
        """Take events in. Metrics and progress, which are nearly all of them, wait for one another in between."""
        metrics: list[Event] = []
        for event in events:
            at, told_at = self._hear(event), self._told_at
            self._told_at = self._heard_at = at
            match event["kind"]:
                case "metric":
                    metrics.append(event)
                case "stage_progress":
                    self._fold_progress(event, at)
                case _:
                    self._fold_metrics(metrics)
                    metrics = []
                    self._settle_progress()
                    self._fold(event, at, told_at)
        self._fold_metrics(metrics)
        self._settle_progress()

    def _fold_rows(self, rows: Rows) -> None:
        """Take in events of one shape, as if one by one. Of those of another shape some may have come in between."""
        name, at = _stage_of(rows.same), rows.columns["time"][-1]
        if self._told_at is None or at > self._told_at:
            self._seconds += at - (at if self._told_at is None else self._told_at)
            self._told_at = self._heard_at = at
        if not name:
            return
        self._stage = name
        self._stages.setdefault(name, StageSeen(name))
        if rows.same["kind"] == "stage_progress":
            self._fold_all_progress(name, rows)
            return
        columns, training = columns_of_rows(rows), self._curves_of(name).training
        first = 0
        if columns is not None and training.takes(columns.steps, columns.tokens, columns.seconds):
            training.extend(columns.steps, columns.tokens, columns.seconds, columns.metrics)
            first = len(rows) - 1  # the newest also says how things stand now
        for event in rows.events(first):
            self._fold_metric(name, event)

    def _hear(self, event: Event) -> float:
        """When an event was told; the time since the one before counts as work."""
        at, told_at = event.get("time"), self._told_at
        if not isinstance(at, float | int):
            at = told_at or 0.0
        if told_at is not None and at > told_at and event["kind"] != "run_started":
            self._seconds += at - told_at
        if event.get("stage") != self._stage and (name := _stage_of(event)):
            self._stage = name
        return at

    def _fold(self, event: Event, at: float, told_at: float | None) -> None:
        """Take one event in; `told_at`: when the one before it was told.

        Unknown kinds and fields of the wrong type are passed over.
        """
        kind, name = event["kind"], _stage_of(event)
        stage = self._stages.setdefault(name, StageSeen(name)) if name else None
        match kind, stage:
            case "run_started", _:
                self._leave_stage(told_at)  # what a killed worker was at ends with its last words
                if told_at is not None and self._stage in self._curves:
                    self._curves[self._stage].mark("resume")
                self._ended_at = None
            case "run_finished", _:
                self._leave_stage(at)
                self._ended_at = at
                state = one_line(str(event.get("state") or "ended"), 20)
                self._notes.append(Note(at, state, f"after {words.span(self._seconds)}"))
            case "stage_started", StageSeen():
                self._started[name] = at
                self._stages[name] = replace(stage, state="running", seconds=None, summary={})
            case "stage_finished", StageSeen():
                self._fold_finished(stage, event, at)
            case "sample", StageSeen():
                samples = self._samples.setdefault(name, [])
                samples.append(_sample(event))
                del samples[:-_SAMPLES_KEPT]
            case "checkpoint", _:
                step = event.get("step")
                self._checkpoint_at, self._checkpoint_step = at, step if isinstance(step, int) else None
                if name and isinstance(step, int):
                    self._curves_of(name).mark("checkpoint", step)
            case (("note" | "warning" | "error"), _):
                self._fold_note(name, event, at)

    def _fold_note(self, name: str, event: Event, at: float) -> None:
        text = one_line(str(event.get("text") or event.get("message") or ""), 400)
        self._notes.append(Note(at, event["kind"], text))
        asked, answered = event.get("request"), event.get("answers")
        if isinstance(asked, str):
            self._answers[asked] = Answer(at, "taken", text)
        if isinstance(answered, str):
            self._answers[answered] = Answer(at, "refused" if event.get("refused") else "done", text)
        if event["kind"] == "warning" and ": went back from step" in text and name in self._curves:
            self._curves[name].mark("rollback")

    def _fold_progress(self, event: Event, at: float) -> None:
        name, done = _stage_of(event), number(event.get("done"))
        if done is None or not name:
            return
        pace = self._paces.setdefault(name, deque(maxlen=_RATE_WINDOW))
        if pace and done < pace[-1][1]:
            pace.clear()
        if pace:
            self._gaps.setdefault(name, deque(maxlen=_GAPS_KEPT)).append(at - pace[-1][0])
        pace.append((at, done))
        self._progress[name] = event

    def _fold_all_progress(self, name: str, rows: Rows) -> None:
        """As `_fold_progress` would one by one; what does not only go on goes that way."""
        times, done = rows.columns["time"], rows.columns.get("done", array("d"))
        pace = self._paces.setdefault(name, deque(maxlen=_RATE_WINDOW))
        if not done or (pace and done[0] < pace[-1][1]) or not all(map(operator.le, done, done[1:])):
            for event in rows.events():
                self._fold_progress(event, event["time"])
        else:
            gaps = self._gaps.setdefault(name, deque(maxlen=_GAPS_KEPT))
            if pace:
                gaps.append(times[0] - pace[-1][0])
            gaps.extend(map(operator.sub, times[1:], times))
            pace.extend(zip(times, map(float, done), strict=True))
            self._progress[name] = next(rows.events(len(rows) - 1))
        self._settle_progress()

    def _settle_progress(self) -> None:
        """What the newest progress of each stage comes to."""
        for name, event in self._progress.items():
            pace, total = self._paces[name], number(event.get("total"))
            self._stages[name] = replace(
                self._stages.setdefault(name, StageSeen(name)),
                state="running",
                done=pace[-1][1],
                total=total,
                unit=one_line(str(event.get("unit") or ""), 20),
                seconds_left=seconds_left(pace, total),
                left_within=uncertainty(pace, total),
            )
        self._progress.clear()

    def _fold_finished(self, stage: StageSeen, event: Event, at: float) -> None:
        """What a run made itself stays made by it: a worker that goes on finds it and calls it reused."""
        seconds, summary = number(event.get("seconds")), event.get("summary")
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

    def _curves_of(self, name: str) -> StageCurves:
        if name not in self._curves:
            self._curves[name] = StageCurves(flops_per_token=self._flops_per_token)
        return self._curves[name]

    def _fold_metrics(self, events: list[Event]) -> None:
        for rows in alike(events):
            name = _stage_of(rows[0])
            if not name:
                continue
            self._stages.setdefault(name, StageSeen(name))
            columns, training = columns_of(rows[:-1]), self._curves_of(name).training
            if columns is not None and training.takes(columns.steps, columns.tokens, columns.seconds):
                training.extend(columns.steps, columns.tokens, columns.seconds, columns.metrics)
                rows = rows[-1:]  # the newest also says how things stand now
            for event in rows:
                self._fold_metric(name, event)

    def _fold_metric(self, name: str, event: Event) -> None:
        figures = self._figures.setdefault(name, {})
        values: dict[str, float] = {}
        for key, value in event.items():
            if key in NO_METRIC:
                continue
            if type(value) is float or type(value) is int:
                values[key] = figures[key] = value
            elif key in MUST_BE_NUMBERS or value in _WRITTEN_AS_WORDS:
                values[key] = NAN
                figures[key] = "nan"
        step = event.get("step")
        if type(step) is not int:
            return
        figures["step"] = step
        curves = self._curves_of(name)
        if "loss" in event or "tokens_per_second" in event:
            tokens, seconds = event.get("tokens"), event.get("seconds")
            if type(tokens) is int:
                figures["tokens"] = tokens
            curves.training.add(
                step,
                tokens if type(tokens) is int else 0.0,
                seconds if type(seconds) is float or type(seconds) is int else 0.0,
                values,
            )
        elif values:
            curves.measured.add(step, *curves.training.at_step(step), values)

    def _facts(self) -> dict[str, Any]:
        """All but the curves, as plain data."""
        return {
            "stages": [asdict(stage) for stage in self._stages.values()],
            "figures": self._figures,
            "samples": {name: [asdict(one) for one in samples] for name, samples in self._samples.items()},
            "started": self._started,
            "spent": self._spent,
            "made": sorted(self._made),
            "gaps": {name: list(gaps) for name, gaps in self._gaps.items()},
            "notes": [asdict(note) for note in self._notes],
            "answers": {key: asdict(answer) for key, answer in self._answers.items()},
            "plain": {key: getattr(self, f"_{key}") for key in _PLAIN},
        }

    def _restore(self, kept: feed_cache.Kept) -> None:
        facts = kept.facts
        self._stages |= {each["name"]: StageSeen(**each) for each in facts["stages"]}
        self._figures = facts["figures"]
        self._samples = {name: [Sample(**one) for one in each] for name, each in facts["samples"].items()}
        self._started, self._spent, self._made = facts["started"], facts["spent"], set(facts["made"])
        self._gaps = {name: deque(gaps, maxlen=_GAPS_KEPT) for name, gaps in facts["gaps"].items()}
        self._notes.extend(Note(**note) for note in facts["notes"])
        self._answers = {key: Answer(**answer) for key, answer in facts["answers"].items()}
        for key in _PLAIN:
            setattr(self, f"_{key}", facts["plain"][key])
        self._curves = kept.curves
        self._kept_at = kept.offset
        self._reader.skip_to(kept.offset)


def _with_state_of_run(stage: StageSeen, run_state: str) -> StageSeen:
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
        tail = tail.partition(b"\n")[2] or tail  # one line longer than all that is shown
    return safe_text(tail.decode(errors="replace"))


def _free_bytes(run: Run) -> float | None:
    try:
        return free_bytes(run.path)
    except OSError:
        return None


def _stage_of(event: Mapping[str, Any]) -> str:
    name = event.get("stage")
    return _short(str(name)) if name else ""


@functools.lru_cache(maxsize=64)  # the same few names a million times
def _short(name: str) -> str:
    return one_line(name, 20)


def _sample(event: Event) -> Sample:
    step = event.get("step")
    return Sample(
        step=step if isinstance(step, int) else None,
        prompt=one_line(str(event.get("prompt") or ""), 400),
        text=one_line(str(event.get("text") or ""), 1000),
    )
