"""One run in detail, from its folder: the facts that `show` prints and `show --json` promises."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from workbench.cli.predictions import last_told, measured_of
from workbench.events import Event
from workbench.history import read_outline
from workbench.launcher import frozen_plan
from workbench.plan import StagePlan, summary_of
from workbench.runs import LIVE, Run


def run_facts(run: Run) -> dict[str, Any]:
    """Name, state, times and every stage with its state, whether it was reused, its artifact and its figures.

    Seconds are those that workers spent; the time between a crash and the next worker is not counted.
    """
    plan, state = frozen_plan(run), run.state()
    events = list(read_outline(run.events_path))
    history, predicted = History.of(events), run.plan().get("predicted", {})

    def stage_facts(stage: StagePlan) -> dict[str, Any]:
        seconds = history.spent.get(stage.name)
        return {
            "name": stage.name,
            "state": _stage_state(stage.name, state, history, finished=plan.store.exists(stage.makes)),
            "reused": history.reused.get(stage.name, False),
            "seconds": None if seconds is None else round(seconds, 3),
            "artifact": str(stage.makes),
            "summary": summary_of(plan, stage),
            "environment": last_told(events, stage.name, "environment"),
            "predicted": predicted.get(stage.name),
            "measured": measured_of(events, stage.name, seconds=seconds),
        }

    return {
        "name": run.name,
        "state": state,
        "recipe": plan.recipe,
        "home": str(run.home),
        "started_at": history.started_at,
        "seconds": round(history.seconds, 3),
        "error": run.status().get("error"),
        "stages": [stage_facts(stage) for stage in plan.stages],
    }


def _stage_state(name: str, run_state: str, history: History, *, finished: bool) -> str:
    if finished:
        return "finished"
    if name == history.current and run_state in LIVE:
        return "running"
    return run_state if name in history.started and run_state not in LIVE else "pending"


@dataclasses.dataclass
class History:
    """What a run's events say about time: when it began, and what its workers spent, by stage and in all."""

    started_at: float | None = None
    seconds: float = 0.0
    current: str | None = None
    started: dict[str, float] = dataclasses.field(default_factory=dict)
    spent: dict[str, float] = dataclasses.field(default_factory=dict)
    reused: dict[str, bool] = dataclasses.field(default_factory=dict)

    @staticmethod
    def of(events: Iterable[Event]) -> History:
        """The history that `events`, oldest first, tell."""
        history, last = History(), 0.0
        for event in events:
            if event["kind"] == "run_started":
                history._leave_stage(last)  # what a killed worker was at ends with its last words
            elif last:
                history.seconds += max(0.0, event["time"] - last)
            last = event["time"]
            history._take(event)
        return history

    def _take(self, event: Event) -> None:
        if self.started_at is None:
            self.started_at = event["time"]
        if event["kind"] == "stage_started":
            self.current = str(event["stage"])
            self.started[self.current] = event["time"]
        elif event["kind"] == "stage_finished":
            name, self.current = str(event["stage"]), None
            reused = bool(event.get("reused"))
            # A stage that was cut off and taken up again is the sum of what each worker spent on it.
            self.spent[name] = self.spent.get(name, 0.0) + (
                0.0 if reused else float(event.get("seconds", 0.0))
            )
            self.reused[name] = self.reused.get(name, True) and reused
        elif event["kind"] == "run_finished":
            self._leave_stage(event["time"])

    def _leave_stage(self, at: float) -> None:
        if self.current is not None:
            spent = max(0.0, at - self.started[self.current])
            self.spent[self.current] = self.spent.get(self.current, 0.0) + spent
            self.current = None
