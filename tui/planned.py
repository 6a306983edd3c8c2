"""What the plan of a run says of it: its stages, and what it foresaw. A plan that cannot be read says nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tui.metric_rows import number
from workbench.runs import Run
from workbench.safe_text import one_line


def predicted(run: Run) -> dict[str, dict[str, Any]]:
    """What the plan foresaw, by stage; nothing where it cannot be read or says nothing."""
    try:
        told = run.plan().get("predicted")
    except Exception:  # as below
        return {}
    stages = told.items() if isinstance(told, dict) else ()
    return {one_line(str(name), 20): each for name, each in stages if isinstance(each, dict)}


def flops_per_token(foreseen: Mapping[str, Mapping[str, Any]]) -> float:
    """Six times the parameters that the plan foresaw (Kaplan 2020, section 2.1); zero where it says nothing."""
    return 6 * max((number(each.get("parameters")) or 0.0 for each in foreseen.values()), default=0.0)


def planned_settings(run: Run) -> dict[str, dict[str, Any]]:
    """The settings of each stage of its plan, as plain values by key."""
    try:
        return {
            one_line(stage["name"], 20): {
                key: each["value"] for key, each in stage.get("settings", {}).items()
            }
            for stage in run.plan()["stages"]
        }
    except Exception:  # as below
        return {}


def planned_stages(run: Run) -> Iterator[str]:
    """The names of the stages of its plan, in order."""
    try:
        stages = run.plan().get("stages", [])
    except Exception:  # a plan that cannot be read shows as a run without stages
        return
    for stage in stages if isinstance(stages, list) else ():
        if isinstance(stage, dict) and isinstance(stage.get("name"), str):
            yield one_line(stage["name"], 20)
