"""Keys and help: one meaning per key on every screen, and a help that lists what works and explains what is shown."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.dom import DOMNode
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import OptionList

import tui
from tests.tui.test_screens import opened, running, text_of, until
from tui import gauges
from tui.app import WorkbenchApp
from tui.keys import KEYS, meaning
from tui.palette import commands_of
from tui.room_gauges import CORPUS, CUTTING, MACHINE
from tui.screens.help import HelpScreen
from tui.screens.home import HomeScreen
from tui.screens.recipe import RecipeScreen
from tui.screens.run import RunScreen
from tui.screens.start import StartScreen
from workbench.eval_terms import BASELINES, METRICS, TASKS
from workbench.files import lock_file
from workbench.recipe_vocabulary import all_tables
from workbench.runs import Run

MakeRun = Any


def ours() -> Iterator[type[DOMNode]]:
    """Every app, screen and widget of the app that binds keys of its own."""
    for module in pkgutil.walk_packages(tui.__path__, "tui."):
        if module.name == "tui.__main__":
            continue
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if kind.__module__ == module.name and issubclass(kind, DOMNode) and "BINDINGS" in vars(kind):
                yield kind


def test_a_key_means_the_same_on_every_screen() -> None:
    strangers = [
        f"{kind.__name__}: {key} -> {binding.action}"
        for kind in ours()
        for key, binding in kind._merge_bindings()
        if any(binding.action == own.action for _, own in _own(kind)) and meaning(key, binding.action) is None
    ]
    assert strangers == [], "not in tui/keys.py, or there with another meaning"


def _own(kind: type[DOMNode]) -> list[Any]:
    from textual.binding import BindingsMap

    return list(BindingsMap(vars(kind)["BINDINGS"]))


def test_no_key_has_two_meanings_in_the_table() -> None:
    held: dict[str, str] = {}
    for name, entry in KEYS.items():
        for key in entry.keys.split(","):
            assert key not in held, f"{key} is both {held[key]} and {name}"
            held[key] = name


def test_no_key_is_one_that_terminals_cannot_tell_apart_or_keep_for_themselves() -> None:
    taken = {
        "ctrl+i",
        "ctrl+m",
        "ctrl+h",
        "ctrl+a",
        "ctrl+b",
        "ctrl+s",
        "shift+enter",
        "ctrl+enter",
    }
    assert not taken & {key for entry in KEYS.values() for key in entry.keys.split(",")}
    assert not [entry for entry in KEYS.values() if entry.keys.startswith("alt+")]


def test_every_explanation_is_two_short_sentences_or_so() -> None:
    for told in {one for topic in gauges.TOPICS.values() for one in topic}:
        assert 40 < len(told.text) < 300 and told.text.endswith("."), told.name
        assert 1 <= told.text.count(". ") <= 2 or ": " in told.text or told in gauges.STATES, told.name


def test_every_screen_with_figures_explains_them_each_with_a_source() -> None:
    screens = {
        kind.__name__.removesuffix("Screen").lower() for kind in ours() if kind.__name__.endswith("Screen")
    }
    without_figures = {"log", "help", "pick", "steer", "tune", "branch", "ask", "enlarge"}
    assert {*TASKS, *METRICS, *BASELINES} <= set(gauges.TOPICS["scores"])
    assert set(gauges.TOPICS) == screens - without_figures
    unsourced = {told.name for told in (*CORPUS, *CUTTING, *MACHINE) if not told.source}
    assert not unsourced


def test_every_key_of_every_recipe_table_is_explained() -> None:
    for name, table in all_tables().items():
        for key in table.model_fields:
            told = gauges.recipe_key(f"{name}.{key}")
            assert told is not None and len(told.text) > 10, f"{name}.{key}"
    assert gauges.recipe_key("pretrain.sorces") is None and gauges.recipe_key("nothing") is None


async def explained(pilot: Pilot[None]) -> str:
    """All that the help lists, as text."""
    topics = pilot.app.screen.query_one("#topics", OptionList)
    return "\n".join(str(topics.get_option_at_index(index).prompt) for index in range(topics.option_count))


async def test_help_lists_exactly_the_keys_that_work(make_run: MakeRun, tmp_path: Path) -> None:
    make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app, (80, 40)) as pilot:
        await opened(pilot)
        keys = app.active_keys()
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        listed = await explained(pilot)
        for key in keys:
            assert f"{key.shown}  {key.does}" in listed
        section = listed.partition("\n\n")[0].splitlines()[1:]
        assert len(section) == len(keys) and not any("Pause" in key.does for key in keys)
        await pilot.press("escape")
        assert isinstance(app.screen, RunScreen)


def test_every_key_of_every_screen_and_widget_does_something() -> None:
    """No dead key: an action behind each, on the class that binds it, on the app where it says so, or further out."""
    dead = []
    for kind in ours():
        for _, binding in _own(kind):
            namespace, _, name = binding.action.partition("(")[0].rpartition(".")
            owner = {"app": WorkbenchApp, "screen": Screen}.get(namespace, kind)
            if not any(hasattr(owner, f"{way}{name}") for way in ("action_", "_action_")):
                dead.append(f"{kind.__name__}: {binding.key} -> {binding.action}")
    assert dead == []


async def test_help_explains_what_is_under_the_cursor(make_run: MakeRun, tmp_path: Path) -> None:
    make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await opened(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        topics = app.screen.query_one("#topics", OptionList)
        topics.highlighted = topics.get_option_index("gradient norm")
        await until(pilot, lambda: "pulls at all weights" in text_of(app))
        assert "Takase et al. 2023" in text_of(app)


async def test_tab_in_the_help_goes_from_part_to_part(make_run: MakeRun, tmp_path: Path) -> None:
    make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await opened(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("tab")
        await until(pilot, lambda: "Goodfellow" in text_of(app))  # the first figure: step
        first = app.screen.query_one(OptionList).highlighted
        await pilot.press("tab")  # no further part: the first one again
        assert app.screen.query_one(OptionList).highlighted == 1 and first != 1


async def test_help_stands_on_what_has_the_focus(make_run: MakeRun, tmp_path: Path) -> None:
    make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await until(pilot, lambda: bool(app.screen.query_one(OptionList).option_count))
        app.screen.query_one(OptionList).gauge = "tokenizer"  # type: ignore[attr-defined]
        await pilot.press("question_mark")
        await until(pilot, lambda: "Sennrich" in text_of(app))


async def test_help_of_a_recipe_tells_of_its_keys(tmp_path: Path) -> None:
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, StartScreen) and "quickstart" in text_of(app))
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        listed = await explained(pilot)
        assert "Keys of this recipe" in listed and "pretrain.matrix_learning_rate" in listed


@pytest.mark.parametrize("size", [(80, 24), (60, 15)])
async def test_help_scrolls_and_hides_what_is_beneath(
    make_run: MakeRun, tmp_path: Path, size: tuple[int, int]
) -> None:
    make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app, size) as pilot:
        await opened(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: "Keys" in text_of(app))
        assert "pretrain loss" not in text_of(app)
        await pilot.press("end")
        await until(pilot, lambda: "○ starting" in text_of(app))


async def test_the_palette_finds_what_can_be_done_here(make_run: MakeRun, tmp_path: Path) -> None:
    make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await opened(pilot)
        offered = {command.does for command in commands_of(app, app.screen)}
        assert {key.does for key in app.active_keys()} - {KEYS["palette"].does} <= offered
        assert "Theme: light" in offered
        await pilot.press("ctrl+p")
        await pilot.press(*"light-colorblind")
        await until(pilot, lambda: "Theme: light-colorblind" in text_of(app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.theme == "workbench-light-colorblind")
    again = WorkbenchApp(tmp_path)
    assert again.theme == app.theme


async def test_a_window_that_only_looks_writes_no_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = WorkbenchApp(tmp_path / "home", read_only=True)
    async with running(app) as pilot:
        await app.push_screen(RecipeScreen(tmp_path / "home", "quickstart"))
        await until(pilot, lambda: "W" in {key.shown for key in app.active_keys() if key.why_not})
        await pilot.press("W")
        await until(pilot, lambda: "only looks (--read-only)" in text_of(app))
        await pilot.press("enter", "x", "enter")
    assert [path.name for path in tmp_path.rglob("*.toml")] == []


async def test_read_only_steers_and_starts_nothing_and_says_so(make_run: MakeRun, tmp_path: Path) -> None:
    run: Run = make_run(state="running", now=time.time())
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        app = WorkbenchApp(tmp_path, read_only=True)
        async with running(app) as pilot:
            await until(pilot, lambda: run.name[:8] in text_of(app))
            assert text_of(app).splitlines()[-1].strip().startswith("read-only")
            await pilot.press("n")
            await until(pilot, lambda: "only looks (--read-only)" in text_of(app))
            assert isinstance(app.screen, HomeScreen)
            await opened(pilot)
            await pilot.press("C", "P", "S", "R")
            await pilot.pause()
            assert isinstance(app.screen, RunScreen)
            dim = {key.shown for key in app.active_keys() if "--read-only" in key.why_not}
            assert {"C", "P", "S"} <= dim
            await pilot.press("question_mark")
            await until(pilot, lambda: isinstance(app.screen, HelpScreen))
            listed = await explained(pilot)
            assert "Save a checkpoint now" in listed and "Stop, with a checkpoint or without" in listed
    assert list((run.path / "control").iterdir()) == [] and not (tmp_path / ".screen.json").exists()
