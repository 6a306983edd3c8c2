"""Every key of every screen is pressed: it does something or says why not, and nothing crashes.

In a home without runs, on a run that has made nothing, and on one that has finished, whose texts are hostile.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from tests.tui.conftest import write_run
from tests.tui.hostile_home import corpus_of, hostile_run, scorecard_of, wicked
from tests.tui.puppet import READY, Puppet
from tests.tui.small_home import TEXT_CHILD
from tests.tui.test_screens import running, text_of
from tui.app import WorkbenchApp
from tui.keys import meaning
from tui.screens import doctor
from tui.screens.chat import ChatScreen
from tui.screens.clusters import ClustersScreen
from tui.screens.compare import CompareScreen
from tui.screens.corpus import CorpusScreen
from tui.screens.doctor import DoctorScreen
from tui.screens.documents import DocumentsScreen
from tui.screens.failures import FailuresScreen
from tui.screens.help import HelpScreen
from tui.screens.home import HomeScreen
from tui.screens.log import LogScreen
from tui.screens.recipe import RecipeScreen
from tui.screens.run import RunScreen
from tui.screens.scores import ScoresScreen
from tui.screens.start import StartScreen
from tui.screens.tokens import TokensScreen
from tui.screens.tune import BranchScreen
from tui.talks import FOLDER, Talks
from workbench.doctor import Finding
from workbench.errors import WorkbenchError
from workbench.text_client import TextClient

Make = Callable[[], Screen[Any]]

MOVES = frozenset(
    {
        *(
            "cursor",
            "cursor_up",
            "cursor_down",
            "cursor_left",
            "cursor_right",
            "page_up",
            "page_down",
            "first",
            "last",
        ),
        *(
            "scroll",
            "scroll_up",
            "scroll_down",
            "scroll_home",
            "scroll_end",
            "scroll_left",
            "scroll_right",
            "told",
        ),
        *(
            "stretch",
            "pan",
            "follow",
            "stage",
            "sample",
            "match",
            "turn",
            "focus_next",
            "focus_previous",
            "next_part",
            "recall",
        ),
        *(
            "repaint",
            "suspend_process",
            "copy_text",
            "page_left",
            "page_right",
            "delete_left",
            "delete_right",
        ),
    }
)
"""What need not be seen: a move where there is no further to go, and what only a terminal could show. Nor must keys
be seen that are neither on the last line nor in the help: Textual's own, which move in a text."""
SECONDS = 30.0
"""For a crowded machine; a key that works is seen at once."""


def signature(app: WorkbenchApp, left: list[object]) -> tuple[object, ...]:
    """All that a key may change."""
    said = tuple(each.message for each in app._notifications)
    focus = (id(app.focused), getattr(app.focused, "cursor_position", None))
    return [id(each) for each in app.screen_stack], text_of(app), said, focus, len(left), app.theme


async def quiet(pilot: Pilot[None], app: WorkbenchApp, left: list[object]) -> None:
    """Wait until threads that were at work have had their say: two looks alike, nothing that is being read."""
    deadline, was = time.monotonic() + SECONDS, None
    while time.monotonic() < deadline:
        await pilot.pause(0.05)
        busy = any(worker.is_running and worker.group not in ("feed", "chat") for worker in app.workers)
        now = signature(app, left)
        if now == was and not busy and "loading the model" not in text_of(app):
            return
        was = now


async def dead_keys(app: WorkbenchApp, pilot: Pilot[None], make: Make, left: list[object]) -> list[str]:
    """The actions of a screen's keys after which nothing is other than before.

    The screen is made anew as soon as a key has led out of it or has changed which keys there are.
    """
    await reopened(app, pilot, make, left)
    keys = {active.binding.action: key for key, active in app.screen.active_bindings.items()}
    dead = []
    for action, key in keys.items():
        verb = action.partition("(")[0].rpartition(".")[2]
        there, bound = list(app.screen_stack), set(app.screen.active_bindings)
        if key not in bound:
            continue
        binding = app.screen.active_bindings[key].binding
        offered = (binding.show or binding.tooltip) and meaning(key, action) is not None
        seen = offered and verb not in MOVES
        app.clear_notifications()
        await pilot.pause()
        before = signature(app, left)
        await pilot.press(key)
        deadline = time.monotonic() + SECONDS
        while seen and signature(app, left) == before:
            if time.monotonic() > deadline:
                dead.append(f"{type(there[-1]).__name__}: {key} -> {action}")
                break
            await pilot.pause(0.02)
        if app.screen_stack != there or set(app.screen.active_bindings) != bound:
            await reopened(app, pilot, make, left)
    return dead


async def reopened(app: WorkbenchApp, pilot: Pilot[None], make: Make, left: list[object]) -> None:
    """The screen alone over the home, and what its threads read."""
    while len(app.screen_stack) > 1:
        app.pop_screen()
    await pilot.pause()
    screen = make()
    if not isinstance(screen, HomeScreen):
        app.push_screen(screen)
    await quiet(pilot, app, left)


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[object]]:
    """No process, no clipboard, no measuring; what would have left the app is put into the list."""
    left: list[object] = []

    def refused(*_: object, **__: object) -> None:
        raise WorkbenchError("not in a test")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.setattr("workbench.launcher.launch", refused)
    monkeypatch.setattr("workbench.launcher.relaunch", refused)
    looks = itertools.count()
    monkeypatch.setattr(doctor, "examine", lambda _: iter([Finding("load", f"look {next(looks)}")]))
    monkeypatch.setattr(DoctorScreen, "_measure", lambda _: None)
    monkeypatch.setattr(WorkbenchApp, "exit", lambda _, *args, **options: left.append((args, options)))
    monkeypatch.setattr(TextClient, "over", lambda _: TextClient([sys.executable, str(TEXT_CHILD)]))
    yield left


class Mute(Puppet):
    """A model that has loaded and says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.events.put(READY)


def chat_of(home: Path, name: str) -> ChatScreen:
    return ChatScreen(home, name, client=Mute())  # type: ignore[arg-type]


def keep_chat(home: Path, name: str, *said: str) -> None:
    """A conversation with `name` that was held before."""
    talks = Talks(home / FOLDER)
    talk = talks.take_up(name)
    talk.take([{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)])
    talks.keep(talk)


async def walk(home: Path, screens: dict[str, Make], left: list[object]) -> None:
    app = WorkbenchApp(home)
    async with running(app, (100, 30)) as pilot:
        dead = [await dead_keys(app, pilot, make, left) for make in screens.values()]
    assert dead == [[] for _ in screens]


async def test_in_an_empty_home(tmp_path: Path, calm: list[object]) -> None:
    home = tmp_path / "home"
    await walk(
        home,
        {
            "home": lambda: HomeScreen(home),
            "start": lambda: StartScreen(home, first="quickstart"),
            "recipe": lambda: RecipeScreen(home, "quickstart"),
            "no recipe": lambda: RecipeScreen(home, "none.toml"),
            "doctor": lambda: DoctorScreen(home),
            "help": lambda: HelpScreen([], []),
        },
        calm,
    )


async def test_on_a_run_that_has_made_nothing(tmp_path: Path, calm: list[object]) -> None:
    home = tmp_path / "home"
    name = write_run(home, "early", state="stopped", steps=0).name
    write_run(home, "other", state="crashed", steps=0)
    await walk(
        home,
        {
            "home": lambda: HomeScreen(home),
            "run": lambda: RunScreen(home, name),
            "corpus": lambda: CorpusScreen(home, name),
            "tokens": lambda: TokensScreen(home, name),
            "scores": lambda: ScoresScreen(home, name),
            "log": lambda: LogScreen(home, name),
            "compare": lambda: CompareScreen(home, [name, "other"]),
            "branch": lambda: BranchScreen(home, name),
            "chat": lambda: chat_of(home, name),
        },
        calm,
    )


async def test_on_a_finished_run(tmp_path: Path, calm: list[object]) -> None:
    home, name = hostile_run(tmp_path)
    curves = write_run(home, "curves", state="finished").name
    corpus, card = corpus_of(home), scorecard_of(home)
    keep_chat(home, name, wicked(1), wicked(2))
    await walk(
        home,
        {
            "home": lambda: HomeScreen(home),
            "run": lambda: RunScreen(home, curves),
            "log": lambda: LogScreen(home, curves),
            "corpus": lambda: CorpusScreen(home, name),
            "documents": lambda: DocumentsScreen(home, name, corpus, seed=1),
            "clusters": lambda: ClustersScreen(home, name, corpus),
            "scores": lambda: ScoresScreen(home, name),
            "failures": lambda: FailuresScreen(home, name, card, wicked(0)),
            "compare": lambda: CompareScreen(home, [curves, name]),
            "chat": lambda: chat_of(home, name),
        },
        calm,
    )
