"""What the events of a run come to: taken in one by one or in rows, whatever they say.

Everything a run says is text of unknown origin and is cleaned here. Knows no file, no clock and no widget.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from tui import words
from tui.chart.track import DECAY, StageCurves
from tui.metric_rows import alike, number
from tui.pace import Pace
from tui.rate_phases import decay_begun, planned_phases
from tui.run_seen import Answer, Note, Sample, StageSeen
from tui.samples import Samples
from tui.stage_metrics import StageMetrics
from workbench.event_columns import Piece, Rows
from workbench.events import Event
from workbench.safe_text import one_line

NOTES_KEPT = 200
_PLAIN = ("stage", "phased", "seconds", "told_at", "ended_at", "checkpoint_at", "checkpoint_step", "events")


class Fold:
    """A run as far as its events were taken in.

    stages: those that are planned, in order. settings: of each, plain values by key. flops_per_token: of its model,
    for the curves.
    """

    def __init__(
        self,
        stages: Iterable[str] = (),
        *,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        flops_per_token: float = 0.0,
    ) -> None:
        self.stages = {name: StageSeen(name) for name in stages}
        self.metrics: dict[str, StageMetrics] = {}
        self.paces: dict[str, Pace] = {}
        self.samples: dict[str, Samples] = {}
        self.spent: dict[str, float] = {}
        """Seconds of each stage that ended, by all workers."""
        self.made: set[str] = set()
        """The stages that this run made itself."""
        self.notes: deque[Note] = deque(maxlen=NOTES_KEPT)
        self.answers: dict[str, Answer] = {}
        self.stage = ""
        self.seconds = 0.0
        self.told_at: float | None = None
        self.ended_at: float | None = None
        self.checkpoint_at: float | None = None
        self.checkpoint_step: int | None = None
        self.events = 0
        """How many were taken in."""
        self.phased: list[str] = []
        """The stages whose curves have the planned phases of the learning rate among their marks."""
        self._settings = settings or {}
        self._flops_per_token = flops_per_token
        self._started: dict[str, float] = {}
        self._unsettled: dict[str, Pace] = {}  # of stages whose newest progress is not in `stages` yet

    def take(self, piece: Piece) -> None:
        """Take events in, each behind those that were taken before."""
        self._take_rows(piece) if isinstance(piece, Rows) else self._take_all(piece)
        self._settle_progress()
        self.events += len(piece)

    def facts(self) -> dict[str, Any]:
        """All but the curves, as plain data."""
        return {
            "stages": [asdict(stage) for stage in self.stages.values()],
            "figures": {name: metrics.figures for name, metrics in self.metrics.items()},
            "samples": {
                name: [[asdict(one) for one in each] for each in samples.by_prompt()]
                for name, samples in self.samples.items()
            },
            "started": self._started,
            "spent": self.spent,
            "made": sorted(self.made),
            "gaps": {name: list(pace.gaps) for name, pace in self.paces.items()},
            "notes": [asdict(note) for note in self.notes],
            "answers": {key: asdict(answer) for key, answer in self.answers.items()},
            "plain": {name: getattr(self, name) for name in _PLAIN},
        }

    def restore(self, facts: Mapping[str, Any], curves: Mapping[str, StageCurves]) -> None:
        """Be as the fold was that told these facts and had these curves."""
        self.stages |= {each["name"]: StageSeen(**each) for each in facts["stages"]}
        self.metrics = {name: StageMetrics(one, facts["figures"].get(name)) for name, one in curves.items()}
        self.samples = {
            name: Samples([Sample(**one) for one in each] for each in samples)
            for name, samples in facts["samples"].items()
        }
        self._started, self.spent, self.made = facts["started"], facts["spent"], set(facts["made"])
        self.paces = {name: Pace(gaps) for name, gaps in facts["gaps"].items()}
        self.notes.extend(Note(**note) for note in facts["notes"])
        self.answers = {key: Answer(**answer) for key, answer in facts["answers"].items()}
        for name in _PLAIN:
            setattr(self, name, facts["plain"][name])

    def _take_all(self, events: list[Event]) -> None:
        """Metrics and progress, which are nearly all of them, wait for one another in between."""
        metrics: list[Event] = []
        for event in events:
            at, told_at = self._hear(event), self.told_at
            self.told_at = at
            match event["kind"]:
                case "metric":
                    metrics.append(event)
                case "stage_progress":
                    if (name := stage_of(event)) and (pace := self._pace_of(name)).take(event, at):
                        self._unsettled[name] = pace
                case _:
                    self._take_metrics(metrics)
                    metrics = []
                    self._settle_progress()
                    self._take(event, at, told_at)
        self._take_metrics(metrics)

    def _take_rows(self, rows: Rows) -> None:
        """Take in events of one shape, as if one by one. Of those of another shape some may have come in between."""
        name, at = stage_of(rows.same), rows.columns["time"][-1]
        if self.told_at is None or at > self.told_at:
            self.seconds += at - (at if self.told_at is None else self.told_at)
            self.told_at = at
        if not name:
            return
        self.stage = name
        self.stages.setdefault(name, StageSeen(name))
        if rows.same["kind"] != "stage_progress":
            self._metrics_of(name).take_rows(rows)
        elif (pace := self._pace_of(name)).take_rows(rows):
            self._unsettled[name] = pace

    def _hear(self, event: Event) -> float:
        """When an event was told; the time since the one before counts as work."""
        at, told_at = event.get("time"), self.told_at
        if not isinstance(at, float | int):
            at = told_at or 0.0
        if told_at is not None and at > told_at and event["kind"] != "run_started":
            self.seconds += at - told_at
        if event.get("stage") != self.stage and (name := stage_of(event)):
            self.stage = name
        return at

    def _take(self, event: Event, at: float, told_at: float | None) -> None:
        """Take one event in; `told_at`: when the one before it was told.

        Unknown kinds and fields of the wrong type are passed over.
        """
        kind, name = event["kind"], stage_of(event)
        stage = self.stages.setdefault(name, StageSeen(name)) if name else None
        match kind, stage:
            case "run_started", _:
                self._leave_stage(told_at)  # what a killed worker was at ends with its last words
                if told_at is not None and self.stage in self.metrics:
                    self.metrics[self.stage].curves.mark("resume")
                self.ended_at = None
            case "run_finished", _:
                self._leave_stage(at)
                self.ended_at = at
                state = one_line(str(event.get("state") or "ended"), 20)
                self.notes.append(Note(at, state, f"after {words.span(self.seconds)}"))
            case "stage_started", StageSeen():
                self._started[name] = at
                self.stages[name] = replace(stage, state="running", seconds=None, summary={})
            case "stage_finished", StageSeen():
                self._take_finished(stage, event, at)
            case "sample", StageSeen():
                self.samples.setdefault(name, Samples()).take(event)
            case "checkpoint", _:
                step = event.get("step")
                self.checkpoint_at, self.checkpoint_step = at, step if isinstance(step, int) else None
                if name and isinstance(step, int):
                    self._metrics_of(name).curves.mark("checkpoint", step)
            case (("note" | "warning" | "error"), _):
                self._take_note(name, event, at)

    def _take_note(self, name: str, event: Event, at: float) -> None:
        text = one_line(str(event.get("text") or event.get("message") or ""), 400)
        self.notes.append(Note(at, event["kind"], text))
        asked, answered = event.get("request"), event.get("answers")
        if isinstance(asked, str):
            self.answers[asked] = Answer(at, "taken", text)
        if isinstance(answered, str):
            self.answers[answered] = Answer(at, "refused" if event.get("refused") else "done", text)
        if event["kind"] == "warning" and ": went back from step" in text and name in self.metrics:
            self.metrics[name].curves.mark("rollback")
        if name and event["kind"] == "note" and (step := decay_begun(text)) is not None:
            curves = self._metrics_of(name).curves
            curves.marks = [mark for mark in curves.marks if mark.kind != DECAY]
            curves.mark(DECAY, step)

    def _take_finished(self, stage: StageSeen, event: Event, at: float) -> None:
        """What a run made itself stays made by it: a worker that goes on finds it and calls it reused."""
        seconds, summary = number(event.get("seconds")), event.get("summary")
        began = self._started.pop(stage.name, at)
        if not event.get("reused"):
            self.made.add(stage.name)
            self._spend(stage.name, at - began if seconds is None else seconds)
        self.stages[stage.name] = replace(
            stage,
            state="finished" if stage.name in self.made else "reused",
            seconds=self.spent.get(stage.name, 0.0),
            seconds_left=None,
            summary=summary if isinstance(summary, dict) else {},
        )

    def _leave_stage(self, at: float | None) -> None:
        """A stage that is cut off keeps its time: taken up again, it took what all its workers spent on it."""
        while at is not None and self._started:
            name, began = self._started.popitem()
            self._spend(name, at - began)

    def _spend(self, name: str, seconds: float) -> None:
        self.spent[name] = self.spent.get(name, 0.0) + max(seconds, 0.0)

    def _take_metrics(self, events: list[Event]) -> None:
        for rows in alike(events):
            if name := stage_of(rows[0]):
                self.stages.setdefault(name, StageSeen(name))
                self._metrics_of(name).take(rows)

    def _settle_progress(self) -> None:
        """What the newest progress of each stage comes to."""
        for name, pace in self._unsettled.items():
            self.stages[name] = replace(
                self.stages.get(name, StageSeen(name)),
                state="running",
                done=pace.done,
                total=pace.total,
                unit=one_line(str(pace.newest.get("unit") or ""), 20),
                seconds_left=pace.seconds_left,
                left_within=pace.left_within,
            )
            self._mark_phases(name, pace)
        self._unsettled.clear()

    def _mark_phases(self, name: str, pace: Pace) -> None:
        """Mark where the rate is planned to turn, once it is known over how many steps."""
        settings = self._settings.get(name, {})
        if name in self.phased or "schedule" not in settings or pace.first_steps is None:
            return
        self.phased.append(name)
        marks = self._metrics_of(name).curves.marks
        told = {mark.kind for mark in marks}
        marks += [mark for mark in planned_phases(settings, pace.first_steps) if mark.kind not in told]

    def _metrics_of(self, name: str) -> StageMetrics:
        if name not in self.metrics:
            self.metrics[name] = StageMetrics(StageCurves(flops_per_token=self._flops_per_token))
        return self.metrics[name]

    def _pace_of(self, name: str) -> Pace:
        return self.paces.setdefault(name, Pace())


def stage_of(event: Mapping[str, Any]) -> str:
    """The name of the stage that an event is of, cleaned; empty where it is of none."""
    name = event.get("stage")
    return _short(str(name)) if name else ""


@functools.lru_cache(maxsize=64)  # the same few names a million times
def _short(name: str) -> str:
    return one_line(name, 20)
