"""Steering by keys: every request is a file in the run folder, and its line tells what the worker says of it."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tui.app import WorkbenchApp
from tui.keys import KEYS
from tui.run_seen import RunSeen
from tui.screens.compare import CompareScreen
from tui.screens.home import HomeScreen
from tui.screens.run import RunScreen
from tui.screens.steer import SteerScreen
from tui.screens.stop import DecayScreen
from tui.screens.tune import BranchScreen, TuneScreen
from tui.steering import actions_for
from workbench.errors import BadInput
from workbench.files import lock_file
from workbench.runs import Run

MakeRun = Any
STEER = ("save", "pause", "stop", "resume", "tune", "decay", "branch")


def text_of(app: WorkbenchApp) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30  # a crowded disk takes its time to make a request durable
    while not true():
        assert time.monotonic() < deadline, (
            f"{pilot.app.screen} {pilot.app.screen_stack} {text_of(pilot.app)}"
        )  # type: ignore[arg-type]
        await pilot.pause(0.02)
    await pilot.pause()


@pytest.fixture
def live(make_run: MakeRun) -> Iterator[Run]:
    run: Run = make_run(state="running", now=time.time())
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        yield run


def running(app: WorkbenchApp, size: tuple[int, int] = (100, 30)) -> Any:
    return app.run_test(size=size, notifications=True, tooltips=True)


async def shown(pilot: Pilot[None]) -> None:
    await until(pilot, lambda: "s=0.9" in text_of(pilot.app))  # type: ignore[arg-type]


def asked(run: Run) -> list[tuple[str, str]]:
    found = sorted((run.path / "control").iterdir())
    return [(path.stem, json.loads(path.read_text())["request"]) for path in found]


def tell(run: Run, **event: Any) -> None:
    with run.events_path.open("a") as file:
        file.write(json.dumps({"time": time.time(), "stage": "pretrain", **event}) + "\n")


async def test_a_request_is_followed_until_it_is_done(live: Run, tmp_path: Path) -> None:
    app = WorkbenchApp(tmp_path, live.name)
    async with running(app) as pilot:
        await shown(pilot)
        await pilot.press("C")
        await until(pilot, lambda: "checkpoint asked for… waits for the next step" in text_of(app))
        [(name, request)] = asked(live)
        assert request == "save"
        tell(live, kind="note", text="save requested", request=name)
        await until(pilot, lambda: "checkpoint taken…" in text_of(app))
        tell(live, kind="note", text="saved at step 401, as asked", answers=name)
        await until(pilot, lambda: "checkpoint ✓ saved at step 401, as asked" in text_of(app))


async def test_a_request_that_cannot_be_put_down_says_which_and_where(live: Run, tmp_path: Path) -> None:
    (live.path / "control").rmdir()
    (live.path / "control").write_text("no folder")
    app = WorkbenchApp(tmp_path, live.name)
    async with running(app) as pilot:
        await shown(pilot)
        await pilot.press("C")
        await until(pilot, lambda: bool(app._notifications))
        where = live.path / "control"
        assert [each.message for each in app._notifications] == [
            f"checkpoint could not be asked for: {where}: file exists"
        ]
        assert "asked for…" not in text_of(app)


async def test_a_refusal_says_why(live: Run, tmp_path: Path) -> None:
    app = WorkbenchApp(tmp_path, live.name)
    async with running(app) as pilot:
        await shown(pilot)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, DecayScreen) and app.focused is not None)
        assert f"workbench tune {live.name} decay=now" in " ".join(text_of(app).split())
        await pilot.press("enter")  # cancel is the default
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        assert asked(live) == []
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, DecayScreen) and app.focused is not None)
        await pilot.press("right", "enter")
        await until(pilot, lambda: "decay now asked for" in text_of(app))
        [(name, _)] = asked(live)
        tell(live, kind="warning", text="not tuned: the rate falls already", answers=name, refused=True)
        await until(pilot, lambda: "decay now ✗ refused: not tuned: the rate falls already" in text_of(app))


async def test_a_paused_run_offers_to_go_on(make_run: MakeRun, tmp_path: Path) -> None:
    run: Run = make_run(state="paused", now=time.time())
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        for read_only in (True, False):
            app = WorkbenchApp(tmp_path, run.name, read_only=read_only)
            async with running(app) as pilot:
                await until(pilot, lambda app=app: "P go on" in text_of(app))  # type: ignore[misc]
                assert "P pause" not in text_of(app)
                await pilot.press("P")
                said = "only looks" if read_only else "going on asked for"
                await until(pilot, lambda app=app, said=said: said in text_of(app))  # type: ignore[misc]
        assert [request for _, request in asked(run)] == ["resume"]


async def test_the_list_of_actions_has_commands_and_reasons(live: Run, tmp_path: Path) -> None:
    app = WorkbenchApp(tmp_path, live.name)
    async with running(app) as pilot:
        await shown(pilot)
        await pilot.press("A")
        await until(pilot, lambda: app.focused is not None and "workbench save" in text_of(app))
        assert "Resume                the run is running" in text_of(app)
        await pilot.press("R")  # cannot be done now: nothing happens
        assert isinstance(app.screen, SteerScreen)
        await pilot.press("P")
        await until(pilot, lambda: "pause asked for" in text_of(app))
        assert [request for _, request in asked(live)] == ["pause"]


async def test_the_letters_of_the_list_are_explained_in_its_help(live: Run, tmp_path: Path) -> None:
    app = WorkbenchApp(tmp_path, live.name)
    async with running(app) as pilot:
        await shown(pilot)
        await pilot.press("A")
        await until(pilot, lambda: isinstance(app.screen, SteerScreen) and app.focused is not None)
        keys = {key.shown: key for key in app.active_keys()}
        letters = [keys[action.key] for action in actions_for(RunSeen("run", tmp_path), tmp_path)]
        assert [key.does for key in letters] == [KEYS[meaning].does for meaning in STEER]
        assert all(key.about for key in letters if key.shown != "B")
        assert {key.shown: key.why_not for key in letters if key.why_not} == {"R": "the run is running"}


async def test_a_value_is_checked_before_it_is_asked_for(
    live: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(_: Path, name: str, assignment: str) -> str:
        if assignment != "learning_rate=3e-4":
            raise BadInput("'lr' cannot be tuned", fix="write KEY=VALUE with one of decay, learning_rate")
        return f"tune {assignment}"

    monkeypatch.setattr("tui.screens.tune.check_tuning", check)
    monkeypatch.setattr("tui.screens.tune.knobs", lambda *_: [("learning_rate", "0.0006", "the peak rate")])
    app = WorkbenchApp(tmp_path, live.name)
    async with running(app) as pilot:
        await shown(pilot)
        await pilot.press("T")
        await until(pilot, lambda: isinstance(app.screen, TuneScreen) and "the peak rate" in text_of(app))
        app.screen.query_one(Input).value = "lr=[/b]"
        await pilot.press("enter")
        await until(pilot, lambda: "cannot be tuned" in text_of(app))
        app.screen.query_one(Input).value = "learning_rate=3e-4"
        await pilot.press("enter")
        await until(pilot, lambda: "tune learning_rate=3e-4 asked for" in text_of(app))
        assert [request for _, request in asked(live)] == ["tune learning_rate=3e-4"]


async def test_a_branch_starts_from_a_checkpoint_and_is_opened(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Run = make_run()
    make_run("branch-aa00bb")
    started: list[Any] = []

    def start(home: Path, name: str, step: int, changes: list[str]) -> str:
        started.append((name, step, changes))
        if not changes:
            raise BadInput("a branch from step 400 has nothing left to do")
        return "branch-aa00bb"

    module = importlib.import_module("tui.screens.tune")
    monkeypatch.setattr(module, "branch_points", lambda *_: [400, 300])
    monkeypatch.setattr(module, "branch_recipe", lambda _: ("quickstart", []))
    monkeypatch.setattr(module, "start_branch", start)
    app = WorkbenchApp(tmp_path, run.name)
    async with running(app) as pilot:
        await shown(pilot)
        await pilot.press("B")
        await until(pilot, lambda: isinstance(app.screen, BranchScreen) and "step 300" in text_of(app))
        await pilot.press("down", "enter", "enter")
        await until(pilot, lambda: "nothing left to do" in text_of(app))
        app.screen.query_one(Input).value = "pretrain.tokens=4M"
        await until(pilot, lambda: "--set pretrain.tokens=4M" in " ".join(text_of(app).split()))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and "branch-aa00bb" in text_of(app))
        assert started[-1] == (run.name, 300, ["pretrain.tokens=4M"])


async def test_a_read_only_app_asks_for_nothing(live: Run, tmp_path: Path) -> None:
    app = WorkbenchApp(tmp_path, live.name)
    app.read_only = True  # type: ignore[attr-defined]
    async with running(app) as pilot:
        await shown(pilot)
        await pilot.press("C", "P", "S", "D", "T", "B", "A")
        await pilot.pause()
        assert isinstance(app.screen, RunScreen) and asked(live) == []


async def test_charts_are_looked_at_together(make_run: MakeRun, tmp_path: Path) -> None:
    run: Run = make_run()
    app = WorkbenchApp(tmp_path, run.name)
    async with running(app, (140, 40)) as pilot:
        await shown(pilot)
        charts = app.screen.query("Chart")
        await until(pilot, lambda: sum(chart.display for chart in charts) == 4)
        await pilot.press("left", "left")
        assert text_of(app).count(" at 3") == 4  # the cursor, in all four
        await pilot.press("x")
        assert "by tokens" in text_of(app)
        await pilot.press("plus")
        assert "zoomed" in text_of(app)
        await pilot.press("less_than_sign", "equals_sign")
        assert "zoomed" not in text_of(app)
        await pilot.press("tab", "z")
        await until(pilot, lambda: "▸tokens/s" in text_of(app) and "pretrain loss" not in text_of(app))
        await pilot.press("m")
        assert "▸gradient norm" in text_of(app)
        await pilot.press("z")
        await until(pilot, lambda: "pretrain loss" in text_of(app))


async def test_nothing_new_draws_nothing_and_neither_does_what_is_not_seen(
    make_run: MakeRun, tmp_path: Path
) -> None:
    app = WorkbenchApp(tmp_path, make_run().name)
    async with running(app) as pilot:
        await shown(pilot)
        screen = app.screen
        assert isinstance(screen, RunScreen)
        drawn = [chart.times_drawn for chart in screen.query("Chart").results()]  # type: ignore[attr-defined]
        screen._look()
        await until(pilot, lambda: not screen._looking)
        await pilot.press("8")
        await until(pilot, lambda: app.screen is not screen)
        screen._look()
        await pilot.pause()
        assert not screen._looking
        assert drawn == [chart.times_drawn for chart in screen.query("Chart").results()]  # type: ignore[attr-defined]


async def test_samples_are_turned_back_in_time(make_run: MakeRun, tmp_path: Path) -> None:
    app = WorkbenchApp(tmp_path, make_run().name)
    async with running(app) as pilot:
        await shown(pilot)
        assert "sample @400  ‹4/4›" in text_of(app)
        await pilot.press("comma")
        assert "sample @300  ‹3/4›" in text_of(app)
        await pilot.press("full_stop", "full_stop")
        assert "sample @400" in text_of(app)


@pytest.mark.parametrize("dialog", [SteerScreen, BranchScreen, TuneScreen])
async def test_a_dialog_in_a_low_terminal_shows_what_is_typed_and_its_command(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialog: type
) -> None:
    run: Run = make_run(state="running", now=time.time())
    monkeypatch.setattr("tui.screens.tune.branch_points", lambda *_: list(range(1000, 0, -100)))
    monkeypatch.setattr("tui.screens.tune.branch_recipe", lambda _: ("tiny.toml", []))
    monkeypatch.setattr(
        "tui.screens.tune.knobs", lambda *_: [(f"knob_{number}", "1", "about") for number in range(3)]
    )
    key, typed, command = {
        SteerScreen: ("A", "C", "workbench"),
        BranchScreen: ("B", "what else is to be", "--from"),
        TuneScreen: ("T", "learning_rate=3e-4", "knob_2"),
    }[dialog]
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        app = WorkbenchApp(tmp_path, run.name)
        async with running(app, (60, 15)) as pilot:
            await shown(pilot)
            await pilot.press(key)
            await until(pilot, lambda: isinstance(app.screen, dialog) and command in text_of(app))
            assert typed in text_of(app)


async def test_runs_are_marked_and_compared(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []
    monkeypatch.setattr("tui.screens.compare.copy", lambda _, text: copied.append(text))
    for name, steps in (("first", 400), ("second", 300)):
        run: Run = make_run(name, steps=steps)
        plan = run.plan()
        plan["stages"][3]["settings"] = {"learning_rate": {"value": steps / 1e6}, "seed": {"value": 0}}
        run.replace_plan(plan)
    app = WorkbenchApp(tmp_path)
    async with running(app, (140, 40)) as pilot:
        await until(pilot, lambda: "second" in text_of(app))
        await pilot.press("c")
        await until(pilot, lambda: "mark two to six runs" in text_of(app))
        await pilot.press("home", "space", "space", "c")
        await until(
            pilot, lambda: isinstance(app.screen, CompareScreen) and "recipes differ in" in text_of(app)
        )
        said = text_of(app)
        for part in (
            "● ",
            "▲ ",
            "pretrain.learning_rate",
            "0.0004",
            "0.0003",
            "loss at 614k tokens",
            "held-out loss",
        ):
            assert part in said, said
        assert "pretrain.seed" not in said
        first = said.split("is the baseline")[0].split()[-1]
        await pilot.press("b")
        await until(pilot, lambda: f"{first} is the baseline" not in text_of(app))
        await pilot.press("ctrl+y")
        [table] = copied
        head, _, *lines = table.splitlines()
        assert head.startswith("|  | ") and set(head.split()) == {"|", "first", "second"}
        assert lines[0].startswith("| state | ") and len({line.count("|") for line in lines}) == 1
        rate = next(line for line in lines if "learning_rate" in line)
        assert rate.startswith("| pretrain.learning_rate | ") and {"0.0004", "0.0003"} <= set(rate.split())


HOSTILE = "[b]x[c] \x1b[31m\u202e[@click=app.quit]"


async def test_hostile_names_are_inert_in_every_dialog(make_run: MakeRun, tmp_path: Path) -> None:
    for name in (HOSTILE, "other [b]"):
        make_run(name, notes=(HOSTILE,), sample=HOSTILE)
    app = WorkbenchApp(tmp_path)
    async with running(app, (140, 40)) as pilot:
        await until(pilot, lambda: "[b]x[c]" in text_of(app))
        await pilot.press("home", "space", "space", "c")
        await until(pilot, lambda: "is the baseline" in text_of(app))
        _inert(app)
        await pilot.press("escape", "home", "enter")
        await shown(pilot)
        for key, dialog in (("A", SteerScreen), ("B", BranchScreen)):
            await pilot.press(key)
            await until(pilot, lambda dialog=dialog: isinstance(app.screen, dialog))  # type: ignore[misc]
            await pilot.pause(0.1)
            _inert(app)
            await pilot.press("escape")


def _inert(app: WorkbenchApp) -> None:
    assert not [
        c for c in text_of(app) if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\udce9")
    ]


async def test_no_size_can_break_charts_and_dialogs(live: Run, make_run: MakeRun, tmp_path: Path) -> None:
    make_run("other")
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await until(pilot, lambda: "other" in text_of(app))
        for keys, then in (
            (["home", "space", "space", "c"], CompareScreen),
            (["escape"], HomeScreen),
            (["enter"], RunScreen),
            (["A"], SteerScreen),
            (["escape"], RunScreen),
            (["z"], RunScreen),
        ):
            await pilot.press(*keys)
            await until(pilot, lambda: isinstance(app.screen, then))  # noqa: B023 - asked before the next
            for size in ((60, 15), (41, 11), (300, 80), (80, 24), (200, 50)):
                await pilot.resize_terminal(*size)
        await until(pilot, lambda: "s=0.9" in text_of(app))
