"""A run as it is now: the frozen records that a feed hands out and screens show. Text in them is clean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tui.chart.track import StageCurves
from tui.gpus import GpusSeen
from workbench.runs import LIVE


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
    planned_seconds: float | None = None
    """What the plan foresaw; None where it foresaw nothing, as of a stage that was made before."""
    summary: Mapping[str, Any] = field(default_factory=dict)

    def in_run(self, run_state: str) -> StageSeen:
        """A stage that was running when its run ended shares the run's fate."""
        if self.state == "running" and run_state in ("paused", "failed", "stopped", "crashed"):
            return replace(self, state=run_state, seconds_left=None)
        return self


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
    """What the model wrote at some step; `number`: so many it had written after this prompt before."""

    step: int | None
    prompt: str
    text: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class RunSeen:
    """A run as it is now. `figures` holds the newest of each stage by name, `samples` those of each of its prompts.

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
    samples: Mapping[str, tuple[tuple[Sample, ...], ...]] = field(default_factory=dict)
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
