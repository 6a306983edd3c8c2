"""The app: which screen is up, what every screen shares, and how it ends.

It holds no truth: close it, open it, nothing is lost. It never stops a run by leaving.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.filter import LineFilter
from textual.types import CSSPathType

from tui.compat import SafeFilter, leave_on_signals
from tui.messages import ActionFailed
from tui.screens.help import HelpScreen
from tui.screens.home import HomeScreen
from tui.screens.run import RunScreen
from tui.theme import DARK, LIGHT, theme_of_terminal
from workbench.safe_text import one_line


class WorkbenchApp(App[None]):
    """The terminal app over one home. `run_name` opens that run at once."""

    TITLE = "workbench"
    CSS_PATH: ClassVar[CSSPathType | None] = "tui.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (40, "-slim"), (70, "-narrow")]  # noqa: RUF012 - Textual's type
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (10, "-short"), (20, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "keys", "help", key_display="?", tooltip="This list"),
        Binding("f1", "keys", "help", show=False),
        Binding("q", "detach", "quit", tooltip="Close this window; runs go on"),
        Binding("ctrl+l", "repaint", "repaint", show=False, priority=True, tooltip="Draw everything again"),
        Binding("ctrl+z", "suspend_process", "suspend", show=False, tooltip="To the shell; fg comes back"),
    ]

    def __init__(
        self, home: Path, run_name: str | None = None, *, driver: type[Driver] | None = None
    ) -> None:
        super().__init__(driver_class=driver)
        self._home = home
        self._run_name = run_name
        self._safe_filter = SafeFilter()
        self.animation_level = "none"
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = theme_of_terminal()

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

    def get_default_screen(self) -> HomeScreen:
        """The runs."""
        return HomeScreen(self._home)

    def on_mount(self) -> None:
        """Open the run that was asked for."""
        if self._run_name is not None:
            self.push_screen(RunScreen(self._home, self._run_name))

    @on(ActionFailed)
    def _say_why(self, message: ActionFailed) -> None:
        self.notify(one_line(message.reason, 300), severity="error", markup=False, timeout=8)

    def action_keys(self) -> None:
        """The keys of this screen."""
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(list(active_keys(self))))

    def action_repaint(self) -> None:
        """Draw everything again, for a terminal that another program wrote to."""
        self.refresh(repaint=True, layout=True)

    def action_detach(self) -> None:
        """Leave; runs go on, and the shell says so."""
        live = [
            name
            for screen in self.screen_stack
            if isinstance(screen, HomeScreen | RunScreen)
            for name in screen.live_runs()
        ]
        names = list(dict.fromkeys(live))
        if names:
            shown = ", ".join(names[:3]) + ("…" if len(names) > 3 else "")
            self.exit(
                message=f"{shown} goes on; `workbench open` comes back to it."
                if len(names) == 1
                else f"{shown} go on."
            )
        else:
            self.exit()


def active_keys(app: App[None]) -> Sequence[tuple[str, str]]:
    """Key and meaning of every binding of ours that works on the screen now."""
    lines: dict[str, tuple[str, str]] = {}
    for active in app.screen.active_bindings.values():
        binding = active.binding
        if active.enabled and binding.tooltip:
            key = binding.key_display or app.get_key_display(binding)
            lines.setdefault(binding.tooltip, (key, binding.tooltip))
    return list(lines.values())
