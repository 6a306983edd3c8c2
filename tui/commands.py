"""What is done here, as the command that does the same in a shell: shown beside every action, and copied by `y`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from workbench.runs import STOP_NOW, find_home
from workbench.safe_text import one_line


def workbench(home: Path, *arguments: str) -> str:
    """A whole command line; `--home` only where a shell would look elsewhere."""
    words = ["workbench", *arguments]
    if home != find_home():
        words += ["--home", str(home)]
    return shlex.join(words)


def shown_command(command: str) -> str:
    """A command as a dialog shows it: on one line, and harmless where the name of a run is not."""
    return f"$ {one_line(command, 400)}"


def steer(home: Path, run: str, request: str) -> str:
    """The verb of a request: `save`, `pause`, `resume`, `stop`, `stop now`, `tune KEY=VALUE`."""
    if request == STOP_NOW:
        return workbench(home, "stop", run, "--now")
    verb, _, argument = request.partition(" ")
    return workbench(home, verb, run, *([argument] if argument else []))


def plan_instead(run: str) -> str:
    """What only tells what the command `run` (`workbench run …`) would do."""
    return run.replace("workbench run", "workbench plan", 1).replace(" --detach", "")


def branch(home: Path, recipe: str, reference: str, changes: Sequence[str]) -> str:
    """A run that begins at a checkpoint, with some keys of the recipe changed."""
    options = [part for change in changes for part in ("--set", change)]
    return workbench(home, "run", recipe, "--from", reference, *options, "--detach")
