"""Change a value of a training while it runs, or the keys of a branch: one line of input, checked as it is typed."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from tui import commands
from tui.compat import Dialog
from tui.keys import bind
from tui.messages import Checked, ChoicesRead
from tui.steering import branch_changes, branch_points, branch_recipe, check_tuning, knobs, start_branch
from tui.widgets.key_bar import KeyBar
from workbench.errors import WorkbenchError, in_one_line
from workbench.runs import open_run
from workbench.safe_text import one_line

_CSS = """
{name} {{ align: center middle; background: $background 60%; }}
{name} OptionList, {name} OptionList:focus {{
    height: auto; max-height: 8; background: $panel; border: none; padding: 0; margin-bottom: 1;
}}
{name} #said {{ height: 3; margin: 1 0 0 0; }}
"""


class TuneScreen(Dialog[str]):
    """The request that was made of it (`tune KEY=VALUE`), or nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "dismiss('')", description="cancel", tooltip="Leave everything as it is")
    ]
    DEFAULT_CSS = _CSS.format(name="TuneScreen")
    AUTO_FOCUS = "Input"

    def __init__(self, home: Path, name: str) -> None:
        super().__init__()
        self._home, self._run_name = home, name

    def compose(self) -> ComposeResult:
        """What may be changed, and a line to do it."""
        with Vertical(id="dialog"):
            yield Static(Content.assemble("Change a value of ", (one_line(self._run_name, 80), "bold")))
            yield Static("", id="choices", markup=False)
            yield Input(placeholder="learning_rate=3e-4", id="assignment", compact=True, max_length=4000)
            yield Static("", id="said", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        """Read what may be changed."""
        self.query_one(Input).cursor_blink = False
        self._read()

    def command(self) -> str:
        """The same in a shell."""
        assignment = self.query_one(Input).value.strip() or "KEY=VALUE"
        return commands.steer(self._home, self._run_name, f"tune {assignment}")

    @work(thread=True, group="read", exit_on_error=False)
    def _read(self) -> None:
        try:
            found = knobs(self._home, self._run_name)
        except (WorkbenchError, OSError) as error:
            self.post_message(Checked("", in_one_line(error)))
            return
        lines = [f"{key:<18}  {one_line(value, 10):<10}  {about}" for key, value, about in found]
        self.post_message(ChoicesRead(tuple(lines)))

    @on(ChoicesRead)
    def _show(self, message: ChoicesRead) -> None:
        self.query_one("#choices", Static).update("\n".join(message.choices))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        self._check(event.value.strip())

    @on(Input.Changed)
    def _show_command(self) -> None:
        self._say(commands.shown_command(self.command()), "$dim")

    @work(thread=True, exclusive=True, group="check", exit_on_error=False)
    def _check(self, assignment: str) -> None:
        try:
            self.post_message(Checked(check_tuning(self._home, self._run_name, assignment)))
        except (WorkbenchError, OSError) as error:
            self.post_message(Checked("", in_one_line(error)))

    @on(Checked)
    def _checked(self, message: Checked) -> None:
        if message.result:
            self.dismiss(message.result)
        else:
            self._say(f"✗ {one_line(message.problem, 300)}", "$error")

    def _say(self, text: str, style: str) -> None:
        self.query_one("#said", Static).update(Content.styled(text, style))


class BranchScreen(Dialog[str]):
    """The name of the run that was started, or nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("back", "dismiss('')", description="cancel", tooltip="Start nothing")
    ]
    DEFAULT_CSS = _CSS.format(name="BranchScreen")
    AUTO_FOCUS = "OptionList"

    def __init__(self, home: Path, name: str) -> None:
        super().__init__()
        self._home, self._run_name = home, name
        self._steps: list[int] = []
        self._recipe = "RECIPE"
        self._starting = False

    def compose(self) -> ComposeResult:
        """Where from, what else, the command."""
        with Vertical(id="dialog"):
            yield Static(
                Content.assemble(
                    "Branch a new run from a checkpoint of ", (one_line(self._run_name, 60), "bold"),
                    ("\nOptimizer, step and place in the data are taken along; tokens are counted from the start.",
                     "$dim"),
                )
            )  # fmt: skip
            yield OptionList(id="steps", markup=False)
            yield Input(
                placeholder="what else is to be: pretrain.learning_rate=3e-4 pretrain.tokens=4M",
                id="changes",
                compact=True,
                max_length=500,
            )
            yield Static("", id="said", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        """Read where it can begin."""
        self.query_one(Input).cursor_blink = False
        self._read()

    def command(self) -> str:
        """The same in a shell."""
        try:
            changes = branch_changes(self.query_one(Input).value)
        except WorkbenchError:
            changes = ["TABLE.KEY=VALUE"]
        reference = f"{self._run_name}/pretrain@{self._step() or 'STEP'}"
        return commands.branch(self._home, self._recipe, reference, changes)

    def _step(self) -> int | None:
        index = self.query_one(OptionList).highlighted
        return self._steps[index] if index is not None and index < len(self._steps) else None

    @work(thread=True, group="read", exit_on_error=False)
    def _read(self) -> None:
        try:
            steps = branch_points(self._home, self._run_name)
            recipe, _ = branch_recipe(open_run(self._home, self._run_name))
        except (WorkbenchError, OSError) as error:
            self.post_message(Checked("", in_one_line(error)))
            return
        self.post_message(ChoicesRead((recipe, *map(str, steps))))

    @on(ChoicesRead)
    def _show(self, message: ChoicesRead) -> None:
        self._recipe, *steps = message.choices
        self._steps = [int(step) for step in steps]
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(f"step {step:,}") for step in self._steps])
        options.disabled = not self._steps
        if self._steps:
            options.highlighted = 0
            self._show_command()
        else:
            self._say("✗ pretrain has no checkpoint yet", "$error")

    @on(Input.Changed)
    @on(OptionList.OptionHighlighted)
    def _show_command(self) -> None:
        self._say(commands.shown_command(self.command()), "$dim")

    @on(OptionList.OptionSelected)
    def _to_the_keys(self) -> None:
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        step = self._step()
        if step is not None and not self._starting:
            self._starting = True
            self._say("starting…", "$primary")
            self._start(step, event.value)

    @work(thread=True, group="start", exit_on_error=False)
    def _start(self, step: int, text: str) -> None:
        try:
            name = start_branch(self._home, self._run_name, step, branch_changes(text))
            message = Checked(name)
        except (WorkbenchError, OSError) as error:
            message = Checked("", in_one_line(error))
        finally:
            self._starting = False
        if not get_current_worker().is_cancelled:
            self.post_message(message)

    @on(Checked)
    def _checked(self, message: Checked) -> None:
        if message.result:
            self.dismiss(message.result)
        else:
            self._say(f"✗ {one_line(message.problem, 400)}", "$error")

    def _say(self, text: str, style: str) -> None:
        self.query_one("#said", Static).update(Content.styled(text, style))
