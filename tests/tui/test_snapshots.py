"""Pictures of the screens. A difference is looked at before it is accepted (`--snapshot-update`)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui.test_rate_phases import WSD, progress, tell, with_settings
from tui.app import WorkbenchApp
from tui.screens.chat import ChatScreen
from tui.talks import Talks
from tui.widgets.composer import Composer
from workbench.chat_client import ChatClient
from workbench.files import lock_file
from workbench.runs import Run

NOW = 1_700_000_000.0
CHILD = Path(__file__).parent.parent / "fixtures" / "fake_chat_child.py"
HOME = Path("/home/ada/models")


@pytest.fixture(autouse=True)
def _frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("WORKBENCH_THEME", "dark")


@pytest.fixture
def canned(make_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with one live run and three that are over, in a fixed order and under a fixed path."""
    make_run("tinystories-1b2c3d", state="finished", now=NOW - 90_000)
    make_run("novels-large-99ffee", state="failed", now=NOW - 4000, error="the loss is not a number")
    make_run("smoke-aa11bb", state="stopped", now=NOW - 300)
    run = make_run("quickstart-7f3a12", state="running", now=NOW)
    monkeypatch.setattr("workbench.runs.list_runs", lambda _: [])
    monkeypatch.setattr("tui.rows.list_runs", lambda _: sorted(_runs(tmp_path), key=lambda run: run.name))
    for module in ("run", "log", "compare"):
        monkeypatch.setattr(f"tui.screens.{module}.open_run", lambda _, name: Run(tmp_path / "runs" / name))
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        yield HOME


def _runs(home: Path) -> list[Any]:
    return [Run(folder) for folder in (home / "runs").iterdir()]


CHOSEN = "s=0.9"
"""What the title of a chart says once it has the keys: the last thing to come."""


async def shows(pilot: Pilot[None], text: str) -> None:
    """Wait until `text` is on the screen."""
    deadline = time.monotonic() + 60
    while not any(text in strip.text for strip in pilot.app.screen._compositor.render_strips()):
        assert time.monotonic() < deadline
        await pilot.pause(0.02)


@pytest.mark.parametrize(
    ("name", "size", "theme"),
    [("usual", (80, 24), "dark"), ("wide-light", (140, 40), "light"), ("small", (60, 15), "dark")],
)
def test_run(
    canned: Path,
    snap_compare: Any,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    size: tuple[int, int],
    theme: str,
) -> None:
    monkeypatch.setenv("WORKBENCH_THEME", theme)
    app = WorkbenchApp(canned, "quickstart-7f3a12")
    assert snap_compare(app, terminal_size=size, run_before=lambda pilot: shows(pilot, CHOSEN))


@pytest.mark.parametrize("charset", ["braille", "ascii"])
def test_phases_of_the_learning_rate(
    canned: Path, tmp_path: Path, snap_compare: Any, monkeypatch: pytest.MonkeyPatch, charset: str
) -> None:
    """Of a run that has told how many steps it takes, and of whose warmup and decay the plan tells."""
    monkeypatch.setenv("WORKBENCH_CHARSET", charset)
    run = with_settings(Run(tmp_path / "runs" / "quickstart-7f3a12"), WSD | {"warmup_steps": 60})
    tell(run, progress(400, 450))  # decays from 360 on
    app = WorkbenchApp(canned, run.name)
    assert snap_compare(app, terminal_size=(140, 40), run_before=lambda pilot: shows(pilot, CHOSEN))


@pytest.mark.parametrize("charset", ["ascii", "block"])
def test_run_without_braille(
    canned: Path, snap_compare: Any, monkeypatch: pytest.MonkeyPatch, charset: str
) -> None:
    monkeypatch.setenv("WORKBENCH_CHARSET", charset)
    app = WorkbenchApp(canned, "quickstart-7f3a12")
    assert snap_compare(app, run_before=lambda pilot: shows(pilot, CHOSEN))


def test_home(canned: Path, snap_compare: Any) -> None:
    assert snap_compare(WorkbenchApp(canned), run_before=lambda pilot: shows(pilot, "smoke-aa11bb"))


def test_stop(canned: Path, snap_compare: Any) -> None:
    async def ask(pilot: Pilot[None]) -> None:
        await shows(pilot, CHOSEN)
        await pilot.press("S")
        await shows(pilot, "Checkpoint, then stop")

    assert snap_compare(WorkbenchApp(canned, "quickstart-7f3a12"), run_before=ask)


def test_steer(canned: Path, snap_compare: Any) -> None:
    async def ask(pilot: Pilot[None]) -> None:
        await shows(pilot, CHOSEN)
        await pilot.press("A")
        await shows(pilot, "Branch a new run")

    assert snap_compare(WorkbenchApp(canned, "quickstart-7f3a12"), run_before=ask)


def test_compare(canned: Path, snap_compare: Any) -> None:
    async def compare(pilot: Pilot[None]) -> None:
        await shows(pilot, "smoke-aa11bb")
        await pilot.press("home", "space", "space", "space", "c")
        await shows(pilot, "is the baseline")
        await shows(pilot, "▸pretrain loss")

    assert snap_compare(WorkbenchApp(canned), terminal_size=(140, 40), run_before=compare)


@pytest.mark.parametrize("screen", ["home", "run", "compare"])
def test_in_sixteen_colours(
    canned: Path, snap_compare: Any, monkeypatch: pytest.MonkeyPatch, screen: str
) -> None:
    monkeypatch.setenv("WORKBENCH_THEME", "16")

    async def look(pilot: Pilot[None]) -> None:
        await shows(pilot, CHOSEN if screen == "run" else "smoke-aa11bb")
        if screen == "compare":
            await pilot.press("home", "space", "space", "space", "c")
            await shows(pilot, "is the baseline")
            await shows(pilot, "▸pretrain loss")

    app = WorkbenchApp(canned, "quickstart-7f3a12" if screen == "run" else None)
    size = (110, 30) if screen == "home" else (140, 40)
    assert snap_compare(app, terminal_size=size, run_before=look)


def test_chat(canned: Path, snap_compare: Any) -> None:
    async def talk(pilot: Pilot[None]) -> None:
        client = ChatClient([sys.executable, str(CHILD)])  # the screen ends it
        pilot.app.push_screen(ChatScreen(HOME, "quickstart", client=client))
        await shows(pilot, "context 256")
        pilot.app.screen.query_one(Composer).text = "What does os.listdir do? " * 5
        await pilot.press("enter")
        await shows(pilot, "context 8 of 256")

    app = WorkbenchApp(canned)
    app.talks = Talks(None)
    assert snap_compare(app, run_before=talk)
