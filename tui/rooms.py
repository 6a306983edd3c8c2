"""The rooms that open from the list of runs and from a run by one key, and the commands that show the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.binding import BindingType
from textual.screen import Screen

from tui import commands
from tui.keys import bind
from workbench.errors import WorkbenchError
from workbench.runs import open_run

OF_A_RUN = ("corpus", "tokens", "scores")
"""Rooms that show what a run has made."""
FIRST_RECIPE = "quickstart"


ROOMS = ("recipe", "corpus", "tokens", "scores", "doctor")


def room_bindings(*names: str, show: bool) -> list[BindingType]:
    """The keys of the rooms `names`, or of all; the screen that has them has `action_room`."""
    return [bind(name, f"room('{name}')", show=show) for name in names or ROOMS]


def room(name: str, home: Path, run: str | None) -> Screen[Any]:
    """The screen of a room; `run` is the folder's name of the run it is about. Imports it first now."""
    if name == "recipe":
        from tui.screens.recipe import RecipeScreen

        return RecipeScreen(home, FIRST_RECIPE if run is None else recipe_of(home, run))
    if name == "doctor":
        from tui.screens.doctor import DoctorScreen

        return DoctorScreen(home)
    assert run is not None
    if name == "corpus":
        from tui.screens.corpus import CorpusScreen

        return CorpusScreen(home, run)
    if name == "tokens":
        from tui.screens.tokens import TokensScreen

        return TokensScreen(home, run)
    from tui.screens.scores import ScoresScreen

    return ScoresScreen(home, run)


def room_command(name: str, home: Path, run: str | None) -> str:
    """The command that shows what a room or another screen about a run shows; empty where it needs a run."""
    if name == "recipe":
        recipe = FIRST_RECIPE if run is None else recipe_of(home, run)
        return commands.workbench(home, "plan", recipe_name(recipe))
    if name == "doctor":
        return commands.workbench(home, "doctor", "--quick")
    if run is None:
        return ""
    if name == "corpus":
        return commands.workbench(home, "inspect", f"{run}/corpus")
    if name == "tokens":
        return commands.workbench(home, "tokenize", run, "TEXT")
    if name == "scores":
        return commands.workbench(home, "inspect", f"{run}/eval")
    return commands.workbench(home, {"run": "follow"}.get(name, name), run)


def recipe_name(recipe: str | Path) -> str:
    """A recipe as a shell here would name it: a shipped one by its name."""
    from workbench.recipe_file import shipped_folder

    path = Path(recipe)
    if path.parent == shipped_folder():
        return path.stem
    return path.name if path.parent == Path.cwd() else str(recipe)


def recipe_of(home: Path, run: str) -> str | Path:
    """The recipe a run was started from: its file where it still says the same, else the copy in the run folder."""
    try:
        folder = open_run(home, run)
        plan = folder.plan()
        copy = folder.path / "recipe.toml"
        original = Path(str(plan["recipe_folder"])) / f"{plan['recipe']}.toml"
        same = original.is_file() and original.read_bytes() == copy.read_bytes()
    except (WorkbenchError, OSError, KeyError, ValueError):
        return FIRST_RECIPE
    return original if same else copy
