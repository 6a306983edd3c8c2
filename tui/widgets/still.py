"""Text that is sent to the terminal only when it differs from what stands there."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static


class StillText(Static):
    """A Static that compares before it repaints: an unchanged screen costs no byte on the line."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, markup=False)
        self._stands = Content("")

    def put(self, content: Content, *, layout: bool = False) -> None:
        """Show `content`; `layout` says that it may take another number of rows."""
        if not content.is_same(self._stands):
            self._stands = content
            self.update(content, layout=layout)
