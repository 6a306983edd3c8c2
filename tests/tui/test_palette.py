"""The palette tells of each thing that can be done the command that does it in a shell."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from textual.actions import parse
from textual.pilot import Pilot

from tests.tui.small_home import TEXT_CHILD
from tests.tui.test_commands import taken
from tests.tui.test_screens import opened, running, text_of, until
from tui.app import ACTS, WorkbenchApp
from tui.palette import Palette, command_of, commands_of
from tui.rooms import ROOMS, room, room_command
from tui.screens.chat import ChatScreen
from tui.screens.home import HomeScreen
from tui.screens.log import LogScreen
from tui.screens.recipe import RecipeScreen
from tui.screens.run import RunScreen
from tui.screens.start import StartScreen
from tui.screens.tokens import FIRST_TEXT
from workbench.files import lock_file
from workbench.runs import Run
from workbench.text_client import TextClient

MakeRun = Any
WITHOUT = {"steer", "write"}
"""The list of all that can be asked of a run; a draft, which is in this window alone until it is written."""


def told(app: WorkbenchApp) -> dict[str, str]:
    """What is offered now, with its command where it has one."""
    return {each.does: each.command for each in commands_of(app, app.screen)}


def acts_without_command(app: WorkbenchApp) -> set[str]:
    """What acts on the world, can be done now, and has no command that the command line takes."""
    actions = {each.binding.action for each in app.screen.active_bindings.values() if each.enabled}
    acting = {action for action in actions if parse(action)[1] in ACTS - WITHOUT}
    assert acting
    return {action for action in acting if not taken(command_of(app.screen, action) or "none at all")}


@pytest.mark.parametrize("state", ["running", "paused", "stopped"])
async def test_whatever_can_be_asked_of_a_run_has_its_command(
    make_run: MakeRun, tmp_path: Path, state: str
) -> None:
    run: Run = make_run(state=state, now=time.time())
    live = lock_file(run.lock_path) if state != "stopped" else contextlib.nullcontext()
    app = WorkbenchApp(tmp_path, run.name)
    with live or pytest.fail("the lock was not free"):
        async with running(app, (100, 30)) as pilot:
            await until(pilot, lambda: "s=0.9" in text_of(app))
            assert acts_without_command(app) == set()
            offered = told(app)
    expected = {
        "running": {"Save a checkpoint now": "save", "Pause, or go on": "pause",
                    "Stop, with a checkpoint or without (asks first)": "stop"},
        "paused": {"Let the run go on": "resume"},
        "stopped": {"Go on with a run that was stopped, failed or crashed": "resume"},
    }[state]  # fmt: skip
    for does, verb in expected.items():
        assert shlex.split(offered[does])[:3] == ["workbench", verb, run.name]
    assert shlex.split(offered["What the worker printed"])[:3] == ["workbench", "log", run.name]
    assert shlex.split(offered["Copy the command that does the same in a shell"])[1] == "follow"
    assert offered["Freeze the screen, or go on; the run goes on anyway"] == ""


@pytest.mark.parametrize("screen", [StartScreen, RecipeScreen])
async def test_what_starts_a_run_has_its_command(screen: Any, tmp_path: Path) -> None:
    app = WorkbenchApp(tmp_path)
    async with running(app, (100, 30)) as pilot:
        given = {"first": "quickstart"} if screen is StartScreen else {"recipe": "quickstart"}
        app.push_screen(screen(tmp_path, **given))
        await until(pilot, lambda: app.screen.check_action("start", ()) is True)
        assert acts_without_command(app) == set()
        ran = shlex.split(command_of(app.screen, "start"))
        assert ran[:3] == ["workbench", "run", "quickstart"] and "--detach" in ran
        planned = shlex.split(command_of(app.screen, "plan" if screen is RecipeScreen else "room('recipe')"))
        assert planned[:3] == ["workbench", "plan", "quickstart"] and "--detach" not in planned


async def test_the_command_of_a_room_is_the_one_that_is_copied_in_it(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TextClient, "over", lambda _: TextClient([sys.executable, str(TEXT_CHILD)]))
    name = make_run().name
    for shown, screen in {
        "run": RunScreen(tmp_path, name),
        "chat": ChatScreen(tmp_path, name),
        "log": LogScreen(tmp_path, name),
        "scores": room("scores", tmp_path, name),
        "doctor": room("doctor", tmp_path, name),
    }.items():
        assert room_command(shown, tmp_path, name) == screen.command()  # type: ignore[attr-defined]
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        for shown in ("corpus", "tokens"):
            screen = room(shown, tmp_path, name)
            app.push_screen(screen)
            await until(pilot, lambda screen=screen: app.screen is screen and screen.is_mounted)  # type: ignore[misc]
            copied = screen.command()  # type: ignore[attr-defined]
            expected = room_command(shown, tmp_path, name)
            assert copied == expected or shlex.split(copied) == [
                FIRST_TEXT if word == "TEXT" else word for word in shlex.split(expected)
            ]
    for shown in (*ROOMS, "run", "chat", "log"):
        assert taken(room_command(shown, tmp_path, name)), shown
    assert room_command("corpus", tmp_path, None) == ""


async def test_the_list_of_runs_tells_commands_of_the_run_under_the_cursor(
    make_run: MakeRun, tmp_path: Path
) -> None:
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await until(pilot, lambda: "There are no runs here yet" in text_of(app))
        assert command_of(app.screen, "select") == command_of(app.screen, "compare") == ""
        assert command_of(app.screen, "room('recipe')").startswith("workbench plan quickstart")
        for name in ("first", "second"):
            make_run(name)
        await until(pilot, lambda: "second" in text_of(app) and isinstance(app.screen, HomeScreen))
        await pilot.press("home")
        under_cursor = app.screen._selected()
        assert command_of(app.screen, "select").startswith(f"workbench follow {under_cursor} ")
        assert command_of(app.screen, "chat").startswith(f"workbench chat {under_cursor} ")
        assert command_of(app.screen, "room('scores')").startswith(f"workbench inspect {under_cursor}/eval ")
        assert command_of(app.screen, "start").startswith("workbench run RECIPE --detach ")
        await pilot.press("space", "space")
        compared = shlex.split(command_of(app.screen, "compare"))
        assert compared[:2] == ["workbench", "plot"] and set(compared[2:4]) == {"first", "second"}
        assert taken(command_of(app.screen, "compare"))


async def looked_for(pilot: Pilot[None], words: str) -> None:
    """Open the palette and type."""
    app = pilot.app
    await pilot.press("ctrl+p")
    await until(pilot, lambda: isinstance(app.screen, Palette) and app.focused is not None)
    await pilot.press(*words)


async def test_the_palette_shows_the_command_beneath_what_it_does(make_run: MakeRun, tmp_path: Path) -> None:
    run: Run = make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app, (100, 30)) as pilot:
        await opened(pilot)
        await looked_for(pilot, "from a checkpoint")
        await until(pilot, lambda: f"--from {run.name}/pretrain@400" in text_of(app))
        assert "TABLE.KEY=VALUE" in text_of(app) and "--detach" in text_of(
            app
        )  # whole: on as many lines as it needs
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await looked_for(pilot, "printed")
        await until(pilot, lambda: f"$ workbench log {run.name}" in text_of(app))
        assert "It is empty while all is well" in text_of(app)


async def test_the_name_of_a_run_is_no_markup_in_the_palette(make_run: MakeRun, tmp_path: Path) -> None:
    hostile = "[b]x[c] \x1b[31m[@click=app.quit]"
    make_run(hostile)
    app = WorkbenchApp(tmp_path)
    async with running(app, (100, 30)) as pilot:
        await opened(pilot)
        await looked_for(pilot, "printed")
        await until(pilot, lambda: "$ workbench log '[b]x[c] " in text_of(app))
        assert "[@click=app.quit]" in text_of(app) and "\x1b" not in text_of(app)
