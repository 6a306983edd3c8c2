"""In every dialog the keys of the app hold: help, the way out, copy; what is typed into a field stays text."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import ModalScreen, Screen
from textual.widgets import Input

import tui
from tests.tui.test_screens import running, text_of, until
from tui.app import WorkbenchApp
from tui.compat import Dialog
from tui.palette import Palette
from tui.run_seen import RunSeen
from tui.screens.enlarge import EnlargeScreen
from tui.screens.help import ActiveKey, HelpScreen
from tui.screens.home import HomeScreen
from tui.screens.pick import PickScreen
from tui.screens.steer import SteerScreen
from tui.screens.stop import AskScreen, DecayScreen, StopScreen
from tui.screens.tune import BranchScreen, TuneScreen
from tui.steering import actions_for

NAME = "quickstart-7f3a12"
Make = Callable[[Path, RunSeen], Screen[Any]]
DIALOGS: dict[type[Screen[Any]], Make] = {
    TuneScreen: lambda home, _: TuneScreen(home, NAME),
    BranchScreen: lambda home, _: BranchScreen(home, NAME),
    StopScreen: lambda home, seen: StopScreen(seen, home),
    DecayScreen: lambda home, seen: DecayScreen(seen, home),
    SteerScreen: lambda home, seen: SteerScreen(NAME, actions_for(seen, home)),
    PickScreen: lambda *_: PickScreen("Which one?", [("first", "of two"), ("second", "of two")]),
    HelpScreen: lambda *_: HelpScreen([ActiveKey("C", "Save a checkpoint now")], []),
    Palette: lambda *_: Palette(id="--command-palette"),
}
TYPED = (TuneScreen, BranchScreen, Palette)


def modal_screens() -> set[type[ModalScreen[Any]]]:
    """Those that the app has, without the classes that they are made of."""
    found = set()
    for module in pkgutil.walk_packages(tui.__path__, "tui."):
        if module.name != "tui.__main__":
            for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                if kind.__module__ == module.name and issubclass(kind, ModalScreen):
                    found.add(kind)
    return found - {Dialog, AskScreen}


def test_every_modal_screen_lets_the_keys_of_the_app_through() -> None:
    assert modal_screens() == {*DIALOGS, EnlargeScreen}
    assert all(issubclass(kind, Dialog) for kind in modal_screens())


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the app was left by."""
    ways: list[str] = []
    monkeypatch.setattr(WorkbenchApp, "exit", lambda *_, **__: ways.append("exit"))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("TMUX", raising=False)
    return ways


async def opened(pilot: Pilot[None], home: Path, kind: type[Screen[Any]]) -> Screen[Any]:
    """A dialog over the list of runs, with its focus where it begins."""
    app = pilot.app
    await until(pilot, lambda: "stopped" in text_of(app))  # type: ignore[arg-type]
    dialog = DIALOGS[kind](home, RunSeen(NAME, home / "runs" / NAME, state="running", stage="pretrain"))
    app.push_screen(dialog)
    await until(pilot, lambda: app.screen is dialog and app.focused is not None)
    return dialog


@pytest.mark.parametrize("kind", DIALOGS)
async def test_help_and_the_way_out_from_every_dialog(
    kind: type[Screen[Any]], make_run: Any, tmp_path: Path, left: list[str]
) -> None:
    make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app, (100, 30)) as pilot:
        dialog = await opened(pilot, tmp_path, kind)
        await pilot.press("f1")
        if kind is HelpScreen:
            await until(pilot, lambda: isinstance(app.screen, HomeScreen))
            dialog = await opened(pilot, tmp_path, kind)
        else:
            await until(pilot, lambda: isinstance(app.screen, HelpScreen))
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is dialog)
        assert left == []
        await pilot.press("ctrl+q")
        await until(pilot, lambda: left == ["exit"])
        assert app.screen is dialog


@pytest.mark.parametrize("kind", TYPED)
async def test_letters_stay_letters_in_the_field_of_a_dialog(
    kind: type[Screen[Any]], make_run: Any, tmp_path: Path, left: list[str]
) -> None:
    make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app, (100, 30)) as pilot:
        dialog = await opened(pilot, tmp_path, kind)
        field = dialog.query_one(Input)
        field.focus()
        await until(pilot, lambda: app.focused is field)
        await pilot.press("q", "y", "question_mark")
        await until(pilot, lambda: field.value == "qy?")
        assert left == [] and app.screen is dialog and not app._notifications
        if kind is not Palette:
            await until(
                pilot, lambda: text_of(app).splitlines()[-1].rstrip().endswith("f1 help  ctrl+q quit")
            )


@pytest.mark.parametrize("kind", [kind for kind in DIALOGS if kind not in (*TYPED, HelpScreen)])
async def test_small_letters_of_the_app_hold_where_nothing_is_typed(
    kind: type[Screen[Any]], make_run: Any, tmp_path: Path, left: list[str]
) -> None:
    make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app, (100, 30)) as pilot:
        dialog = await opened(pilot, tmp_path, kind)
        assert text_of(app).splitlines()[-1].rstrip().endswith("? help  q quit")
        command = getattr(dialog, "command", None)
        await pilot.press("y")
        said = f"copied: {command()}" if command is not None else "nothing here has a command"
        await until(pilot, lambda: [each.message for each in app._notifications] == [said])
        await pilot.press("q")
        await until(pilot, lambda: left == ["exit"])


@pytest.mark.parametrize("kind", [None, StopScreen, HelpScreen])
async def test_ctrl_c_says_how_to_leave(
    kind: type[Screen[Any]] | None, make_run: Any, tmp_path: Path, left: list[str]
) -> None:
    make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app, (100, 30)) as pilot:
        if kind is not None:
            await opened(pilot, tmp_path, kind)
        else:
            await until(pilot, lambda: "stopped" in text_of(app))
        key = "ctrl+q" if kind is HelpScreen else "q"
        await pilot.press("ctrl+c")
        said = f"{key} closes this window; runs go on"
        await until(pilot, lambda: [each.message for each in app._notifications] == [said])
        assert left == []


async def test_a_window_that_is_too_small_has_only_the_way_out(
    make_run: Any, tmp_path: Path, left: list[str]
) -> None:
    make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app, (30, 8)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, EnlargeScreen))
        await pilot.press("f1", "y", "ctrl+p", "ctrl+t")
        assert isinstance(app.screen, EnlargeScreen) and not app._notifications and left == []
        await pilot.press("q", "ctrl+q")
        await until(pilot, lambda: left == ["exit", "exit"])
