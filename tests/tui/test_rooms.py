"""The rooms: opened by keys, empty, at any size, and how they look; scores, doctor, two models at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui.small_home import fake_texts, publish, shown
from tests.tui.test_screens import CHILD, _inert, running, say, text_of, until
from tui.app import WorkbenchApp
from tui.screens import doctor
from tui.screens.chat import ChatScreen
from tui.screens.clusters import ClustersScreen
from tui.screens.corpus import CorpusScreen
from tui.screens.doctor import DoctorScreen
from tui.screens.documents import DocumentsScreen
from tui.screens.failures import FailuresScreen
from tui.screens.help import HelpScreen
from tui.screens.recipe import RecipeScreen
from tui.screens.run import RunScreen
from tui.screens.scores import ScoresScreen
from tui.screens.tokens import TokensScreen
from tui.state import FILE_NAME, State
from tui.widgets.composer import Composer
from workbench.chat_client import ChatClient
from workbench.doctor import Finding
from workbench.plan import Plan


async def test_every_room_opens_by_one_key_from_the_list_and_from_a_run(
    planned: Plan, corpus: Path, scorecard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_texts(monkeypatch)
    publish(planned, "tokenizer")
    monkeypatch.setattr(doctor, "examine", lambda _: iter([Finding("load", "low")]))
    app = WorkbenchApp(tmp_path)
    rooms = {"2": RecipeScreen, "3": CorpusScreen, "4": TokensScreen, "6": ScoresScreen, "9": DoctorScreen}
    async with running(app) as pilot:
        await until(pilot, lambda: planned.name in text_of(app))
        for _ in range(2):
            for key, room in rooms.items():
                await pilot.press(key)
                await until(pilot, lambda room=room: isinstance(app.screen, room))  # type: ignore[misc]
                assert app.screen.command().startswith("workbench ")
                await pilot.press("escape")
                await until(pilot, lambda room=room: not isinstance(app.screen, room))  # type: ignore[misc]
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, RunScreen))


async def test_rooms_of_a_run_that_has_made_nothing_say_so(planned: Plan, tmp_path: Path) -> None:
    async with running(WorkbenchApp(tmp_path)) as pilot:
        app = await shown(pilot, CorpusScreen(tmp_path, planned.name), "✗")
        assert "corpus is not finished" in " ".join(text_of(app).split())
        await shown(pilot, ScoresScreen(tmp_path, planned.name), "eval is not")
        await shown(pilot, ScoresScreen(tmp_path, "gone"), "gone")


async def test_scores_stand_beside_each_other_and_say_whether_they_differ(
    planned: Plan, scorecard: Path, tmp_path: Path
) -> None:
    async with running(WorkbenchApp(tmp_path), (100, 30)) as pilot:
        app = await shown(pilot, ScoresScreen(tmp_path, planned.name), ".500 ±.020")
        await until(pilot, lambda: "▲ better" in text_of(app))
        for said in (
            "pretrain",
            "sft",
            ".661 to .739",
            "├",
            "spelling [b]",
            "7 of 200 items stand in training text",
        ):
            assert said in text_of(app)
        assert "The share of the questions that were answered right" in text_of(app)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen) and "Few-Shot Learners" in text_of(app))
        await pilot.press("escape", "down")
        await until(pilot, lambda: "· not different" in text_of(app))
        await pilot.press("up", "enter")
        await until(pilot, lambda: isinstance(app.screen, FailuresScreen) and "expected" in text_of(app))
        assert "1 item that" in text_of(app) and "this item stands in training text" in text_of(app)
        await _inert(app, pilot)
        await shown(pilot, FailuresScreen(tmp_path, planned.name, scorecard, "heldout"), "keeps no items")


async def test_doctor_tells_problems_first_and_speeds_when_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Finding("memory", "8 GB"), Finding("load", "3.1", "others use [b]this", "wait")]
    monkeypatch.setattr(doctor, "examine", lambda _: iter(found))
    async with running(WorkbenchApp(tmp_path)) as pilot:
        app = await shown(pilot, DoctorScreen(tmp_path), "! 1 to look at")
        lines = text_of(app).splitlines()
        assert "others use [b]this" in lines[2] and "→ wait" in lines[3]
        peaks = {"float32_flops": 2e11, "memory_bytes_per_second": 9e9}
        use = {"name": "bfloat16", "times": 2.5, "instead_of": "float32", "active": True}
        idle = {"name": "float8", "times": None, "active": False, "why_not": "it needs [b]a GPU"}
        app.screen.post_message(
            doctor.Measured({"peaks": peaks, "uses": [use, idle], "arithmetic": "bfloat16", "threads": 2})
        )
        await until(
            pilot, lambda: "2.5 times as quick as float32" in text_of(app) and "200 GFLOP/s" in text_of(app)
        )
        assert "· float8: it needs [b]a GPU" in text_of(app)


async def test_two_models_hear_the_same_words(tmp_path: Path) -> None:
    first, second = (ChatClient([sys.executable, str(CHILD)]) for _ in range(2))
    chat = ChatScreen(tmp_path, "a/sft", beside="b/sft", client=first, second_client=second)
    async with running(WorkbenchApp(tmp_path), (100, 24)) as pilot:
        app = await shown(pilot, chat, "▏ chat")
        await until(pilot, lambda: text_of(app).count("context 256") == 2)
        await say(pilot, "hello")
        await until(pilot, lambda: text_of(app).count("you said hello") == 2)
        await until(pilot, lambda: text_of(app).count("100 tok/s") == 2)
        await say(pilot, "**bold**")
        await until(pilot, lambda: text_of(app).count("you said **bold**") == 2)
        await pilot.press("ctrl+g")
        await until(pilot, lambda: text_of(app).count("you said bold") == 2)
        assert State(tmp_path / FILE_NAME).get("markdown", False), "remembered"
        await say(pilot, "die")
        await until(pilot, lambda: text_of(app).count("no such checkpoint") == 2)
        assert chat.query_one(Composer).disabled
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "▏" not in text_of(app))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "No run has made one yet" in text_of(app))


@pytest.mark.parametrize("size", [(20, 6), (45, 12), (60, 15), (200, 50)])
async def test_rooms_fit_any_terminal(
    planned: Plan,
    corpus: Path,
    scorecard: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
) -> None:
    fake_texts(monkeypatch)
    async with running(WorkbenchApp(tmp_path), (80, 24)) as pilot:
        for screen in (
            CorpusScreen(tmp_path, planned.name),
            DocumentsScreen(tmp_path, planned.name, corpus),
            ClustersScreen(tmp_path, planned.name, corpus),
            ScoresScreen(tmp_path, planned.name),
            TokensScreen(tmp_path, planned.name),
            RecipeScreen(tmp_path, tmp_path / "small.toml"),
        ):
            pilot.app.push_screen(screen)
            await pilot.resize_terminal(*size)
            await pilot.pause(0.05)


@pytest.mark.parametrize("room", [CorpusScreen, ScoresScreen, TokensScreen])
def test_pictures(
    planned: Plan,
    corpus: Path,
    scorecard: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    snap_compare: Any,
    room: Any,
) -> None:
    monkeypatch.setenv("WORKBENCH_THEME", "dark")
    monkeypatch.delenv("NO_COLOR", raising=False)
    fake_texts(monkeypatch)
    said = {CorpusScreen: "3 words, fewer", ScoresScreen: "▲ better", TokensScreen: "bytes/token"}[room]

    async def look(pilot: Pilot[None]) -> None:
        app = await shown(pilot, room(tmp_path, planned.name), "small-1a2b3c")
        if room is CorpusScreen:
            await until(pilot, lambda: "few words" in text_of(app))
            await pilot.press("down", "down")
        await until(pilot, lambda: said in text_of(app))

    assert snap_compare(WorkbenchApp(tmp_path), terminal_size=(100, 30), run_before=look)
