"""What stands in a window that is too small for anything: one line."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.widgets import Static

from tui.compat import Dialog

LEAST_WIDTH, LEAST_HEIGHT = 40, 10


def is_too_small(width: int, height: int) -> bool:
    """Whether nothing can be shown in so many cells."""
    return width < LEAST_WIDTH or height < LEAST_HEIGHT


class EnlargeScreen(Dialog[None]):
    """Over whatever is open, which stays as it is. Of the app's keys only those work that lead out."""

    DEFAULT_CSS = """
    EnlargeScreen { background: $background; }
    EnlargeScreen Static { width: 1fr; height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def compose(self) -> ComposeResult:
        """The line."""
        yield Static(f"enlarge: {LEAST_WIDTH}×{LEAST_HEIGHT}", markup=False)

    def on_resize(self, event: events.Resize) -> None:
        """Away as soon as there is room."""
        self._leave_if_room(*event.size)

    def on_screen_resume(self) -> None:
        """Something lay over it meanwhile, and there may be room."""
        self._leave_if_room(*self.app.size)

    def _leave_if_room(self, width: int, height: int) -> None:
        if not is_too_small(width, height) and self.is_current:
            self.dismiss()
