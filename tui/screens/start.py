"""Start a recipe: choose one, read what it would do, start it in a process of its own."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Button, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from tui import commands
from tui.gauges import recipe_key
from tui.keys import bind
from tui.launching import start
from tui.messages import ActionFailed, RecipePlanned, RecipesFound, RunLaunched
from tui.plan_words import PlanCost, plan_cost, plan_to_choose
from tui.widgets.key_bar import KeyBar
from workbench.errors import RecipeError, WorkbenchError, in_one_line
from workbench.eval_terms import Explanation
from workbench.safe_text import one_line

READING = "reading the recipe…"
_MOST_RECIPES = 500


class StartScreen(Screen[None]):
    """Recipes on the left, the plan of the one under the cursor on the right."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("start"),
        bind("recipe", "room('recipe')", tooltip="Every key of this recipe, to read and to change"),
        bind("back", "app.pop_screen", tooltip="Back without starting anything"),
    ]
    AUTO_FOCUS = "OptionList"

    def __init__(self, home: Path, *, first: str = "") -> None:
        """first: the recipe that the cursor is to stand on."""
        super().__init__()
        self._home, self._first = home, first
        self._recipes: tuple[tuple[str, str], ...] = ()
        self._planned: str | None = None  # the recipe whose plan is shown and can be started
        self._cost: PlanCost | None = None  # of the recipe whose plan is shown
        self._problem = ""  # why it cannot be started
        self._starting = False

    def compose(self) -> ComposeResult:
        """List, plan, button."""
        yield Static(
            Content.assemble(("new run", "bold $primary"), ("  a recipe says what you want", "$dim")),
            id="title",
        )
        with Horizontal(id="choice"):
            yield OptionList(id="recipes", markup=False)
            with VerticalScroll(id="plan", can_focus=False):
                yield Static("", id="description", markup=False)
                yield Static("", id="problems", markup=False)
                yield Static(READING, id="summary", markup=False)
                yield Button("Start", id="start", variant="primary", compact=True, disabled=True)
        yield KeyBar()

    def command(self) -> str:
        """The same in a shell."""
        return commands.workbench(self._home, "run", self._under_cursor() or "RECIPE", "--detach")

    def command_for(self, action: str, _: tuple[object, ...]) -> str:
        """The command of a key."""
        return {"start": self.command(), "room": commands.plan_instead(self.command())}.get(action, "")

    def explanations(self) -> tuple[str, list[Explanation]]:
        """The keys that the recipe under the cursor sets, from their docstrings."""
        told = [recipe_key(key) for key in keys_set(self._under_cursor())]
        return "Keys of this recipe", [one for one in told if one is not None]

    def why_not(self, action: str, _: tuple[object, ...]) -> str:
        """Why the recipe cannot be started."""
        return self._problem or "the recipe is still being read"

    def _under_cursor(self) -> str:
        index = self.query_one(OptionList).highlighted
        return self._recipes[index][0] if index is not None and index < len(self._recipes) else ""

    def on_mount(self) -> None:
        """Find the recipes."""
        self._find()

    @work(thread=True, group="find", exit_on_error=False)
    def _find(self) -> None:
        from workbench.recipe_file import shipped_recipes

        try:
            shipped = shipped_recipes()
        except (WorkbenchError, OSError, ValueError) as error:
            shipped = []
            self.post_message(ActionFailed(f"the shipped recipes cannot be read: {error}"))
        found = sorted(path.name for path in Path.cwd().glob("*.toml") if path.name != "pyproject.toml")
        own = [(name, described(Path(name))) for name in found[:_MOST_RECIPES]]
        self.post_message(RecipesFound((*shipped, *own)))

    @on(RecipesFound)
    def _list(self, message: RecipesFound) -> None:
        self._recipes = message.recipes
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(one_line(name, 60)) for name, _ in message.recipes])
        if message.recipes:
            names = [name for name, _ in message.recipes]
            options.highlighted = names.index(self._first) if self._first in names else 0
        else:
            self._show("No recipe here. `workbench new NAME` writes one.")

    @on(OptionList.OptionHighlighted)
    def _look_at(self, event: OptionList.OptionHighlighted) -> None:
        name, description = self._recipes[event.option_index]
        self._planned = self._cost = None
        self._problem = ""
        self.query_one("#start", Button).disabled = True
        self.query_one("#description", Static).update(Content.styled(one_line(description, 400), "$dim"))
        self._show(READING)
        self._plan(name)

    @work(thread=True, exclusive=True, group="plan", exit_on_error=False)
    def _plan(self, recipe: str) -> None:
        worker = get_current_worker()
        try:
            message = planned(recipe, home=self._home)
        except RecipeError as error:
            message = RecipePlanned(recipe, problems=tuple(_at_line(problem) for problem in error.problems))
        except (WorkbenchError, OSError) as error:
            message = RecipePlanned(recipe, problems=(in_one_line(error),))
        if not worker.is_cancelled:
            self.post_message(message)

    @on(RecipePlanned)
    def _show_plan(self, message: RecipePlanned) -> None:
        problems = [Content.assemble(("✗ ", "$error"), one_line(line, 400)) for line in message.problems]
        if problems:
            problems += [
                Content.assemble(("2", "$primary bold"), (" shows its keys, to be changed.", "$dim"))
            ]
        self._cost = message.cost
        self._show(self._summary(), problems)
        self._planned = None if message.problems else message.recipe
        self._problem = next(iter(message.problems), "")
        self.query_one("#start", Button).disabled = bool(message.problems)
        self.refresh_bindings()

    def _summary(self) -> Content:
        if self._cost is None:
            return Content("")
        return plan_to_choose(self._cost, width=self.query_one("#plan").scrollable_content_region.width)

    def on_resize(self) -> None:
        """Other columns may fit."""
        if self._cost is not None:
            self.call_after_refresh(lambda: self.query_one("#summary", Static).update(self._summary()))

    def _show(self, summary: Content | str, problems: Sequence[Content] = ()) -> None:
        for name, said in (
            ("#summary", Content.assemble(summary)),
            ("#problems", Content("\n").join(problems)),
        ):
            place = self.query_one(name, Static)
            place.display = bool(said.plain)
            place.update(said)

    @on(OptionList.OptionSelected)
    def _to_the_button(self) -> None:
        """Enter on a recipe goes to the button: starting takes a second, deliberate key."""
        if self._planned is not None:
            self.query_one("#start", Button).focus()

    @on(Button.Pressed, "#start")
    def action_start(self) -> None:
        """Start what is shown."""
        if self._planned is not None and not self._starting:
            self._starting = True
            self.query_one("#start", Button).label = Content("Starting…")
            self._launch(self._planned)

    @work(thread=True, group="launch", exit_on_error=False)
    def _launch(self, recipe: str) -> None:
        from workbench.recipe_file import load_recipe

        try:
            self.post_message(RunLaunched(start(load_recipe(recipe), home=self._home)))
        except (WorkbenchError, OSError) as error:
            self.post_message(ActionFailed(in_one_line(error)))
        finally:
            self._starting = False

    @on(RunLaunched)
    def _open(self, message: RunLaunched) -> None:
        from tui.screens.run import RunScreen

        self.app.switch_screen(RunScreen(self._home, message.name))

    @on(ActionFailed)
    def _failed(self) -> None:
        self.query_one("#start", Button).label = Content("Start")

    def action_room(self, _: str) -> None:
        """The recipe under the cursor, key by key."""
        from tui.screens.recipe import RecipeScreen

        if recipe := self._under_cursor():
            self.app.push_screen(RecipeScreen(self._home, recipe))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only a planned recipe can be started."""
        return None if action == "start" and self._planned is None else True


def described(path: Path) -> str:
    """What a recipe file says it makes, and where it lies."""
    try:
        said = str(tomllib.loads(path.read_text(encoding="utf-8")).get("description", ""))
    except (OSError, ValueError):
        said = ""
    return f"{said}  ({path.absolute().parent})".strip()


def keys_set(recipe: str) -> list[str]:
    """The keys that a recipe file sets, as `pretrain.tokens`, in its order; none when it cannot be read."""
    from workbench.recipe_file import shipped_folder

    for path in (shipped_folder() / f"{recipe}.toml", Path(recipe)):
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return [f"{name}.{key}" for name, table in tables.items() if isinstance(table, dict) for key in table]
    return []


def _at_line(problem: WorkbenchError) -> str:
    fix = f"; {problem.fix}" if problem.fix else ""
    return f"line {problem.line}: {problem.message}{fix}" if problem.line else problem.one_line()


def planned(recipe: str, *, home: Path) -> RecipePlanned:
    """What starting `recipe` would do and cost, and what would fail: a late wish, or its size.

    Raises what loading and planning raise.
    """
    from workbench.plan import make_plan
    from workbench.prechecks import late_problems
    from workbench.recipe_file import load_recipe

    loaded = load_recipe(recipe)
    plan = make_plan(loaded, home=home)
    cost = plan_cost(plan)
    problems = [_at_line(problem) for problem in late_problems(plan, loaded)]
    problems += [f"cannot run here: {problem}" for problem in cost.problems]
    return RecipePlanned(recipe, cost, tuple(problems))
