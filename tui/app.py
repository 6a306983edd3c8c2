"""The app: which screen is up, what every screen shares, and how it ends.

It holds no truth: close it, open it, nothing is lost. It never stops a run by leaving.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import RenderableType
from rich.text import Text
from textual import events, on
from textual.actions import ActionParseResult, parse
from textual.app import App
from textual.binding import BindingType
from textual.dom import DOMNode
from textual.driver import Driver
from textual.filter import LineFilter
from textual.geometry import Size
from textual.screen import Screen
from textual.timer import Timer, TimerCallback
from textual.types import CSSPathType

from tui import gauges
from tui.cells import TerminalCells
from tui.clipboard import copy
from tui.compat import SafeFilter, leave_on_signals, let_switch, only_changes, surely_rings, use_mouse
from tui.keys import bind, key_name, meaning
from tui.messages import ActionFailed
from tui.palette import KeyCommands, Palette, in_order
from tui.screens.enlarge import EnlargeScreen, is_too_small
from tui.screens.help import ActiveKey, HelpScreen
from tui.state import FILE_NAME, State
from tui.theme import DARK, THEMES, plain_name, theme_of_terminal
from workbench.safe_text import one_line

if TYPE_CHECKING:
    from tui.talks import Talks

ACTS = frozenset(
    {"ask", "pause", "go_on", "stop", "resume", "steer", "tune", "decay", "branch", "start", "write"}
)
"""Actions that change something outside of this window: dim when it was opened to look only."""
LOOKS_ONLY = "this window only looks (--read-only)"
LAST_LOOK_SECONDS = 1.0
"""So long whoever leaves waits for the names of the runs that go on."""


class WorkbenchApp(App[None], inherit_bindings=False):
    """The terminal app over one home. `run_name` opens that run at once; `read_only` steers and starts nothing."""

    TITLE = "workbench"
    COMMANDS = {KeyCommands}  # noqa: RUF012 - Textual's type
    CSS_PATH: ClassVar[CSSPathType | None] = "tui.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (40, "-slim"), (70, "-narrow")]  # noqa: RUF012 - Textual's type
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (10, "-short"), (20, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("copy", show=False),
        bind("palette", show=False, priority=True),
        bind("repaint", show=False, priority=True),
        bind("mouse", show=False),
        bind("suspend", show=False),
        bind("interrupt", show=False),
        bind("help"),
        bind("leave", "detach"),
    ]

    def __init__(
        self,
        home: Path,
        run_name: str | None = None,
        *,
        driver: type[Driver] | None = None,
        read_only: bool = False,
    ) -> None:
        super().__init__(driver_class=driver)
        self._home = home
        self._run_name = run_name
        self.read_only = read_only
        self.state = State(home / FILE_NAME, writes=not read_only)
        self._safe_filter = SafeFilter()
        self._terminal = TerminalCells()
        self._drawn: Screen[Any] | None = None
        self._drawn_size: Size | None = None
        self.animation_level = "none"
        for theme in THEMES.values():
            self.register_theme(theme)
        self.theme = theme_of_terminal(self.state.get("theme", ""))

    @cached_property
    def talks(self) -> Talks:
        """What was said to each model, from the first time that somebody asks."""
        from tui.talks import FOLDER, Talks

        return Talks(None if self.read_only else self._home / FOLDER)

    def on_load(self) -> None:
        """In a real terminal, leave it as it was whatever ends us."""
        if not self.is_headless:
            leave_on_signals(self)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our own colour names, for themes that lack them."""
        return dict(DARK.variables)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's filters, and the guard after them."""
        return [*super().get_line_filters(), self._safe_filter]

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        """Send what changed. Another screen is sent whole: it mends what others wrote over it."""
        if screen is not self._drawn:
            self._drawn = screen
            self._terminal.forget()
        super()._display(screen, only_changes(renderable, self._terminal))

    def set_timer(
        self,
        delay: float,
        callback: TimerCallback | None = None,
        *,
        name: str | None = None,
        pause: bool = False,
    ) -> Timer:
        """Textual's, that rings on a crowded machine too."""
        return surely_rings(super().set_timer(delay, callback, name=name, pause=pause))

    def _handle_exception(self, error: Exception) -> None:
        """Once we leave nothing is an error any more: Textual mounts no widgets then, and screens miss theirs."""
        if not self._exit:
            super()._handle_exception(error)

    def get_default_screen(self) -> Screen[None]:
        """The run that was asked for, else the one that was looked at last, else the list of runs."""
        last = self.state.get("run", "")
        if last and (Path(last).name != last or not (self._home / "runs" / last / "plan.json").is_file()):
            last = ""  # it is no more
        if name := self._run_name or last:
            from tui.screens.run import RunScreen

            screen = RunScreen(self._home, name)
            let_switch(screen, self)  # to the list of runs, which is not read before somebody wants to see it
            return screen
        from tui.screens.home import HomeScreen

        return HomeScreen(self._home)

    def on_mount(self) -> None:
        """Say what is wrong with what was remembered, and give the mouse back where that was wished."""
        if self.state.problem:
            self.notify(one_line(self.state.problem, 300), severity="warning", markup=False)
        self._leave_the_mouse()
        self.app_resume_signal.subscribe(self, self._come_back)

    def _leave_the_mouse(self) -> None:
        if not self.state.get("mouse", True):
            use_mouse(self, False)

    def _come_back(self, _: App[Any]) -> None:
        """After ctrl-z and fg: Textual takes the terminal and the mouse again, and draws nothing."""
        self._leave_the_mouse()
        self.action_repaint()

    def exit(self, result: None = None, return_code: int = 0, message: RenderableType | None = None) -> None:
        """End, and remember which run was looked at."""
        shown = [
            getattr(screen, "run_name", "") for screen in self.screen_stack if hasattr(screen, "live_runs")
        ]
        last = shown[-1] if shown else ""
        if last != self.state.get("run", ""):
            self.state.put("run", last)
        super().exit(result, return_code, message)

    def on_resize(self, event: events.Resize) -> None:
        """Where nothing can be shown, say so in one line.

        A terminal of another size has drawn what it likes; one of the same was left, by SIGSTOP or for another.
        """
        self._terminal.forget()
        if event.size == self._drawn_size:
            self.action_repaint()
        self._drawn_size = event.size
        if is_too_small(*event.size) and not isinstance(self.screen, EnlargeScreen):
            self.push_screen(EnlargeScreen())

    @on(ActionFailed)
    def _say_why(self, message: ActionFailed) -> None:
        self.notify(one_line(message.reason, 300), severity="error", markup=False, timeout=8)

    # keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing more of the app is reached from a window that is too small than the way out."""
        return action in ("detach", "suspend_process") if isinstance(self.screen, EnlargeScreen) else True

    def _check_action_state(self, action: str, default_namespace: DOMNode) -> bool | None:
        """One guard for every screen: in a window that only looks, what acts on the world is dim."""
        state = super()._check_action_state(action, default_namespace)
        return None if self.read_only and state and _verb(action) in ACTS else state

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """The same guard where an action is run, whatever asked for it."""
        verb = _verb(action if isinstance(action, str) else action[1])
        if self.read_only and verb in ACTS:
            self.notify(LOOKS_ONLY, severity="warning", markup=False, timeout=4)
            return True
        return await super().run_action(action, default_namespace, namespaces)

    def on_key(self, event: events.Key) -> None:
        """A key that does nothing just now says why."""
        active = self.screen.active_bindings.get(event.key)
        if active is not None and not active.enabled:
            reason = self._why_not(active.binding.action)
            self.notify(f"{active.binding.description}: {reason}", markup=False, timeout=6)

    def _why_not(self, action: str) -> str:
        verb = _verb(action)
        if self.read_only and verb in ACTS:
            return LOOKS_ONLY
        why_not = getattr(self.screen, "why_not", None)
        if why_not is None:
            return "not now"
        return one_line(why_not(verb, parse(action)[2]), 200)

    def active_keys(self) -> list[ActiveKey]:
        """Every key that is told of on the screen now; those that do nothing just now with the reason."""
        found: dict[str, ActiveKey] = {}
        for key, active in in_order(self.screen):
            binding = active.binding
            if binding.tooltip and binding.tooltip not in found:
                meant = meaning(key, binding.action)
                found[binding.tooltip] = ActiveKey(
                    shown=key_name(key),
                    does=binding.tooltip,
                    about=meant[1].about if meant is not None else "",
                    why_not="" if active.enabled else self._why_not(binding.action),
                )
        return list(found.values())

    def action_keys(self) -> None:
        """Every key and figure of this screen, explained. On what the focused widget calls its `gauge`, if any."""
        screen = self.screen
        if isinstance(screen, HelpScreen | EnlargeScreen):
            return
        topic = type(screen).__name__.removesuffix("Screen").lower()
        topics = [("What is shown", gauges.TOPICS.get(topic, ()))]
        explanations = getattr(screen, "explanations", None)
        if explanations is not None:
            topics.insert(0, explanations())
        first = str(getattr(screen.focused, "gauge", ""))
        shown = [(heading, told) for heading, told in topics if told]
        self.push_screen(HelpScreen(self.active_keys(), shown, first=first))

    def wear(self, name: str) -> None:
        """Put on the theme of that name (theme.py), now and the next time."""
        self.theme = THEMES[name].name
        self.state.put("theme", plain_name(self.theme))

    # actions

    def action_command_palette(self) -> None:
        """Find what can be done here."""
        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette"))

    def action_help_quit(self) -> None:
        """Say how to leave; Textual looks for an action `quit`, which we have none of."""
        keys = [key for key, held in self.screen.active_bindings.items() if held.binding.action == "detach"]
        self.notify(f"{key_name(keys[0])} closes this window; runs go on", markup=False)

    def action_copy_command(self) -> None:
        """Copy the command that does here what the screen shows."""
        command = getattr(self.screen, "command", None)
        if command is None:
            self.notify("nothing here has a command", severity="warning", markup=False)
        else:
            copy(self, command())

    def action_mouse(self) -> None:
        """Give the mouse back to the terminal, or take it; remembered."""
        on = not self.state.get("mouse", True)
        self.state.put("mouse", on)
        use_mouse(self, on)
        self.notify(
            "the mouse is ours" if on else "the mouse is the terminal's: it selects text", markup=False
        )

    def action_repaint(self) -> None:
        """Draw everything again, for a terminal that another program wrote to."""
        self._terminal.forget()
        self.refresh(repaint=True, layout=True)

    async def action_detach(self) -> None:
        """Leave; runs go on, and the shell says so."""
        live = [name for screen in self.screen_stack for name in getattr(screen, "live_runs", list)()]
        from tui.rows import live_names  # a window that shows one run has no list

        with contextlib.suppress(TimeoutError, OSError):  # a home that does not answer keeps nobody here
            live += await asyncio.wait_for(asyncio.to_thread(live_names, self._home), LAST_LOOK_SECONDS)
        names = list(dict.fromkeys(one_line(name, 120) for name in live))
        if names:
            shown = ", ".join(names[:3]) + ("…" if len(names) > 3 else "")
            goes_on = "goes on; `workbench open` comes back to it." if len(names) == 1 else "go on."
            self.exit(message=Text(f"{shown} {goes_on}"))  # Text: a name is no markup
        else:
            self.exit()


def _verb(action: str) -> str:
    """`app.tune('x')` -> `tune`."""
    return action.partition("(")[0].rpartition(".")[2]
