"""Start what a screen shows: as `workbench run --detach` does, and refused where that refuses. Knows no widget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.recipe_file import LoadedRecipe


def start(loaded: LoadedRecipe, *, home: Path) -> str:
    """Put a worker on the recipe's run; gives its name.

    Raises what planning and launching raise, and BadInput when the plan fits neither the memory nor the disk.
    """
    from workbench.budget import require_fit
    from workbench.launcher import launch
    from workbench.plan import make_plan

    plan = make_plan(loaded, home=home)
    require_fit(plan, loaded)
    return launch(plan).name
