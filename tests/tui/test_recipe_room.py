"""A recipe: edited, checked and saved, and refused where the command line refuses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input, OptionList

from tests.tui.small_home import RECIPE, shown
from tests.tui.test_screens import HOSTILE, _inert, running, text_of, until
from tui.app import WorkbenchApp
from tui.launching import start
from tui.screens.doctor import DoctorScreen
from tui.screens.plan import PlanScreen
from tui.screens.recipe import RecipeScreen
from tui.screens.start import StartScreen
from tui.widgets.still import StillText
from workbench.doctor import Finding
from workbench.errors import BadInput, RecipeError
from workbench.plan import Plan, make_plan
from workbench.prechecks import precheck
from workbench.recipe_file import load_recipe


async def test_a_recipe_is_edited_checked_and_saved(
    planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with running(WorkbenchApp(tmp_path), (110, 30)) as pilot:
        screen = RecipeScreen(tmp_path, "small.toml")
        app = await shown(pilot, screen, "plan  ")
        await until(pilot, lambda: "✓ valid" in text_of(app) and "○ pretrain" in text_of(app))
        await go_to(pilot, "vocab_size")
        assert "How many" in text_of(app) or "300" in text_of(app)
        await pilot.press("enter")
        screen.query_one(Input).value = "9 99"
        await until(pilot, lambda: "✗ 1 problem" in text_of(app) and "[tokenizer] vocab_size" in text_of(app))
        await pilot.press("escape")
        await until(pilot, lambda: "✓ valid" in text_of(app))
        await pilot.press("enter")
        screen.query_one(Input).value = "400"
        await pilot.press("enter")
        await until(pilot, lambda: "changed, not saved" in text_of(app) and "✓ valid" in text_of(app))
        assert "--set tokenizer.vocab_size=400" in screen.command()
        await pilot.press("u")
        await until(pilot, lambda: "changed" not in text_of(app))
        await pilot.press("enter")
        screen.query_one(Input).value = "500"
        await pilot.press("enter", "W")
        screen.query_one(Input).value = "other"
        await pilot.press("enter")
        await until(pilot, (tmp_path / "other.toml").is_file)
        assert (tmp_path / "other.toml").read_text() == RECIPE.replace("vocab_size = 300", "vocab_size = 500")
        assert (tmp_path / "small.toml").read_text() == RECIPE
        await until(pilot, lambda: "other.toml" in text_of(app) and "✓ valid" in text_of(app))
        await pilot.press("g")
        await until(
            pilot, lambda: isinstance(app.screen, PlanScreen) and "memory at its highest" in text_of(app)
        )


async def go_to(pilot: Pilot[None], key: str) -> None:
    """The cursor to a key of the recipe."""
    rows = pilot.app.screen.query_one(OptionList)
    at = next(n for n in range(rows.option_count) if key in str(rows.get_option_at_index(n).prompt))
    rows.highlighted = at
    await pilot.pause(0.1)


async def test_a_recipe_that_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text(f"name = {json.dumps(HOSTILE[:30])}\n[pretrain]\nlearing_rate = 1\n")
    async with running(WorkbenchApp(tmp_path), (110, 30)) as pilot:
        app = await shown(pilot, RecipeScreen(tmp_path, "bad.toml"), "learning_rate?")
        await _inert(app, pilot)
        assert "G start" in text_of(app)
        await pilot.press("G")
        assert isinstance(app.screen, RecipeScreen)
        await go_to(pilot, "learing_rate")
        await until(pilot, lambda: "takes it out" in text_of(app))
        await pilot.press("backspace")
        await until(pilot, lambda: "✗ 2 problems" in text_of(app) and "learing_rate" not in text_of(app))
        await shown(pilot, RecipeScreen(tmp_path, "none.toml"), "there is no such recipe")


async def test_what_would_fail_late_is_told_and_refused_as_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("some text\n" * 100)
    (tmp_path / "chats.jsonl").write_text('{"who": "knows"}\n')
    text = RECIPE.replace('tasks = ["heldout"]', 'tasks = ["heldoot"]')
    (tmp_path / "late.toml").write_text(text.replace("[eval]", '[sft]\nsources = ["chats.jsonl"]\n\n[eval]'))
    loaded = load_recipe(tmp_path / "late.toml")
    with pytest.raises(RecipeError) as told:
        precheck(make_plan(loaded, home=tmp_path), loaded)
    examples, task = told.value.problems
    launched: list[Plan] = []
    monkeypatch.setattr("workbench.launcher.launch", launched.append)
    async with running(WorkbenchApp(tmp_path), (240, 40)) as pilot:
        app = await shown(pilot, RecipeScreen(tmp_path, "late.toml"), "✗ 2 problems")
        await until(pilot, lambda: examples.message[:150] in text_of(app) and task.message in text_of(app))
        await go_to(pilot, "tasks")
        await until(
            pilot, lambda: "did you mean heldout?" in str(app.screen.query_one("#told", StillText).content)
        )
        await pilot.press("G")
        await until(pilot, lambda: "start: [sft] sources:" in text_of(app))
        await shown(
            pilot, StartScreen(tmp_path, first="late.toml"), f"✗ line {examples.line}: [sft] sources:"
        )
        words = " ".join(text_of(app).split())
        assert f"line {task.line}: [eval] tasks:" in words
        assert app.screen.query_one("#start", Button).disabled
        await pilot.press("G", "enter")
        assert isinstance(app.screen, StartScreen)
    with pytest.raises(RecipeError) as refused:
        start(loaded, home=tmp_path)
    assert str(refused.value) == str(told.value) and launched == []


async def test_what_will_not_fit_is_not_started_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("some text\n" * 100)
    (tmp_path / "huge.toml").write_text(RECIPE.replace("hidden_size = 32", "hidden_size = 131072"))
    launched: list[Plan] = []
    monkeypatch.setattr("workbench.launcher.launch", launched.append)
    async with running(WorkbenchApp(tmp_path), (140, 30)) as pilot:
        app = await shown(pilot, RecipeScreen(tmp_path, "huge.toml"), "✗ cannot run here: ")
        await pilot.press("G")
        await until(pilot, lambda: "start: it cannot run here: " in text_of(app))
        await shown(pilot, StartScreen(tmp_path, first="huge.toml"), "✗ cannot run here: ")
        assert app.screen.query_one("#start", Button).disabled
        await pilot.press("G", "enter")
        assert isinstance(app.screen, StartScreen) and app.screen.command().startswith("workbench run")
    loaded = load_recipe(tmp_path / "huge.toml")
    with pytest.raises(BadInput, match="will not fit"):
        start(loaded, home=tmp_path)
    assert launched == []


@pytest.mark.parametrize(
    "obstacle",
    ["the home /x cannot be written; choose another", "torch is not installed: nothing can be trained"],
)
async def test_what_doctor_calls_impossible_is_not_started_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    """In the app as with `run`: what is found is one list, doctor's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("some text\n" * 100)
    (tmp_path / "small.toml").write_text(RECIPE)
    found = Finding("torch", "not installed", "nothing can be trained", "pip install it", obstacle)
    monkeypatch.setattr("workbench.doctor._torch_obstacle", lambda: found)
    launched: list[Plan] = []
    monkeypatch.setattr("workbench.launcher.launch", launched.append)
    async with running(WorkbenchApp(tmp_path), (140, 30)) as pilot:
        app = await shown(pilot, RecipeScreen(tmp_path, "small.toml"), f"✗ cannot run here: {obstacle}")
        await pilot.press("G")
        await until(pilot, lambda: "start: it cannot run here: " in text_of(app))
        await shown(pilot, StartScreen(tmp_path, first="small.toml"), f"✗ cannot run here: {obstacle}")
        assert app.screen.query_one("#start", Button).disabled
        await pilot.press("G", "enter")
        assert isinstance(app.screen, StartScreen)
        await shown(pilot, DoctorScreen(tmp_path), "✗ no run can start here")
        assert "✗ torch" in text_of(app)
    with pytest.raises(BadInput, match=f"^cannot run here: {obstacle}$"):
        start(load_recipe(tmp_path / "small.toml"), home=tmp_path)
    assert launched == []
