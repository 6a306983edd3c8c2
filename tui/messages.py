"""What the workers of screens post when they have read something: past tense, frozen data, no widgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from tui.plan_words import PlanCost
from tui.rows import RunRow
from tui.run_seen import RunSeen

if TYPE_CHECKING:
    from workbench.chat_client import ChatEvent


@dataclass
class RunsRead(Message):
    """The runs of the home were listed."""

    rows: tuple[RunRow, ...]


@dataclass
class RunRead(Message):
    """A run folder was looked at."""

    seen: RunSeen


@dataclass
class RoomsLooked(Message):
    """What a run has made was looked at: these rooms have nothing to show yet."""

    waiting: frozenset[str]


@dataclass
class LogRead(Message):
    """The end of a run's log was read."""

    text: str


@dataclass
class RecipesFound(Message):
    """The recipes to choose from: (name or path, description)."""

    recipes: tuple[tuple[str, str], ...]


@dataclass
class RecipePlanned(Message):
    """A recipe was planned, or could not be: then `cost` is None, or `problems` says what would fail."""

    recipe: str
    cost: PlanCost | None = None
    problems: tuple[str, ...] = ()


@dataclass
class RunLaunched(Message):
    """A run works in a process of its own."""

    name: str


@dataclass
class ActionFailed(Message):
    """What a person asked for could not be done; `reason` is one line."""

    reason: str


@dataclass
class ChatHeard(Message):
    """The model's process said something; neighbouring tokens are one."""

    events: tuple[ChatEvent, ...]


@dataclass
class Asked(Message):
    """A request lies in the run folder; `name` is what the worker's answers bear."""

    request: str
    name: str


@dataclass
class ChoicesRead(Message):
    """What there is to choose from was read."""

    choices: tuple[str, ...]


@dataclass
class Checked(Message):
    """What a person typed was looked at: its `result`, or the `problem` in one line."""

    result: str
    problem: str = ""


@dataclass
class ComparedRead(Message):
    """The runs that are compared were looked at."""

    seen: tuple[RunSeen, ...]
