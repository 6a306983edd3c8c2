"""What can be asked of a run now, and why not where it cannot; requests on their way; branches. Knows no widget.

Everything it does is the library's: a request is one file in the run folder, a branch is a plan that is launched.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tui import commands, words
from tui.launching import start
from tui.run_seen import RunSeen
from workbench.errors import BadInput
from workbench.runs import STOPS, Run, open_run
from workbench.safe_text import one_line

LABELS = {
    "save": "checkpoint",
    "stop": "stop",
    "pause": "pause",
    "resume": "going on",
    "tune decay=now": "decay now",
}
KNOBS = {
    "learning_rate": "peak rate; makes the result this run's",
    "eval_every_steps": "how often; makes the result this run's",
    "save_every_seconds": "between checkpoints; no other result",
    "sample_every_steps": "between samples; no other result",
    "sample_prompts": 'text, or ["A", "B"]; no other result',
}
"""What the keys that take a value are for; decay=now has a dialog of its own."""
STOPPED = ("stopped", "failed", "crashed")
NEEDS_TRAINING = "only a training stage can"
TRAINING = ("pretrain", "sft", "reward", "dpo", "ppo")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request on its way: what, its name in the worker's answers, and when."""

    request: str
    name: str
    at: float

    @property
    def label(self) -> str:
        """What a person calls it."""
        return LABELS.get(self.request) or one_line(self.request, 30)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be asked for: `why_not` is empty when it can be asked now."""

    name: str
    key: str
    label: str
    about: str
    command: str
    why_not: str = ""


def actions_for(seen: RunSeen, home: Path) -> list[Action]:
    """All there is, with the reason where something cannot be done now."""
    live, trains = seen.is_live, seen.stage in TRAINING
    not_live = "" if live else f"the run is {seen.state}"
    not_training = not_live or ("" if trains else f"{seen.stage or 'it'} does not train")
    paused = seen.state == "paused"
    can_resume = seen.state in STOPPED
    step = seen.checkpoint_step if seen.stage == "pretrain" else None
    reference = f"{seen.path.name}/pretrain@{step or 'STEP'}"

    def of(request: str) -> str:
        return commands.steer(home, seen.path.name, request)

    return [
        Action("save", "C", "Checkpoint now", "Everything is saved at the next step; nothing else changes.",
               of("save"), not_training),
        Action("pause", "P", "Go on" if paused else "Pause",
               "Takes up the next step." if paused else "Saves, keeps its memory and waits.",
               of("resume" if paused else "pause"), not_live),
        Action("stop", "S", "Stop…", "With a checkpoint, or without; R takes it up again.", of("stop"), not_live),
        Action("resume", "R", "Resume", "Puts a worker on the run again.", of("resume"),
               "" if can_resume else f"the run is {seen.state}"),
        Action("tune", "T", "Change a value…", "Peak learning rate; how often to evaluate, save, sample; prompts.",
               of("tune KEY=VALUE"), not_training),
        Action("decay", "D", "Start the decay now…",
               'For schedule = "wsd": the learning rate falls from the next step on, and the training ends with it.',
               of("tune decay=now"), not_training),
        Action("branch", "B", "Branch a new run…", "From a checkpoint of pretraining, with some keys changed.",
               commands.branch(home, "RECIPE", reference, ["TABLE.KEY=VALUE"]),
               "" if "pretrain" in seen.curves else "pretrain has not begun"),
    ]  # fmt: skip


def progress_of(asked: Asked, seen: RunSeen) -> tuple[str, str]:
    """How a request stands: `asked`, `taken`, `done` or `refused`, and what the worker said of it."""
    answer = seen.answers.get(asked.name)
    if answer is not None and answer.state != "taken":
        return answer.state, answer.text
    if asked.request in STOPS and not seen.is_live:
        return "done", f"the run is {seen.state}"
    if not seen.is_live:
        return "refused", f"the run is {seen.state}; nothing came of it"
    return ("taken", "the worker is at it") if answer is not None else ("asked", "waits for the next step")


def what_stopping_loses(seen: RunSeen, *, now: float) -> str:
    """What there is to go on from, and what each way of stopping comes to, for the dialog."""
    if seen.stage not in TRAINING:
        stage = seen.stage or "the stage"
        return f"{stage} keeps nothing half-done: R begins it again. What earlier stages made is kept."
    step, saved = (seen.figures.get(seen.stage) or {}).get("step"), _newest_checkpoint(seen)
    if saved is None or seen.checkpoint_at is None:
        kept, lost = f"{seen.stage} has no checkpoint yet.", "R begins it again."
    else:
        kept = f"Last checkpoint {words.age(now - seen.checkpoint_at)}"
        behind = step - saved if isinstance(step, int) else 0
        if behind > 0:
            track = seen.curves[seen.stage].training
            took = words.span(track.at_step(saved + behind)[1] - track.at_step(saved)[1])
            steps = f"{behind:,} step{'s' if behind != 1 else ''}"
            kept, lost = f"{kept}, {steps} back.", f"R takes {steps} again, {took}."
        else:
            kept, lost = f"{kept}, of this step.", "nothing is lost either."
    return f"{kept}\nCheckpoint, then stop: nothing is lost.\nStop now: {lost}"


def _newest_checkpoint(seen: RunSeen) -> int | None:
    """The step of the newest checkpoint of the stage at work; None where there is none."""
    curves = seen.curves.get(seen.stage)
    marks = curves.marks if curves is not None else []
    return next((mark.step for mark in reversed(marks) if mark.kind == "checkpoint"), None)


def check_tuning(home: Path, run_name: str, assignment: str) -> str:
    """The request for `KEY=VALUE`. Raises BadInput, in one line, when the stage at work cannot take it."""
    from workbench.launcher import frozen_plan
    from workbench.recipe import Training
    from workbench.tuning import parse_tuning

    run = open_run(home, run_name)
    stage = str(run.status().get("stage"))
    table = next((each.table() for each in frozen_plan(run).stages if each.name == stage), None)
    if not isinstance(table, Training):
        raise BadInput(f"{stage} does not train", fix="wait for a training stage")
    key, _, value = assignment.partition("=")
    parse_tuning(assignment, table)
    return f"tune {key.strip()}={value.strip()}"


def knobs(home: Path, run_name: str) -> list[tuple[str, str, str]]:
    """What may be tuned in the stage at work: key, the value that holds now, what it is for."""
    from workbench.launcher import frozen_plan
    from workbench.recipe import Training
    from workbench.tuning import tunable_keys

    run = open_run(home, run_name)
    stage = next((each for each in frozen_plan(run).stages if each.name == run.status().get("stage")), None)
    if stage is None or not isinstance(table := stage.table(), Training):
        return []
    tuned = run.status().get("tuned")
    now = tuned if isinstance(tuned, dict) else {}
    keys = [key for key in tunable_keys(table) if key in KNOBS]
    return [(key, _told(now.get(key, getattr(table, key))), KNOBS[key]) for key in keys]


def _told(value: object) -> str:
    """A value in a few cells."""
    if not isinstance(value, tuple | list):
        return str(value)
    return f"{len(value)} text{'s' if len(value) > 1 else ''}" if value else "held-out"


def branch_points(home: Path, run_name: str) -> list[int]:
    """The steps of pretraining that a new run can begin at, the newest first."""
    from workbench.launcher import frozen_plan
    from workbench.references import steps_of

    plan = frozen_plan(open_run(home, run_name))
    steps = [step for stage in plan.stages if stage.name == "pretrain" for step in steps_of(plan, stage)]
    return sorted(steps, reverse=True)


def branch_recipe(run: Run) -> tuple[str, list[str]]:
    """The recipe of a run to begin again with, and the changes with which it was started as KEY=VALUE."""
    from workbench.launcher import frozen_plan

    plan = frozen_plan(run)
    theirs = plan.recipe_folder / f"{plan.recipe}.toml"
    same = False
    if theirs.is_file():
        same = theirs.read_text(encoding="utf-8", errors="replace") == plan.recipe_text
    path = theirs if same else run.path / "recipe.toml"
    changes = [
        f"{stage.name}.{key}={setting.value}"
        for stage in plan.stages
        for key, setting in stage.settings.items()
        if setting.origin == "--set" and isinstance(setting.value, int | float | str)
    ]
    return str(path), changes


def branch_changes(text: str) -> list[str]:
    """`pretrain.tokens=4M pretrain.learning_rate=3e-4` in parts. Raises BadInput."""
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise BadInput(
            f"cannot be read: {error}", fix="write TABLE.KEY=VALUE, more of them with spaces"
        ) from None
    for part in parts:
        if "=" not in part or "." not in part.partition("=")[0]:
            raise BadInput(
                f"{part[:40]!r} is no change", fix="write TABLE.KEY=VALUE, for example pretrain.tokens=4M"
            )
    return parts


def start_branch(home: Path, run_name: str, step: int, changes: Sequence[str]) -> str:
    """Start it; gives its name. Raises WorkbenchError when the recipe, the plan or the launch refuses."""
    from workbench.recipe_file import load_recipe, parse_assignments
    from workbench.starting_point import start_from

    recipe, earlier = branch_recipe(open_run(home, run_name))
    checkpoint = start_from(f"{run_name}/pretrain@{step}", home=home)
    kept = [change for change in earlier if change.partition(".")[0] not in ("model", "tokenizer", "start")]
    loaded = load_recipe(recipe, parse_assignments([*kept, *changes]), start=checkpoint)
    return start(loaded, home=home)
