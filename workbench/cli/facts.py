"""One run in detail, from its folder: the facts that `show` prints and `show --json` promises."""

from __future__ import annotations

from typing import Any

from workbench.launch import frozen_plan
from workbench.plan import summary_of
from workbench.runs import LIVE, Run


def run_facts(run: Run) -> dict[str, Any]:
    """Name, state, times and every stage with its state, whether it was reused, its artifact and its figures."""
    plan, state = frozen_plan(run), run.state()
    started: dict[str, float] = {}
    spent: dict[str, float] = {}
    reused: dict[str, bool] = {}
    first, last, current = None, None, None
    for event in run.events():
        if first is None or (event["kind"] == "run_started" and first is None):
            first = event["time"]
        last = event["time"]
        if event["kind"] == "stage_started":
            current = event["stage"]
            started[current] = event["time"]
        elif event["kind"] == "stage_finished":
            name, current = event["stage"], None
            # A stage cut off and resumed is the sum of what each worker spent on it.
            spent[name] = spent.get(name, 0.0) + (0.0 if event.get("reused") else float(event.get("seconds", 0.0)))
            reused[name] = reused.get(name, True) and bool(event.get("reused"))
        elif event["kind"] in ("run_finished", "run_started") and current in started:
            spent[current] = spent.get(current, 0.0) + max(0.0, event["time"] - started[current])
            current = None
    stages = []
    for stage in plan.stages:
        finished = plan.store.exists(stage.makes)
        if finished:
            stage_state = "finished"
        elif stage.name == current and state in LIVE:
            stage_state = "running"
        elif stage.name in started:
            stage_state = state if state not in LIVE else "pending"
        else:
            stage_state = "pending"
        stages.append(
            {
                "name": stage.name,
                "state": stage_state,
                "reused": reused.get(stage.name, False),
                "seconds": round(spent[stage.name], 3) if stage.name in spent else None,
                "artifact": str(stage.makes),
                "summary": summary_of(plan, stage),
            }
        )
    return {
        "name": run.name,
        "state": state,
        "recipe": plan.recipe,
        "home": str(run.home),
        "started_at": first,
        "seconds": round(last - first, 3) if first is not None and last is not None else 0.0,
        "error": run.status().get("error"),
        "stages": stages,
    }
