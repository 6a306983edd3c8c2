"""Start what a screen shows: as `workbench run --detach` does, and refused where that refuses. Knows no widget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.recipe_file import LoadedRecipe


def start(loaded: LoadedRecipe, *, home: Path) -> str:
    """Put a worker on the recipe's run; gives its name.

    Raises what planning and launching raise, and BadInput for what could only fail (workbench.prechecks).
    """
    from workbench.launcher import launch
    from workbench.plan import make_plan
    from workbench.prechecks import precheck
    from workbench.runs import Run

    plan = make_plan(loaded, home=home)
    if not Run(plan.home / "runs" / plan.name).is_alive():  # a live run is only followed
        precheck(plan, loaded)
    return launch(plan).name
