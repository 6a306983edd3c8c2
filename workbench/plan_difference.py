"""What differs between two plans, setting by setting: for whoever gives a run's name to another recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from workbench.plan import Plan
from workbench.recipe_fields import defaults_of_later_keys
from workbench.recipe_vocabulary import tables


def difference(old: Plan, new: Plan) -> list[str]:
    """What differs between two plans, one `table.key: old -> new` a setting."""
    before, after = (dict(_all_settings(plan)) for plan in (old, new))
    lines = []
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            lines.append(f"{key}: {_shown(before.get(key))} -> {_shown(after.get(key))}")
    if not lines and [s.by_recipe for s in old.stages] != [s.by_recipe for s in new.stages]:
        lines.append("the files of a source, or the version of Python or Workbench, changed")
    return lines


def _all_settings(plan: Plan) -> Iterator[tuple[str, Any]]:
    for stage in plan.stages:
        for key, value in defaults_of_later_keys(tables()[stage.name]).items():
            yield f"{stage.name}.{key}", value  # in a plan from before there was that key
        for table, settings in ((stage.name, stage.settings), ("model", stage.model or {})):
            for key, setting in settings.items():
                yield from ((name, each.value) for name, each in setting.flat(f"{table}.{key}"))


def _shown(value: Any) -> str:
    return "(absent)" if value is None else json.dumps(value)
