"""A recipe while it is edited: what each key means and says, what is wrong with it, and what it would cost.

The text of the file is the truth; an edit changes one value in it and leaves comments alone (workbench.recipe_draft).
Problems are those of `workbench check`, shown beside their keys as they are typed; the plan follows them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from rich.cells import set_cell_size
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
from tui.messages import ActionFailed, RunLaunched
from tui.plan_words import PlanCost, plan_cost, short_plan
from tui.screens.plan import PlanScreen
from tui.widgets.browser import Browser, Row, failed
from tui.widgets.key_bar import KeyBar
from tui.widgets.still import StillText
from workbench.errors import BadInput, RecipeError, WorkbenchError
from workbench.files import write_atomic
from workbench.recipe_draft import (
    Key,
    as_toml,
    describe_table,
    key_at,
    keys_of_recipes,
    with_value,
    without,
    written_values,
)
from workbench.recipe_file import find_recipe, load_recipe, shipped_folder
from workbench.safe_text import one_line

READING = "reading the recipe…"


@dataclass(frozen=True, slots=True)
class Checked:
    """A draft as the library sees it: problems by key ("" for the whole), values that hold, the plan."""

    text: str
    problems: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By key: the value that holds, as TOML, and its origin."""
    cost: PlanCost | None = None


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
    RecipeScreen #line { display: none; margin: 0 1; background: $panel; }
    RecipeScreen.-typing #line { display: block; }
    RecipeScreen.-short #plan-strip, RecipeScreen.-flat #plan-strip { height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("reset"),
        bind("undo"),
        bind("start", tooltip="Start this recipe as it stands here"),
        bind("write"),
        bind("plan"),
        bind("find", tooltip="Show only keys that have these words", show=False),
        bind(
            "hidden",
            description="all keys",
            tooltip="Show what is not written too, or only what is",
            show=False,
        ),
        bind("cursor_left", "told(-1)", description="scroll", tooltip="The right pane up", show=False),
        bind("cursor_right", "told(1)", description="scroll", tooltip="The right pane down", show=False),
        bind("back"),
    ]
    AUTO_FOCUS = "#rows"

    def __init__(self, home: Path, recipe: str | Path) -> None:
        super().__init__()
        self._home, self._recipe = home, recipe
        self._path: Path | None = None
        self._saved_text = self._text = ""
        self._before: list[str] = []
        self._checked = Checked("")
        self._typing = ""  # what the line is for: edit, find or save
        self._words = ""
        self._shows_all = True
        self._leaves = self._starting = False
        self._keys: dict[str, tuple[Key, ...]] = {}

    def compose(self) -> ComposeResult:
        """Title, panes, line to type, plan, keys."""
        yield StillText(id="title")
        yield Browser()
        yield Input(id="line", compact=True)
        yield StillText(id="plan-strip")
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the file."""
        self.query_one(Input).cursor_blink = False
        self.query_one("#plan-strip", StillText).put(Content.styled(READING, "$dim"))
        self._title()
        self._read()

    def command(self) -> str:
        """The same in a shell: the file, and what was changed and is not saved."""
        before, now = written_values(self._saved_text), written_values(self._text)
        changed = [key for key, value in now.items() if before.get(key) != value]
        options = [part for key in changed for part in ("--set", f"{key}={as_toml(now[key])}")]
        return commands.workbench(self._home, "run", self._shown_path(), *options, "--detach")

    def _shown_path(self) -> str:
        """The file as a shell here would name it: a shipped recipe by its name."""
        if self._path is None:
            return str(self._recipe)
        if self._path.parent == shipped_folder():
            return self._path.stem
        return self._path.name if self._path.parent == Path.cwd() else str(self._path)

    @work(thread=True, group="read", exit_on_error=False)
    def _read(self) -> None:
        try:
            path = find_recipe(self._recipe)
            self._keys = keys_of_recipes()
            self.post_message(RecipeRead(path, path.read_text(encoding="utf-8-sig")))
        except (WorkbenchError, OSError, UnicodeDecodeError) as error:
            self.post_message(DraftChecked(Checked("", {"": str(error)})))

    @on(RecipeRead)
    def _take(self, message: RecipeRead) -> None:
        self._path, self._text, self._saved_text = message.path, message.text, message.text
        self._title()
        self._check(self._text)
        self._show_rows()
        self.refresh_bindings()

    @work(thread=True, exclusive=True, group="check", exit_on_error=False)
    def _check(self, text: str) -> None:
        worker = get_current_worker()
        checked = check(self._path, text, self._keys, home=self._home)
        if not worker.is_cancelled:
            self.post_message(DraftChecked(checked))

    @on(DraftChecked)
    def _show_checked(self, message: DraftChecked) -> None:
        self._checked = message.checked
        self._title()
        self._show_rows()
        self._tell()
        strip = self.query_one("#plan-strip", StillText)
        if message.checked.cost is not None:
            strip.put(short_plan(message.checked.cost))
        else:
            lines = [f"{one_line(problem, 300)}" for problem in list(message.checked.problems.values())[:3]]
            strip.put(Content("\n").join(failed(line) for line in lines))
        if self._path is None:
            self.query_one(Browser).tell(failed(one_line(message.checked.problems.get("", ""), 400)))
        self.refresh_bindings()

    def _title(self) -> None:
        problems = len(self._checked.problems)
        state = (
            (f"✗ {problems} problem{'s' if problems > 1 else ''}", "$error")
            if problems
            else ("✓ valid", "$success")
        )
        changed = ("  changed, not saved", "$warning") if self._text != self._saved_text else ("", "")
        self.query_one("#title", StillText).put(
            Content.assemble(
                ("recipe", "bold $primary"),
                f"  {one_line(self._shown_path(), 60)}  ",
                state if self._checked.text else "",
                changed,
            )
        )

    def _show_rows(self) -> None:
        if not self._keys or self._path is None:
            return
        browser = self.query_one(Browser)
        browser.show(list(self._rows(browser.room)))

    def _rows(self, room: int) -> Iterator[Row]:
        written = written_values(self._text)
        lines = {key.rpartition(".")[0] for key in written} | {
            table for table in self._keys if f"[{table}]" in self._text
        }
        name = min(30, max(16, room // 2))
        for table, keys in self._keys.items():
            there = not table or table in lines
            matching = [
                key for key in keys
                if all(word in f"{key.whole} {key.meaning}".lower() for word in self._words.lower().split())
                and (key.whole in written or (there and self._shows_all) or self._words)
            ]  # fmt: skip
            if table and (matching or not self._words):
                note = "" if there else "  not in this recipe"
                sign = "✗ " if table in self._checked.problems else ""
                line = Content.assemble(
                    (sign, "$error"), (f"[{table}]", "bold" if there else "$dim"), (note, "$faint")
                )
                yield Row(line, ("table", table))
            for key in matching:
                yield Row(self._key_line(key, written, name), key.whole)

    def _key_line(self, key: Key, written: Mapping[str, Any], width: int) -> Content:
        sign = "✗ " if key.whole in self._checked.problems else "  "
        if key.whole in written:
            value, color = as_toml(written[key.whole]), "bold"
        else:
            value, color = self._holds(key)[0] or "–", "$dim"
        return Content.assemble(
            (sign, "$error"), (set_cell_size(key.name, width - 2), "" if key.whole in written else "$dim"),
            (f" {one_line(value, 80)}", color),
        )  # fmt: skip

    def _holds(self, key: Key) -> tuple[str, str]:
        return self._checked.values.get(key.whole, (key.default, "default"))

    def on_resize(self) -> None:
        """The lines share the width."""
        self.call_after_refresh(self._show_rows)

    @on(Browser.Chosen)
    def _look_at(self) -> None:
        self._tell()

    def _tell(self) -> None:
        told = self._told_of(self.query_one(Browser).key)
        if told is not None:
            self.query_one(Browser).tell(told, top=not self._typing)

    def _told_of(self, at: Hashable | None) -> Content | None:
        match at:
            case ("table", str(table)):
                problem = self._checked.problems.get(table)
                parts = [Content.styled(f"[{table}]", "bold"), Content(""), Content(describe_table(table))]
                return Content("\n").join(
                    [*parts, *([Content(""), failed(one_line(problem, 400))] if problem else [])]
                )
            case str(name) if (key := self._key(name)) is not None:
                return self._told_of_key(key)
        return None

    def _told_of_key(self, key: Key) -> Content:
        value, origin = self._holds(key)
        default = "it has none: it must be written" if key.required else key.default or "none"
        lines = [
            Content.styled(key.whole, "bold"),
            Content.styled("changes no result: changing it makes nothing again", "$dim")
            if key.cosmetic
            else Content(""),
            Content(key.meaning),
            Content(""),
            Content.assemble(("write    ", "$dim"), one_line(key.kind, 200)),
            Content.assemble(("default  ", "$dim"), one_line(default, 200)),
            Content.assemble(
                ("holds    ", "$dim"),
                (one_line(value or "–", 200), "bold"),
                (f"  {one_line(origin, 80)}", "$dim"),
            ),
        ]
        if problem := self._checked.problems.get(key.whole):
            lines += [Content(""), failed(one_line(problem, 400))]
        return Content("\n").join(lines)

    def _key(self, name: str) -> Key | None:
        return next((key for keys in self._keys.values() for key in keys if key.whole == name), None)

    # typing

    @on(Browser.Opened)
    def _edit(self) -> None:
        """A line to write the value in."""
        name = self.query_one(Browser).key
        if isinstance(name, str) and (key := self._key(name)) is not None:
            written = written_values(self._text)
            value = as_toml(written[name]) if name in written else self._holds(key)[0]
            self._type("edit", f"{key.name}: {key.kind}", value)

    def action_find(self) -> None:
        """Words that keys must have."""
        self._type("find", "words to find in keys and what they mean", self._words)

    def action_write(self) -> None:
        """A name for the file."""
        own = self._path is not None and self._path.parent == Path.cwd()
        name = self._path.name if own and self._path is not None else "mymodel.toml"
        self._type("save", "file name; it is written where the app was started", name)

    def _type(self, what: str, hint: str, value: str) -> None:
        self._typing = what
        line = self.query_one(Input)
        line.placeholder, line.border_title = hint, ""
        with line.prevent(Input.Changed):
            line.value = value
        self.add_class("-typing")
        line.focus()
        self.refresh_bindings()

    def _stop_typing(self) -> None:
        self._typing = ""
        self.remove_class("-typing")
        self.query_one("#rows").focus()
        self.refresh_bindings()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if self._typing == "find":
            self._words = event.value
            self._show_rows()
        elif self._typing == "edit" and (draft := self._draft(event.value)) is not None:
            self._check(draft)

    def _draft(self, value: str) -> str | None:
        """The text with what is being typed; None, and the reason beside the key, where it cannot be written."""
        name = str(self.query_one(Browser).key)
        try:
            return with_value(self._text, name, value)
        except BadInput as error:
            self._checked = Checked(
                self._checked.text, {**self._checked.problems, name: str(error)}, self._checked.values
            )
            self._tell()
            return None

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        typing = self._typing
        if typing == "edit":
            if (draft := self._draft(event.value)) is None:
                return
            self._change(draft)
        elif typing == "save":
            self._save(event.value.strip())
        self._stop_typing()

    def _change(self, text: str) -> None:
        if text != self._text:
            self._before.append(self._text)
            self._text = text
        self._leaves = False
        self._title()
        self._show_rows()
        self._check(self._text)

    def action_reset(self) -> None:
        """The default holds."""
        name = self.query_one(Browser).key
        if isinstance(name, str):
            try:
                self._change(without(self._text, name))
            except BadInput as error:
                self.post_message(ActionFailed(str(error)))

    def action_undo(self) -> None:
        """As it was before the last change."""
        if self._before:
            self._text = self._before.pop()
            self._change(self._text)

    def action_hidden(self) -> None:
        """All keys, or what is written."""
        self._shows_all = not self._shows_all
        self._show_rows()

    def action_told(self, pages: int) -> None:
        """Scroll what is told."""
        self.query_one(Browser).scroll_told(pages)

    def action_plan(self) -> None:
        """The plan in full."""
        if self._checked.cost is not None:
            self.app.push_screen(
                PlanScreen(self._home, self._shown_path(), self._checked.cost, self.command())
            )

    def action_back(self) -> None:
        """Out of the line, out of the filter, then out of the screen; changes that are not saved are told once."""
        if self._typing:
            self._stop_typing()
            self._check(self._text)
        elif self._words:
            self._words = ""
            self._show_rows()
        elif self._text != self._saved_text and not self._leaves:
            self._leaves = True
            self.notify("W saves the changes; esc again leaves them", markup=False)
        else:
            self.app.pop_screen()

    @work(thread=True, group="save", exit_on_error=False)
    def _save(self, name: str) -> None:
        path = Path.cwd() / (name if name.endswith(".toml") else f"{name}.toml")
        try:
            if path.exists() and path != self._path:
                raise BadInput("is there already", file=path, fix="choose another name")
            text = self._text
            write_atomic(path, text)
            self.post_message(Saved(path, text))
        except (WorkbenchError, OSError, ValueError) as error:
            self.post_message(ActionFailed(str(error)))

    @on(Saved)
    def _was_saved(self, message: Saved) -> None:
        self._path, self._saved_text = message.path, message.text
        self.notify(f"saved as {one_line(str(message.path), 200)}", markup=False)
        self._title()
        self._check(self._text)

    @work(thread=True, group="launch", exit_on_error=False)
    def action_start(self) -> None:
        """Start what stands here, saved or not."""
        from workbench.launcher import launch
        from workbench.plan import make_plan

        if self._path is None or self._starting:
            return
        self._starting = True
        try:
            loaded = load_recipe(self._path, text=self._text)
            self.post_message(RunLaunched(launch(make_plan(loaded, home=self._home)).name))
        except (WorkbenchError, OSError) as error:
            self.post_message(ActionFailed(str(error)))
        finally:
            self._starting = False

    @on(RunLaunched)
    def _open_run(self, message: RunLaunched) -> None:
        from tui.screens.run import RunScreen

        self.app.switch_screen(RunScreen(self._home, message.name))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What is typed is text; only a recipe without problems can be started or planned."""
        if self._typing:
            return action == "back" or None
        if action in ("start", "plan"):
            return None if self._checked.cost is None else True
        if action == "undo":
            return True if self._before else None
        return None if self._path is None and action in ("reset", "write") else True

    def why_not(self, action: str) -> str:
        """Why a dim key does nothing."""
        if action == "undo":
            return "nothing was changed"
        return "the recipe has problems, or is still being read"


def check(path: Path | None, text: str, keys: Mapping[str, tuple[Key, ...]], *, home: Path) -> Checked:
    """What `workbench check` and `workbench plan` say of a draft. Runs in a thread."""
    if path is None:
        return Checked(text)
    try:
        loaded = load_recipe(path, text=text)
    except RecipeError as error:
        problems: dict[str, str] = {}
        for each in error.problems:
            fix = f"; {each.fix}" if each.fix else ""
            problems.setdefault(key_at(text, each.line or 1), f"{each.message}{fix}")
        return Checked(text, problems)
    except WorkbenchError as error:
        return Checked(text, {"": str(error)})
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
        return Checked(text, {}, values, plan_cost(loaded, home=home))
    except (WorkbenchError, OSError) as error:
        line = getattr(error, "line", None)
        return Checked(text, {key_at(text, line) if line else "": str(error)}, values)
