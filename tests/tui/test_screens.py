"""The screens, driven by keys over canned runs: what is shown, what is asked for, and that leaving stops nothing."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, OptionList, Static

from tui.app import WorkbenchApp
from tui.screens.chat import ChatScreen
from tui.screens.doctor import DoctorScreen
from tui.screens.help import HelpScreen
from tui.screens.home import FIRST_HOUR, HomeScreen
from tui.screens.log import LogScreen
from tui.screens.run import RunScreen
from tui.screens.start import StartScreen
from tui.screens.stop import StopScreen
from tui.widgets.chart import Chart
from tui.widgets.composer import Composer
from tui.widgets.conversation import Conversation
from workbench.chat_client import ChatClient
from workbench.files import lock_file
from workbench.runs import Run

MakeRun = Any
CHILD = Path(__file__).parent.parent / "fixtures" / "fake_chat_child.py"
HOSTILE = (
    "[/b] [@click=app.bell]x[/] \x1b]52;c;Y2xp\x07 \x9b31m \u202eevil [link=file:///x]y \udce9\r\n{json: 1} "
    + "é\u0301" * 40
)


def text_of(app: WorkbenchApp) -> str:
    """What the terminal shows now."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    """Wait for something that a thread brings about; half a minute is for a crowded machine."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, text_of(pilot.app)  # type: ignore[arg-type]
        await pilot.pause(0.02)
    await pilot.pause()


def running(app: WorkbenchApp, size: tuple[int, int] = (80, 24)) -> Any:
    """The app in a pretended terminal, with the parts on that tests leave off by default."""
    return app.run_test(size=size, notifications=True, tooltips=True)


async def opened(pilot: Pilot[None], *, keys: str = "enter") -> None:
    """From home into the first run."""
    await until(pilot, lambda: bool(pilot.app.screen.query_one(OptionList).option_count))
    await pilot.press(keys)
    await until(pilot, lambda: "s=0.9" in text_of(pilot.app))  # type: ignore[arg-type]


async def test_an_empty_home_says_what_to_do_first(tmp_path: Path) -> None:
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await until(pilot, lambda: "There are no runs here yet" in text_of(app))
        assert "quickstart" in text_of(app) and "n new run" in text_of(app)
        await pilot.press("o", "t")
        assert isinstance(app.screen, HomeScreen)


async def test_the_first_hour_is_whole_in_a_small_terminal(tmp_path: Path) -> None:
    app = WorkbenchApp(tmp_path)
    async with running(app, (60, 15)) as pilot:
        await until(pilot, lambda: "Press n to begin." in text_of(app))
        shown = [" ".join(line.split()) for line in text_of(app).splitlines()]
        for number, (step, key, told) in enumerate(FIRST_HOUR, 1):
            assert " ".join(f"{number} {step} {key} {told}".split()) in shown


async def test_the_list_shows_state_in_glyph_and_word(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("good", state="finished")
    make_run("bad", state="failed")
    make_run("killed", state="running")
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await until(pilot, lambda: "good" in text_of(app))
        for said in ("✓ finished", "✗ failed", "? crashed"):
            assert said in text_of(app)


async def test_a_run_shows_stages_figures_loss_and_sample(make_run: MakeRun, tmp_path: Path) -> None:
    make_run()
    app = WorkbenchApp(tmp_path, "quickstart-7f3a12")
    async with running(app) as pilot:
        await until(pilot, lambda: "pretrain loss" in text_of(app))
        shown = text_of(app)
        for said in (
            "◌ stopped",
            "✓ corpus",
            "○ eval",
            "8.19k tok/s",
            "bits/byte",
            "sample @400",
            "312 documents",
        ):
            assert said in shown
        assert any("⠁" <= c <= "⣿" for c in shown) and "◆" in shown
        assert shown.splitlines()[-1].strip().endswith("q quit")


@pytest.mark.parametrize("height", [24, 40])
async def test_a_stage_without_curves_leaves_room_for_those_of_the_training(
    make_run: MakeRun, tmp_path: Path, height: int
) -> None:
    make_run(state="finished")
    app = WorkbenchApp(tmp_path, "quickstart-7f3a12")
    async with running(app, (140, height)) as pilot:
        await until(pilot, lambda: "s=0.9" in text_of(app))
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "lays them in rows of equal length" in text_of(app))
        assert ("▸pretrain loss" in text_of(app)) == (height == 40)
        assert text_of(app).count("✓ tokenizer") == 2, "in the rail, and once among the stages"
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "lays them in rows of equal length" not in text_of(app))
        assert "▸pretrain loss" in text_of(app) and text_of(app).count("✓ tokenizer") == 1


async def test_the_charts_never_lose_the_keys(make_run: MakeRun, tmp_path: Path) -> None:
    make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app, (140, 40)) as pilot:
        await opened(pilot)
        await pilot.press("tab", "z", "z")  # the second one alone, then all
        assert app.focused is not None and app.focused.id == "chart-1"
        for lost in (None, "hidden"):
            if lost is None:  # as when a chart was hidden and shown again before it knew
                app.screen.set_focus(None)
            else:
                await pilot.press("left_square_bracket")  # a stage without curves
                await until(pilot, lambda: "lays them in rows of equal length" in text_of(app))
                await pilot.press("right_square_bracket")
            await until(pilot, lambda: app.focused is not None and app.focused.display)
            await until(pilot, lambda: "s=0.9" in text_of(app))


async def test_a_terminal_without_colours_shows_charts(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await opened(pilot)
        below = app.screen.query_one("#chart-0", Chart).render_line(1000)  # as before anything was drawn
        assert all(segment.style is not None for segment in below)


async def test_brackets_show_other_stages(make_run: MakeRun, tmp_path: Path) -> None:
    make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await opened(pilot)
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "lays them in rows of equal length" in text_of(app))
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "✓ tokenizer        0s  reused" in text_of(app))
        await pilot.press(*["right_square_bracket"] * 6)
        await until(pilot, lambda: "pretrain loss" in text_of(app))


async def test_a_stage_shows_its_own_sample_and_what_it_came_to(make_run: MakeRun, tmp_path: Path) -> None:
    run: Run = make_run()
    summary = {"vocab_size": 4096, "bytes_per_token": 3.6}
    with run.events_path.open("a") as file:
        for event in (
            {"kind": "stage_progress", "stage": "tokenizer", "done": 0, "unit": "documents"},
            {"kind": "stage_finished", "stage": "tokenizer", "seconds": 2.0, "summary": summary},
            {
                "kind": "stage_finished",
                "stage": "tokenizer",
                "reused": True,
                "seconds": 0.0,
                "summary": summary,
            },
        ):
            file.write(json.dumps({"time": 1.7e9, **event}) + "\n")
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        app.push_screen(RunScreen(tmp_path, run.name))
        await until(pilot, lambda: "✓ tokenizer        2s  4,096 entries" in text_of(app))  # told of last
        await pilot.press(*["left_square_bracket"] * 3, "right_square_bracket")
        shown = text_of(app)
        assert "✓ done" in shown and "4,096" in shown and "3.60" in shown and "2s" in shown
        assert "sample @400" not in shown and "earlier run" not in shown
        await pilot.press("right_square_bracket", "right_square_bracket")
        assert "sample @400" in text_of(app)


@pytest.mark.parametrize(("key", "said"), [("s", "s=0.98"), ("a", "all"), ("l", "log")])
async def test_the_chart_obeys_its_keys(make_run: MakeRun, tmp_path: Path, key: str, said: str) -> None:
    make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await opened(pilot)
        await pilot.press(key)
        title = next(line for line in text_of(app).splitlines() if "pretrain loss" in line)
        assert said in title


async def test_a_live_run_takes_requests_and_quitting_asks_nothing_of_it(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run: Run = make_run(state="running", now=time.time())
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        app = WorkbenchApp(tmp_path)
        async with running(app) as pilot:
            await opened(pilot)
            assert (
                "● running" in text_of(app) and "S stop…" in text_of(app) and "R resume" not in text_of(app)
            )
            await pilot.press("C")
            await until(pilot, lambda: "checkpoint asked for" in text_of(app))
            assert _requests(run) == ["save"]
            await pilot.press("q")
        assert app.return_code == 0
        assert _requests(run) == ["save"]
        assert f"{run.name} goes on" in capsys.readouterr().err


async def test_leaving_from_one_run_names_the_others_that_go_on_too(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.app.LAST_LOOK_SECONDS", 60.0)
    runs = [make_run(name, state="running", now=time.time()) for name in ("first", "second")]
    make_run("over", state="stopped")
    with contextlib.ExitStack() as locks:
        for run in runs:
            locks.enter_context(lock_file(run.lock_path) or pytest.fail("the lock was not free"))
        app = WorkbenchApp(tmp_path, "first")
        async with running(app) as pilot:
            await until(pilot, lambda: "s=0.9" in text_of(app))
            await pilot.press("q")
    assert "first, second go on." in capsys.readouterr().err


async def test_stopping_asks_first_and_cancel_is_the_default(make_run: MakeRun, tmp_path: Path) -> None:
    run: Run = make_run(state="running", now=time.time())
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        app = WorkbenchApp(tmp_path)
        async with running(app) as pilot:
            await opened(pilot)
            await pilot.press("S")
            await until(pilot, lambda: isinstance(app.screen, StopScreen))
            assert "Last checkpoint" in text_of(app)
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, RunScreen))
            assert _requests(run) == []
            await pilot.press("S")
            await until(pilot, lambda: isinstance(app.screen, StopScreen))
            await pilot.press("right", "enter")
            await until(pilot, lambda: "stop asked for" in text_of(app))
            assert _requests(run) == ["stop"]


async def test_a_run_that_is_over_offers_to_resume_and_nothing_else(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run(state="failed", error="the loss is not a number")
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await opened(pilot)
        assert "R resume" in text_of(app) and "S stop…" not in text_of(app)
        assert "✗ failed  the loss is not a number" in text_of(app)
        await pilot.press("S", "P", "C")
        assert isinstance(app.screen, RunScreen)


async def test_a_run_of_somebody_else_says_in_one_line_what_may_not_be_written(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(state="stopped")

    def relaunch(run: Run) -> Run:
        raise PermissionError(13, "Permission denied", "/theirs/log.txt")

    monkeypatch.setattr(importlib.import_module("workbench.launcher"), "relaunch", relaunch)
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await opened(pilot)
        await pilot.press("R")
        await until(pilot, lambda: "/theirs/log.txt: permission denied" in text_of(app))
        assert "Errno" not in text_of(app)


async def test_escape_leaves_every_screen_for_the_one_before(make_run: MakeRun, tmp_path: Path) -> None:
    make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await opened(pilot)
        for key, screen in (("8", LogScreen), ("question_mark", HelpScreen)):
            await pilot.press(key)
            await until(pilot, lambda screen=screen: isinstance(app.screen, screen))  # type: ignore[misc]
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.press("escape")
        assert isinstance(app.screen, HomeScreen)


async def test_the_log_is_shown_and_followed(make_run: MakeRun, tmp_path: Path) -> None:
    run: Run = make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await opened(pilot)
        await pilot.press("8")
        await until(pilot, lambda: "all is well" in text_of(app))
        with run.log_path.open("a") as log:
            log.write("Traceback: [/b]\n")
        await until(pilot, lambda: "Traceback: [/b]" in text_of(app))
        await pilot.press("w", "f")
        await until(pilot, lambda: "stands still, f follows  lines are cut, w breaks them" in text_of(app))
        await pilot.press("end", "w")
        await until(pilot, lambda: "log  follows" in text_of(app) and "are cut" not in text_of(app))


async def test_starting_shows_the_plan_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[str] = []
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text('name = "mine"\n[corpus]\nsources = ["python-docs"]\n')
    (tmp_path / "wrong.toml").write_text('name = "wrong"\n[corpus]\nsorces = ["[/b]"]\n')

    def launch(plan: Any) -> Any:
        launched.append(plan.name)
        return Run(tmp_path / "runs" / plan.name)

    monkeypatch.setattr(importlib.import_module("workbench.launcher"), "launch", launch)
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, StartScreen) and "mine.toml" in text_of(app))
        options = app.screen.query_one(OptionList)
        options.highlighted = options.option_count - 2
        await until(pilot, lambda: "○ corpus" in text_of(app))
        options.highlighted = options.option_count - 1
        problems = app.screen.query_one("#problems", Static)
        await until(pilot, lambda: "did you mean sources?" in str(problems.content))
        await pilot.press("G", "enter")
        assert launched == [] and app.screen.query_one("#start", Button).disabled
        options.highlighted = options.option_count - 2
        await until(pilot, lambda: "○ corpus" in text_of(app))
        await pilot.press("enter")
        assert launched == []
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        assert len(launched) == 1 and launched[0].startswith("mine-")


async def test_a_recipe_that_takes_long_to_read_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StartScreen, "_find", lambda _: None)
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: "reading the recipe…" in text_of(app))


def chat_app(tmp_path: Path) -> tuple[WorkbenchApp, ChatScreen]:
    client = ChatClient([sys.executable, str(CHILD)])
    return WorkbenchApp(tmp_path), ChatScreen(tmp_path, "quickstart", client=client)


async def say(pilot: Pilot[None], text: str) -> None:
    pilot.app.screen.query_one(Composer).text = text
    await pilot.press("enter")


async def test_chat_shows_the_reply_and_its_speed(tmp_path: Path) -> None:
    app, chat = chat_app(tmp_path)
    async with running(app) as pilot:
        app.push_screen(chat)
        await until(pilot, lambda: "context 256 tokens" in text_of(app))
        await say(pilot, "hello")
        await until(pilot, lambda: "100 tok/s" in text_of(app))
        assert "you said hello" in text_of(app)
        await say(pilot, "/set temperature 0.1")
        await until(pilot, lambda: "temperature 0.1" in text_of(app))
        await say(pilot, "/fly")
        await until(pilot, lambda: "not a command" in text_of(app))
        chat.query_one(Composer).clear()
        await pilot.press("ctrl+n")
        await until(pilot, lambda: not chat.query_one(Conversation).transcript.turns)


async def test_escape_stops_the_reply_before_it_leaves(tmp_path: Path) -> None:
    app, chat = chat_app(tmp_path)
    async with running(app) as pilot:
        app.push_screen(chat)
        await until(pilot, lambda: "context 256" in text_of(app))
        await say(pilot, "endless")
        await until(pilot, lambda: "again again" in text_of(app))
        await pilot.press("escape")
        await until(pilot, lambda: "stopped" in text_of(app))
        assert app.screen is chat
        client = chat.query_one(Conversation).client
        assert client is not None
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await until(pilot, lambda: client.returncode is not None)


@pytest.mark.parametrize("leave", ["escape", "/exit"])
async def test_a_model_that_still_loads_is_left_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leave: str
) -> None:
    # How long a child that hears nothing is waited for; nobody may wait so long here.
    monkeypatch.setattr("workbench.chat_client._SECONDS_TO_LEAVE", 600.0)
    loads = ChatClient([sys.executable, "-c", "import time; time.sleep(60)"])
    app, chat = WorkbenchApp(tmp_path), ChatScreen(tmp_path, "quickstart", client=loads)
    async with running(app) as pilot:
        app.push_screen(chat)
        await until(pilot, lambda: "loading the model" in text_of(app))
        await say(pilot, "hello")
        await until(pilot, lambda: "hello" in text_of(app))
        if leave == "/exit":
            await say(pilot, leave)
        else:
            await pilot.press(leave)
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        assert loads.returncode is None, "nobody waited for it"
        loads._child.kill()
        await until(pilot, lambda: loads.returncode is not None)


async def test_a_model_that_dies_is_explained(tmp_path: Path) -> None:
    app, chat = chat_app(tmp_path)
    async with running(app) as pilot:
        app.push_screen(chat)
        await until(pilot, lambda: "context 256" in text_of(app))
        await say(pilot, "die")
        await until(pilot, lambda: "no such checkpoint" in text_of(app))
        assert chat.query_one(Composer).disabled
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))


async def test_hostile_text_is_inert_everywhere(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("[b]x[c] \x1b[31m\u202erun", "@click=app.quit]"):
        make_run(name, state="failed", notes=(HOSTILE,), sample=HOSTILE, error=HOSTILE)
    make_run("sampled", sample=HOSTILE)
    (tmp_path / "[b \x1b[31m.toml").write_text(f"name = {json.dumps(HOSTILE[:20])}\n[/b]")
    app, chat = chat_app(tmp_path)
    async with running(app, (100, 40)) as pilot:
        await until(pilot, lambda: "[b]x[c]" in text_of(app))
        await _inert(app, pilot)
        app.push_screen(RunScreen(tmp_path, "sampled"))
        await until(pilot, lambda: "sample @" in text_of(app))
        await _inert(app, pilot)
        await pilot.press("escape", "end", "enter")
        await until(pilot, lambda: "✗ failed  [/b]" in text_of(app))
        await _inert(app, pilot)
        await pilot.press("8")
        await until(pilot, lambda: isinstance(app.screen, LogScreen))
        await pilot.press("escape", "escape", "n")
        await until(pilot, lambda: ".toml" in text_of(app))
        app.screen.query_one(OptionList).highlighted = app.screen.query_one(OptionList).option_count - 1
        await until(pilot, lambda: "✗" in text_of(app))
        await _inert(app, pilot)
        app.notify(HOSTILE, title=HOSTILE, markup=False)
        app.push_screen(chat)
        await until(pilot, lambda: "context 256" in text_of(app))
        await say(pilot, "hostile")
        await until(pilot, lambda: "MARK" in text_of(app))
        await _inert(app, pilot)


async def _inert(app: WorkbenchApp, pilot: Pilot[None]) -> None:
    shown = text_of(app)
    assert not [
        c for c in shown if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\u2067\udce9")
    ]


SIZES = [(60, 15), (39, 9), (1, 1), (300, 80), (2, 40), (80, 24)]


@pytest.mark.parametrize("keys", [["enter", "S"], ["n"], ["question_mark"], ["enter", "8"]])
async def test_no_size_can_break_a_screen(make_run: MakeRun, tmp_path: Path, keys: list[str]) -> None:
    run: Run = make_run(state="running", now=time.time())
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        app = WorkbenchApp(tmp_path)
        async with running(app) as pilot:
            await until(pilot, lambda: run.name[:8] in text_of(app))
            for key in keys:
                await pilot.press(key)
                await pilot.pause(0.1)
            for size in SIZES:
                await pilot.resize_terminal(*size)
            await until(
                pilot, lambda: "help" in text_of(app) or "Cancel" in text_of(app) or "Keys" in text_of(app)
            )


def _requests(run: Run) -> list[str]:
    folder = run.path / "control"
    return [json.loads(path.read_text())["request"] for path in sorted(folder.iterdir())]


async def test_a_run_that_vanished_is_said_and_not_fatal(tmp_path: Path) -> None:
    app = WorkbenchApp(tmp_path, "gone-[/b]")
    async with running(app) as pilot:
        await until(pilot, lambda: "no run is called" in text_of(app))
        assert app.screen.query_one("#headline", Static)


async def test_a_screen_that_opens_while_the_app_leaves_does_no_harm(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """A signal comes between a key and the screen that it opens."""
    make_run()
    app = WorkbenchApp(tmp_path, "quickstart-7f3a12")
    async with running(app) as pilot:
        await until(pilot, lambda: "pretrain loss" in text_of(app))
        app.exit(return_code=143)
        await app.push_screen(DoctorScreen(tmp_path))
    assert app.return_code == 143
