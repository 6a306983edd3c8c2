"""Where letters are typed they are letters: the keys that are told there are those that still work, on every screen."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.keys import key_to_character
from textual.screen import Screen
from textual.widgets import Input, TextArea

import tui.screens
from tests.tui.hostile_home import corpus_of, hostile_run
from tests.tui.puppet import Puppet
from tests.tui.test_rooms import fake_texts
from tests.tui.test_screens import running, text_of, until
from tui.app import WorkbenchApp
from tui.keys import KEYS, key_name
from tui.screens.chat import ChatScreen
from tui.screens.documents import DocumentsScreen
from tui.screens.home import HomeScreen
from tui.screens.log import LogScreen
from tui.screens.recipe import RecipeScreen
from tui.screens.tokens import TokensScreen
from tui.screens.tune import BranchScreen, TuneScreen

ROOMS: dict[type[Screen[Any]], tuple[Callable[[Path, str], Screen[Any]], str]] = {
    HomeScreen: (lambda home, _: HomeScreen(home), "slash"),
    LogScreen: (LogScreen, "slash"),
    DocumentsScreen: (lambda home, name: DocumentsScreen(home, name, corpus_of(home)), "slash"),
    RecipeScreen: (lambda home, _: RecipeScreen(home, "quickstart"), "slash"),
    TokensScreen: (TokensScreen, ""),
    ChatScreen: (lambda home, name: ChatScreen(home, name, client=Puppet()), ""),  # type: ignore[arg-type]
    TuneScreen: (TuneScreen, ""),
    BranchScreen: (BranchScreen, "tab"),
}
"""How each screen on which something is typed is opened, and the key that leads to where it is."""


FIELDS = ("Input", "TextArea", "TypingLine", "Composer")


def test_every_screen_on_which_something_is_typed_is_here() -> None:
    types = {
        kind
        for module in pkgutil.walk_packages(tui.screens.__path__, "tui.screens.")
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        if kind.__module__ == module.name
        and any(f"yield {field}(" in inspect.getsource(kind) for field in FIELDS)
    }
    assert types == set(ROOMS)


def works(app: WorkbenchApp, key: str) -> bool:
    """Whether the key does something now; one that filters needs something to filter."""
    active = app.screen.active_bindings.get(key)
    return active is not None and active.enabled


@pytest.mark.parametrize("kind", ROOMS, ids=lambda kind: kind.__name__)
async def test_the_last_line_tells_keys_that_are_no_letters(
    kind: type[Screen[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_texts(monkeypatch)
    home, name = hostile_run(tmp_path)
    make, opens = ROOMS[kind]
    app = WorkbenchApp(home)
    async with running(app, (120, 24)) as pilot:
        await app.push_screen(make(home, name))
        if opens:
            await until(pilot, lambda: opens == "tab" or works(app, opens))
            await pilot.press(opens)
        await until(pilot, lambda: isinstance(app.focused, Input | TextArea))
        told = {key_name(key): key for key in app.screen.active_bindings}
        letters = [
            shown
            for shown in (key.shown for key in app.active_keys())
            if app.focused is None
            or app.focused.check_consume_key(told[shown], key_to_character(told[shown]))
        ]
        assert letters == []
        last = text_of(app).splitlines()[-1]
        if not app.screen.is_modal:
            assert "f1 help" in last and last.strip().endswith("ctrl+q quit")
        field: Any = app.focused
        before = app.screen
        await pilot.press("q", "question_mark", "t")
        await until(
            pilot, lambda: (field.value if isinstance(field, Input) else field.text).count("q?t") == 1
        )
        assert app.screen is before and app.return_code is None


def test_every_key_has_a_name_of_its_own() -> None:
    names = [key_name(key) for entry in KEYS.values() for key in entry.keys.split(",")]
    assert len(set(names)) == len(names)
    keys = ("q", "ctrl+q", "f1", "colon", "7", "delete")
    assert [key_name(key) for key in keys] == ["q", "ctrl+q", "f1", ":", "7", "delete"]
