"""What the app does, a shell can do: every screen and every action has a command, and the command line takes it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
from textual.screen import Screen

from tests.tui.test_keys import ours
from tui import commands
from tui.app import ACTS
from tui.run_seen import RunSeen
from tui.steering import actions_for
from workbench.cli import app

WITHOUT = {"HelpScreen", "PickScreen", "EnlargeScreen"}
"""Screens that are about the app itself."""
NOT_STEERING = {"ask": "save", "go_on": "resume", "steer": None, "start": "run", "write": "new"}
"""What acts and is no line of the list of actions: the command it has, None for the list itself."""


def taken(command: str) -> bool:
    """Whether the command line knows the verb and every option of `command`."""
    program, verb, *rest = shlex.split(command)
    known = typer.main.get_command(app)
    found = getattr(known, "commands", {}).get(verb)
    if program != "workbench" or found is None:
        return False
    options = {name for parameter in found.params for name in parameter.opts}
    return all(word in options for word in rest if word.startswith("--"))


def test_every_action_has_a_command_that_the_command_line_takes(tmp_path: Path) -> None:
    run = RunSeen("run", tmp_path / "runs" / "run", state="running", stage="pretrain")
    actions = {action.name: action.command for action in actions_for(run, tmp_path)}
    assert {name for name in ACTS if name not in NOT_STEERING} == set(actions) - {"save"}
    for command in actions.values():
        assert taken(command), command
    assert not taken("workbench fly run") and not taken("workbench stop run --gently")


@pytest.mark.parametrize("screen", [kind for kind in ours() if issubclass(kind, Screen)])
def test_every_screen_shows_what_a_command_does(screen: type[Screen[Any]]) -> None:
    if screen.__name__ not in WITHOUT:
        assert callable(getattr(screen, "command", None)), screen


def test_the_verbs_and_options_of_all_screens_are_those_of_the_command_line(tmp_path: Path) -> None:
    calls = [
        call
        for path in Path(commands.__file__).parent.rglob("*.py")
        for call in re.findall(r"commands\.workbench\(([^)]*)\)", path.read_text())
    ]
    assert len(calls) > 12
    for call in calls:
        words = re.findall(r'"(--[\w-]+|\w+)"', call)
        assert taken(commands.workbench(tmp_path, *words)), call
