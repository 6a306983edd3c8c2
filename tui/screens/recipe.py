"""A recipe while it is edited: what each key means and says, what is wrong with it, and what it would cost.

The text of the file is the truth; an edit changes one value in it and leaves comments alone (workbench.recipe_draft).
Problems are those of `workbench check`, shown beside their keys as they are typed; the plan follows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input
from textual.worker import get_current_worker

from tui import commands
from tui.keys import bind
from tui.launching import start
from tui.messages import ActionFailed, RunLaunched
from tui.plan_words import short_plan
from tui.recipe_check import Checked, Draft, check
from tui.rooms import recipe_name
from tui.screens.plan import PlanScreen
from tui.widgets.browser import Browser, failed
from tui.widgets.key_bar import KeyBar
from tui.widgets.recipe_keys import Keys, key_of, rows_of, told_of
from tui.widgets.still import StillText
from tui.widgets.typing_line import TypingLine
from workbench.errors import BadInput, WorkbenchError, in_one_line
from workbench.files import write_atomic
from workbench.recipe_draft import as_toml, keys_of_recipes, with_value, without, written_values
from workbench.recipe_file import find_recipe, load_recipe
from workbench.safe_text import one_line

READING = "reading the recipe…"


@dataclass
class RecipeRead(Message):
    """The file was read."""

    path: Path
    text: str


@dataclass
class DraftChecked(Message):
    """The draft was checked and, if it is whole, planned."""

    checked: Checked


@dataclass
class Saved(Message):
    """The draft lies in a file."""

    path: Path
    text: str


class RecipeScreen(Screen[None]):
    """An editor over one recipe file; nothing is written until it is saved."""

    DEFAULT_CSS = """
    RecipeScreen #plan-strip { height: 3; margin: 0 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    RecipeScreen #plan-strip.-whole { text-wrap: wrap; }
    RecipeScreen.-short #plan-strip, RecipeScreen.-flat #plan-strip { height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("reset"),
        bind("undo"),
        bind("start", tooltip="Start this recipe as it stands here"),
        bind("write"),
        bind("plan"),
        bind("find", priority=True, tooltip="Show only keys that have these words", show=False),
        bind(
            "hidden",
            description="all keys",
            tooltip="Show what is not written too, or only what is",
            show=False,
        ),
        bind("back"),
    ]
    AUTO_FOCUS = "#rows"

    def __init__(self, home: Path, recipe: str | Path) -> None:
        super().__init__()
        self._home, self._recipe = home, recipe
        self._draft = Draft()
        self._checked = Checked("")
        self._words = ""
        self._shows_all = True
        self._leaves = self._starting = False
        self._keys: Keys = {}

    def compose(self) -> ComposeResult:
        """Title, panes, line to type, plan, keys."""
        yield StillText(id="title")
        yield Browser(word="change")
        yield TypingLine()
        yield StillText(id="plan-strip")
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the file."""
        self.query_one("#plan-strip", StillText).put(Content.styled(READING, "$dim"))
        self._title()
        self._read()

    def command(self) -> str:
        """The same in a shell: the file, and what was changed and is not saved."""
        options = [part for each in self._draft.assignments() for part in ("--set", each)]
        return commands.workbench(self._home, "run", self._shown_path(), *options, "--detach")

    def command_for(self, action: str, _: tuple[object, ...]) -> str:
        """The command of a key."""
        return {"start": self.command(), "plan": commands.plan_instead(self.command())}.get(action, "")

    @property
    def _line(self) -> TypingLine:
        return self.query_one(TypingLine)

    def _shown_path(self) -> str:
        """The file as a shell here would name it: a shipped recipe by its name."""
        return recipe_name(self._draft.path or self._recipe)

    @work(thread=True, group="read", exit_on_error=False)
    def _read(self) -> None:
        try:
            path = find_recipe(self._recipe)
            self._keys = keys_of_recipes()
            self.post_message(RecipeRead(path, path.read_text(encoding="utf-8-sig")))
        except (WorkbenchError, OSError, UnicodeDecodeError) as error:
            self.post_message(DraftChecked(Checked("", {"": in_one_line(error)})))

    @on(RecipeRead)
    def _take(self, message: RecipeRead) -> None:
        self._draft = Draft(message.path, message.text)
        self._title()
        self._check(message.text)
        self._show_rows()
        self.refresh_bindings()

    @work(thread=True, exclusive=True, group="check", exit_on_error=False)
    def _check(self, text: str) -> None:
        worker = get_current_worker()
        checked = check(self._draft.path, text, self._keys, home=self._home)
        if not worker.is_cancelled:
            self.post_message(DraftChecked(checked))

    @on(DraftChecked)
    def _show_checked(self, message: DraftChecked) -> None:
        opened = not self._checked.text
        self._checked = message.checked
        self._title()
        self._show_rows(at=next(iter(message.checked.problems), None) if opened else None)
        self._tell()
        self._show_strip()
        if self._draft.path is None:
            self.query_one(Browser).tell(failed(one_line(message.checked.problems.get("", ""), 400)))
        self.refresh_bindings()

    def _show_strip(self) -> None:
        strip = self.query_one("#plan-strip", StillText)
        strip.set_class(len(self._checked.problems) == 1, "-whole")  # of several, a line each
        if self._checked.problems or self._checked.cost is None:
            lines = [one_line(problem, 300) for problem in list(self._checked.problems.values())[:3]]
            strip.put(Content("\n").join(failed(line) for line in lines))
        else:
            strip.put(short_plan(self._checked.cost, width=strip.content_size.width))

    def _title(self) -> None:
        problems = len(self._checked.problems)
        state = (
            (f"✗ {problems} problem{'s' if problems > 1 else ''}", "$error")
            if problems
            else ("✓ valid", "$success")
        )
        changed = ("  changed, not saved", "$warning") if self._draft.is_changed else ("", "")
        self.query_one("#title", StillText).put(
            Content.assemble(
                ("recipe", "bold $primary"),
                f"  {one_line(self._shown_path(), 60)}  ",
                state if self._checked.text else "",
                changed,
            )
        )

    def _show_rows(self, *, at: str | None = None) -> None:
        """All rows; `at`: the key or table that the cursor goes to."""
        if not self._keys or self._draft.path is None:
            return
        browser = self.query_one(Browser)
        rows = rows_of(
            self._keys, self._checked, self._draft.text,
            room=browser.room, words=self._words, everything=self._shows_all,
        )  # fmt: skip
        shown = list(rows)
        places = (at, ("table", at)) if at else ()
        browser.show(shown, at=next((row.key for row in shown if row.key in places), None))

    def on_resize(self) -> None:
        """The lines share the width."""
        self.call_after_refresh(self._show_rows)
        if self._checked.cost is not None:
            self.call_after_refresh(self._show_strip)

    @on(Browser.Chosen)
    def _look_at(self) -> None:
        self._tell()

    def _tell(self) -> None:
        told = told_of(self._keys, self._checked, self.query_one(Browser).key)
        if told is not None:
            self.query_one(Browser).tell(told, top=not self._line.purpose)

    # typing

    @on(Browser.Opened)
    def _edit(self) -> None:
        """A line to write the value in."""
        name = self.query_one(Browser).key
        if isinstance(name, str) and (key := key_of(self._keys, name)) is not None:
            written = written_values(self._draft.text)
            value = as_toml(written[name]) if name in written else self._checked.holds(key)[0]
            self._type("edit", f"{key.name}: {key.kind}", value)
        elif isinstance(name, str):
            self.notify("there is no such key to change; backspace takes it out", markup=False)

    def action_find(self) -> None:
        """Words that keys must have."""
        self._type("find", "words to find in keys and what they mean", self._words)

    def action_write(self) -> None:
        """A name for the file."""
        path = self._draft.path
        name = path.name if path is not None and path.parent == Path.cwd() else "mymodel.toml"
        self._type("save", "file name; it is written where the app was started", name)

    def _type(self, purpose: str, hint: str, value: str) -> None:
        self._line.begin(purpose, hint=hint, value=value)
        self.refresh_bindings()

    def _stop_typing(self) -> None:
        self._line.end()
        self.query_one("#rows").focus()
        self.refresh_bindings()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if self._line.purpose == "find":
            self._words = event.value
            self._show_rows()
        elif self._line.purpose == "edit" and (text := self._text_with(event.value)) is not None:
            self._check(text)

    def _text_with(self, value: str) -> str | None:
        """The text with what is being typed; None, and the reason beside the key, where it cannot be written."""
        name = str(self.query_one(Browser).key)
        try:
            return with_value(self._draft.text, name, value)
        except BadInput as error:
            self._checked = self._checked.with_problem(name, in_one_line(error))
            self._tell()
            return None

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        if self._line.purpose == "edit":
            if (text := self._text_with(event.value)) is None:
                return
            self._change(text)
        elif self._line.purpose == "save":
            self._save(event.value.strip())
        self._stop_typing()

    def _change(self, text: str) -> None:
        self._draft.change(text)
        self._show_change()

    def _show_change(self) -> None:
        self._leaves = False
        self._title()
        self._show_rows()
        self._check(self._draft.text)

    def action_reset(self) -> None:
        """The default holds."""
        name = self.query_one(Browser).key
        if isinstance(name, str):
            try:
                self._change(without(self._draft.text, name))
            except BadInput as error:
                self.post_message(ActionFailed(in_one_line(error)))

    def action_undo(self) -> None:
        """As it was before the last change."""
        self._draft.undo()
        self._show_change()

    def action_hidden(self) -> None:
        """All keys, or what is written."""
        self._shows_all = not self._shows_all
        self._show_rows()

    def action_plan(self) -> None:
        """The plan in full."""
        if self._checked.cost is not None:
            self.app.push_screen(
                PlanScreen(self._home, self._shown_path(), self._checked.cost, self.command())
            )

    def action_back(self) -> None:
        """Out of the line, out of the filter, then out of the screen; changes that are not saved are told once."""
        if self._line.purpose:
            self._stop_typing()
            self._check(self._draft.text)
        elif self._words:
            self._words = ""
            self._show_rows()
        elif self._draft.is_changed and not self._leaves:
            self._leaves = True
            self.notify("W saves the changes; esc again leaves them", markup=False)
        else:
            self.app.pop_screen()

    @work(thread=True, group="save", exit_on_error=False)
    def _save(self, name: str) -> None:
        path = Path.cwd() / (name if name.endswith(".toml") else f"{name}.toml")
        try:
            if path.exists() and path != self._draft.path:
                raise BadInput("is there already", file=path, fix="choose another name")
            text = self._draft.text
            write_atomic(path, text)
            self.post_message(Saved(path, text))
        except (WorkbenchError, OSError, ValueError) as error:
            self.post_message(ActionFailed(in_one_line(error)))

    @on(Saved)
    def _was_saved(self, message: Saved) -> None:
        self._draft.saved(message.path, message.text)
        self.notify(f"saved as {one_line(str(message.path), 200)}", markup=False)
        self._title()
        self._check(self._draft.text)

    @work(thread=True, group="launch", exit_on_error=False)
    def action_start(self) -> None:
        """Start what stands here, saved or not."""
        if self._draft.path is None or self._starting:
            return
        self._starting = True
        try:
            loaded = load_recipe(self._draft.path, text=self._draft.text)
            self.post_message(RunLaunched(start(loaded, home=self._home)))
        except (WorkbenchError, OSError) as error:
            self.post_message(ActionFailed(in_one_line(error)))
        finally:
            self._starting = False

    @on(RunLaunched)
    def _open_run(self, message: RunLaunched) -> None:
        from tui.screens.run import RunScreen

        self.app.switch_screen(RunScreen(self._home, message.name))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What is typed is text; only a recipe without problems can be planned, only one that fits be started."""
        if self.is_mounted and self._line.purpose:
            return False if action == "find" else action == "back" or None
        if action == "start":
            return None if self._checked.why_not_start else True
        if action == "plan":
            return None if self._checked.cost is None else True
        if action == "undo":
            return True if self._draft.can_undo else None
        return None if self._draft.path is None and action in ("reset", "write", "hidden") else True

    def why_not(self, action: str, _: tuple[object, ...]) -> str:
        """Why a dim key does nothing."""
        if action == "undo":
            return "nothing was changed"
        return self._checked.why_not_start or "the recipe is still being read"
