"""A recipe that is being edited: its text and what it was before, and what the library says of it. Knows no widget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tui.plan_words import PlanCost, plan_cost
from workbench.errors import RecipeError, WorkbenchError, in_one_line
from workbench.recipe_draft import Key, as_toml, key_at, written_values
from workbench.recipe_file import load_recipe


class Draft:
    """The text of a recipe, what lies in its file, and what undo goes back to."""

    def __init__(self, path: Path | None = None, text: str = "") -> None:
        self.path = path
        self.text = text
        self._saved = text
        self._before: list[str] = []

    @property
    def is_changed(self) -> bool:
        """Whether it differs from the file."""
        return self.text != self._saved

    @property
    def can_undo(self) -> bool:
        """Whether there is something to go back to."""
        return bool(self._before)

    def change(self, text: str) -> None:
        """The recipe reads so from now on."""
        if text != self.text:
            self._before.append(self.text)
            self.text = text

    def undo(self) -> None:
        """As it was before the last change."""
        if self._before:
            self.text = self._before.pop()

    def saved(self, path: Path, text: str) -> None:
        """`text` lies in the file `path` now."""
        self.path, self._saved = path, text

    def assignments(self) -> list[str]:
        """What differs from the file, as KEY=VALUE."""
        before, now = written_values(self._saved), written_values(self.text)
        return [f"{key}={as_toml(value)}" for key, value in now.items() if before.get(key) != value]


@dataclass(frozen=True, slots=True)
class Checked:
    """A draft as the library sees it: problems by key ("" for the whole), values that hold, the plan."""

    text: str
    problems: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By key: the value that holds, as TOML, and its origin."""
    cost: PlanCost | None = None

    @property
    def why_not_start(self) -> str:
        """Why it cannot be started, in a line; empty when it can."""
        if self.problems:
            return next(iter(self.problems.values()))
        if self.cost is None:
            return "the recipe is still being read"
        return f"it cannot run here: {self.cost.problems[0]}" if self.cost.problems else ""

    def holds(self, key: Key) -> tuple[str, str]:
        """The value of a key, as TOML, and its origin."""
        if key.whole in self.values:
            return self.values[key.whole]
        written = written_values(self.text)  # of a recipe with problems no value is known to hold
        return (as_toml(written[key.whole]), "recipe") if key.whole in written else (key.default, "default")

    def with_problem(self, key: str, problem: str) -> Checked:
        """The same with something wrong at a key, and so without a plan."""
        return Checked(self.text, {**self.problems, key: problem}, self.values)


def check(path: Path | None, text: str, keys: Mapping[str, tuple[Key, ...]], *, home: Path) -> Checked:
    """What `workbench check` and `workbench plan` say of a draft. Runs in a thread."""
    from workbench.plan import make_plan
    from workbench.prechecks import late_problems

    if path is None:
        return Checked(text)
    try:
        loaded = load_recipe(path, text=text)
    except RecipeError as error:
        return Checked(text, _by_key(text, error.problems))
    except WorkbenchError as error:
        return Checked(text, {"": in_one_line(error)})
    values = {}
    for table, inside in keys.items():
        outer, _, inner = table.partition(".")
        content = getattr(loaded.recipe, outer, None) if outer else loaded.recipe
        content = getattr(content, inner, None) if inner else content
        for key in inside:
            if content is not None:
                value = getattr(content, key.name)
                shown = (
                    ""
                    if value is None
                    else as_toml(value.model_dump() if hasattr(value, "model_dump") else value)
                )
                values[key.whole] = (shown, loaded.origin(table, key.name) if table else "recipe")
    try:
        plan = make_plan(loaded, home=home)
        return Checked(text, _by_key(text, late_problems(plan, loaded)), values, plan_cost(plan))
    except (WorkbenchError, OSError) as error:
        line = getattr(error, "line", None)
        return Checked(text, {key_at(text, line) if line else "": in_one_line(error)}, values)


def _by_key(text: str, problems: Sequence[WorkbenchError]) -> dict[str, str]:
    """The first problem of each key, without its place: it stands there."""
    found: dict[str, str] = {}
    for each in problems:
        fix = f"; {each.fix}" if each.fix else ""
        found.setdefault(key_at(text, each.line or 1), f"{each.message}{fix}")
    return found
