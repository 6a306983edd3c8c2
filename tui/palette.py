"""What the palette offers: every key of the screen beneath, with the key that does the same, and the themes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from tui.compat import Dialog
from tui.keys import key_name, meaning
from tui.theme import THEMES

if TYPE_CHECKING:
    from textual.binding import ActiveBinding
    from textual.screen import Screen

    from tui.app import WorkbenchApp


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that can be done: the key that does it too (empty if none does), in words, more about it."""

    shown: str
    does: str
    about: str
    run: Callable[[], Any]


def in_order(screen: Screen[Any]) -> list[tuple[str, ActiveBinding]]:
    """The keys of a screen as a person reads them: the screen's own, those of its focused part, those of the app."""
    held = screen.active_bindings.items()
    return sorted(held, key=lambda each: (each[1].node is screen.app, each[1].node is not screen))


def commands_of(app: WorkbenchApp, screen: Screen[Any]) -> Iterator[Command]:
    """All that can be done on `screen` now, in the order of its help, then the themes."""
    seen: set[str] = set()
    for key, active in in_order(screen):
        binding = active.binding
        if not active.enabled or not binding.tooltip or binding.tooltip in seen:
            continue
        seen.add(binding.tooltip)
        if binding.action != "command_palette":
            meant = meaning(key, binding.action)
            yield Command(
                key_name(key),
                binding.tooltip,
                meant[1].about if meant is not None else "",
                partial(app.run_action, binding.action, active.node),
            )
    for name in THEMES:
        yield Command("", f"Theme: {name}", "Remembered for the next time", partial(app.wear, name))


class Palette(CommandPalette, Dialog[None]):
    """Textual's palette, in which the keys of the app hold too."""


class KeyCommands(Provider):
    """The commands, for Textual's palette."""

    def _commands(self) -> list[Command]:
        return list(commands_of(self.app, self.screen))  # type: ignore[arg-type]

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        commands = self._commands()
        for command in commands:
            yield DiscoveryHit(
                _line(command, Content(command.does), commands), command.run, text=command.does
            )

    async def search(self, query: str) -> Hits:
        """Those that have the letters of `query`, in order."""
        matcher, commands = self.matcher(query), self._commands()
        for command in commands:
            if (score := matcher.match(_unmarked(command.does))) > 0:
                does = matcher.highlight(_unmarked(command.does))
                yield Hit(
                    score, _line(command, does, commands), command.run, text=command.does, help=command.about
                )


def _line(command: Command, does: Content, commands: list[Command]) -> Content:
    cells = max(len(each.shown) for each in commands)
    return Content.assemble((f"{command.shown:>{cells}}  ", "$primary bold"), does)


def _unmarked(text: str) -> str:
    """Text for the matcher, which reads markup: without the one character that begins it."""
    return text.replace("[", "(").replace("]", ")")
