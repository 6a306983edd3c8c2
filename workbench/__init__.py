"""Workbench: build a language model from scratch on one machine, see every step, never lose work.

The front desk: every public name, resolved when first used, so that `import workbench` costs nothing and
paper (recipes, plans, runs) never pulls in torch.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.version import VERSION

if TYPE_CHECKING:
    from workbench.errors import BadInput, WorkbenchError
    from workbench.launcher import launch
    from workbench.model import Decoder
    from workbench.plan import Plan, make_plan
    from workbench.recipe import Recipe
    from workbench.recipe_file import LoadedRecipe, load_recipe
    from workbench.runs import Run, list_runs, open_run
    from workbench.tokenizer import Tokenizer
    from workbench.worker import work

__version__ = VERSION
_HOMES = {
    "BadInput": "errors",
    "LoadedRecipe": "recipe_file",
    "Plan": "plan",
    "Recipe": "recipe",
    "Run": "runs",
    "WorkbenchError": "errors",
    "launch": "launcher",
    "list_runs": "runs",
    "load_recipe": "recipe_file",
    "make_plan": "plan",
    "open_run": "runs",
    "work": "worker",
}

__all__ = [
    "BadInput",
    "LoadedRecipe",
    "Plan",
    "Recipe",
    "Run",
    "WorkbenchError",
    "launch",
    "list_runs",
    "load",
    "load_recipe",
    "make_plan",
    "open_run",
    "work",
]


def load(reference: str, *, home: Path | None = None, device: str = "cpu") -> tuple[Decoder, Tokenizer]:
    """The model and tokenizer that `RUN`, `RUN/STAGE`, `RUN/STAGE@STEP|best|latest` or a folder means.

    `model(ids_BT)` gives logits_BTV in float32. Raises NotFound, or Damaged when a file is not what its manifest says.
    """
    from workbench.model import load_model
    from workbench.references import open_checkpoint
    from workbench.tokenizer import Tokenizer

    def read(folder: Path) -> tuple[Decoder, Tokenizer]:
        return load_model(folder, device=device), Tokenizer.load(folder)

    return open_checkpoint(reference, read, home=home)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"workbench.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
