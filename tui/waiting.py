"""What a room about a run still waits for, in a line: the stage that makes it, and what comes before that stage.

Nothing of it is a failure: in a newcomer's first minutes most of a run is not made yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tui import words
from tui.metric_rows import number
from workbench.errors import WorkbenchError
from workbench.runs import LIVE, open_run

MADE_BY: Mapping[str, tuple[str, ...]] = {
    "corpus": ("corpus",),
    "tokens": ("start", "tokenizer"),
    "scores": ("eval",),
    "chat": ("start", "pretrain", "sft", "dpo", "ppo"),
}
"""The stages of which any one makes what the room shows."""
SHOWS = {"corpus": "documents", "tokens": "tokenizer", "scores": "scorecard", "chat": "model to talk to"}


def room_waits(room: str, home: Path, run: str, *, seconds_left: float | None = None) -> str:
    """What `room` waits for in a run; empty when there is something to show, or nobody can tell: the room will say.

    seconds_left: of the stage at work, where it is known. Reads the plan and looks into the store.
    """
    from workbench.launcher import frozen_plan
    from workbench.references import steps_of

    try:
        folder = open_run(home, run)
        plan, status, state = frozen_plan(folder), folder.status(), folder.state()
    except (WorkbenchError, OSError, ValueError):
        return ""
    there = {
        stage.name
        for stage in plan.stages
        if plan.store.exists(stage.makes)
        or (room == "chat" and stage.makes.kind == "checkpoint" and steps_of(plan, stage))
    }
    progress = status.get("progress")
    done, total = (
        (progress.get("done"), progress.get("total")) if isinstance(progress, dict) else (None, None)
    )
    facts = (
        words.share(number(done), number(total)),
        seconds_left and f"about {words.span(seconds_left)} more",
    )
    how_far = ", ".join(fact for fact in facts if fact)
    names = [stage.name for stage in plan.stages]
    return waits_for(room, names, there, state=state, at=str(status.get("stage") or ""), how_far=how_far)


def waits_for(
    room: str, stages: Sequence[str], there: set[str], *, state: str, at: str, how_far: str = ""
) -> str:
    """What `room` waits for in a run of these stages, of which those `there` are made.

    The run is in `state` and has come to the stage `at`, of which `how_far` tells.
    """
    makers = [stage for stage in stages if stage in MADE_BY[room]]
    what = SHOWS[room]
    if there.intersection(makers):
        return ""
    if not makers:
        tables = " or ".join(f"[{name}]" for name in MADE_BY[room] if name != "start")
        return f"no {what}: the recipe has no {tables}"
    maker = makers[0]
    if state not in LIVE:
        return f"no {what} yet: {maker} makes it, and the run {_ended(state)} before; R in the run goes on"
    if at not in stages or stages.index(maker) < stages.index(at):
        return f"no {what} yet: {maker} makes it"
    working = f"{at} is at work{f' ({how_far})' if how_far else ''}"
    if at == maker:
        soon = "its first checkpoint comes within seconds" if room == "chat" else "then it is there"
        return f"no {what} yet: {working}; {soon}"
    between = stages[stages.index(at) + 1 : stages.index(maker) + 1]
    return f"no {what} yet: {working}, then {'comes' if len(between) == 1 else 'come'} {', '.join(between)}"


def _ended(state: str) -> str:
    return {"stopped": "was stopped", "finished": "ended"}.get(state, words.run_sign(state).word)
