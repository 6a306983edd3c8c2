"""A line that appears when something is to be typed, for one purpose at a time, and goes when it is done."""

from __future__ import annotations

from textual.widgets import Input


class TypingLine(Input):
    """`purpose` says what is being typed; empty while the line is not there."""

    DEFAULT_CSS = """
    TypingLine { display: none; margin: 0 1; background: $panel; }
    """

    def __init__(self) -> None:
        super().__init__(id="line", compact=True)
        self.purpose = ""

    def on_mount(self) -> None:
        """Nothing blinks."""
        self.cursor_blink = False

    def begin(self, purpose: str, *, hint: str, value: str) -> None:
        """Appear with `value` in it, which nobody typed yet. The next key is already for the line."""
        self.purpose, self.placeholder = purpose, hint
        with self.prevent(Input.Changed):
            self.value = value
        self.display = True
        self.screen.set_focus(self)  # at once: `focus()` lets keys that are waiting already go elsewhere

    def end(self) -> None:
        """Go."""
        self.purpose = ""
        self.display = False
