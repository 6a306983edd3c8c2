"""The last line: the keys that work here, as many as fit. The way back, help and out never move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.screen import Screen

from tui.keys import key_name
from tui.widgets.still import StillText

_GAP = "  "
LOOKS_ONLY = "read-only"


@dataclass(frozen=True, slots=True)
class Key:
    """One entry: what is on the key, what it does, and whether it can be done now."""

    shown: str
    does: str
    enabled: bool
    kept: bool


class KeyBar(StillText):
    """Follows the bindings of its screen."""

    DEFAULT_CSS = "KeyBar { dock: bottom; height: 1; background: $panel; padding: 0 1; text-wrap: nowrap; }"

    def on_mount(self) -> None:
        """Follow the bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def on_resize(self, _: events.Resize) -> None:
        """Fit again."""
        self._changed(self.screen)

    def _changed(self, screen: Screen[object]) -> None:
        if self.is_attached:
            looks = bool(getattr(self.app, "read_only", False))
            self.put(key_line(self._keys(screen), width=self.size.width, looks_only=looks))

    def _keys(self, screen: Screen[object]) -> Sequence[Key]:
        keys: dict[str, Key] = {}
        # What acts on the whole screen first, then what acts on the part that has the focus.
        for active in sorted(screen.active_bindings.values(), key=lambda active: active.node is not screen):
            binding = active.binding
            if binding.show and binding.description:
                kept = active.node is self.app or binding.key == "escape"
                key = Key(key_name(binding.key), binding.description, active.enabled, kept)
                keys.setdefault(binding.action, key)
        return sorted(keys.values(), key=lambda key: (key.kept, key.shown != "enter"))


def key_line(keys: Sequence[Key], *, width: int, looks_only: bool = False) -> Content:
    """The keys that fit into `width` cells, in order; those `kept` stand at the right end, the same on every screen.

    looks_only: say first that nothing is steered from here, which is why keys are dim.
    """
    shown = list(keys)
    room = width - (len(LOOKS_ONLY) + len(_GAP) if looks_only else 0)
    while shown and _length(shown) > room:
        dispensable = [key for key in shown if not key.kept] or shown
        shown.remove(dispensable[-1])
    left = [Content.styled(LOOKS_ONLY, "$warning")] if looks_only else []
    left += [_written(key) for key in shown if not key.kept]
    right = Content(_GAP).join(_written(key) for key in shown if key.kept)
    line = Content(_GAP).join(left)
    space = max(width - line.cell_length - right.cell_length, len(_GAP) if left else 0)
    return Content.assemble(line, " " * space, right)


def _written(key: Key) -> Content:
    color, word = ("$primary bold", "$dim") if key.enabled else ("$faint", "$faint")
    return Content.assemble((key.shown, color), (f" {key.does}", word))


def _length(keys: Sequence[Key]) -> int:
    return sum(len(key.shown) + 1 + len(key.does) for key in keys) + len(_GAP) * (len(keys) - 1)
