"""What the palette offers: every key of the screen beneath, with the key and the command that do the same; the themes.

A screen tells the command of a key by `command_for(action, parameters)`, and what `y` copies there by `command()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.actions import parse
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from tui.commands import shown_command
from tui.compat import Dialog
from tui.keys import key_name, meaning
from tui.theme import THEMES

if TYPE_CHECKING:
    from textual.binding import ActiveBinding
    from textual.screen import Screen

    from tui.app import WorkbenchApp


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that can be done: the key that does it too (empty if none does), in words, more about it.

    command: does the same in a shell; empty where none does.
    """

    shown: str
    does: str
    about: str
    run: Callable[[], Any]
    command: str = ""


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
                command_of(screen, binding.action),
            )
    for name in THEMES:
        yield Command("", f"Theme: {name}", "Remembered for the next time", partial(app.wear, name))


def command_of(screen: Screen[Any], action: str) -> str:
    """The command that does in a shell what `action` does on `screen`; empty where none does."""
    _, verb, parameters = parse(action)
    if verb == "copy_command":
        its_own = getattr(screen, "command", None)
        return str(its_own()) if its_own is not None else ""
    command_for = getattr(screen, "command_for", None)
    return str(command_for(verb, parameters)) if command_for is not None else ""


class Palette(CommandPalette, Dialog[None]):
    """Textual's palette, in which the keys of the app hold too."""


class KeyCommands(Provider):
    """The commands, for Textual's palette: those of the moment in which it was opened."""

    _commands: tuple[Command, ...] = ()

    async def startup(self) -> None:
        """Gather them once: some read a plan to name its recipe."""
        self._commands = tuple(commands_of(self.app, self.screen))  # type: ignore[arg-type]

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for command in self._commands:
            yield DiscoveryHit(self._told(command, Content(command.does)), command.run, text=command.does)

    async def search(self, query: str) -> Hits:
        """Those that have the letters of `query`, in order."""
        matcher = self.matcher(query)
        for command in self._commands:
            if (score := matcher.match(_unmarked(command.does))) > 0:
                does = matcher.highlight(_unmarked(command.does))
                told = self._told(command, does, command.about)
                yield Hit(score, told, command.run, text=command.does)

    def _told(self, command: Command, does: Content, about: str = "") -> Content:
        """Its key and what it does; below that more about it, and its command.

        Not in a hit's `help`, which Textual reads as markup: a command names runs and files.
        """
        cells = max(len(each.shown) for each in self._commands)
        below = [about, shown_command(command.command) if command.command else ""]
        more = [(f"\n{'':{cells}}  {line}", "$dim") for line in below if line]
        return Content.assemble((f"{command.shown:>{cells}}  ", "$primary bold"), does, *more)


def _unmarked(text: str) -> str:
    """Text for the matcher, which reads markup: without the one character that begins it."""
    return text.replace("[", "(").replace("]", ")")
