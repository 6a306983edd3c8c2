"""Keys of rooms that have nothing to show yet are dim and say, calmly, what they wait for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui.hostile_home import hostile_run
from tests.tui.test_screens import running, text_of, until
from tui.app import WorkbenchApp
from tui.screens.corpus import CorpusScreen
from tui.screens.home import HomeScreen
from tui.screens.run import RunScreen
from tui.waiting import room_waits, waits_for

STAGES = ["corpus", "tokenizer", "pack", "pretrain", "sft", "eval"]


@pytest.mark.parametrize(
    ("room", "there", "state", "at", "how_far", "said"),
    [
        ("corpus", {"corpus"}, "running", "tokenizer", "", ""),
        ("chat", {"pretrain"}, "running", "pretrain", "38 %", ""),
        ("corpus", set(), "running", "corpus", "38 %",
         "no documents yet: corpus is at work (38 %); then it is there"),
        ("scores", {"corpus"}, "running", "pretrain", "38 %, about 2m more",
         "no scorecard yet: pretrain is at work (38 %, about 2m more), then come sft, eval"),
        ("scores", {"corpus"}, "running", "sft", "",
         "no scorecard yet: sft is at work, then comes eval"),
        ("chat", set(), "running", "pretrain", "",
         "no model to talk to yet: pretrain is at work; its first checkpoint comes within seconds"),
        ("tokens", set(), "stopped", "corpus", "",
         "no tokenizer yet: tokenizer makes it, and the run was stopped before; R in the run goes on"),
        ("tokens", set(), "pending", "", "", "no tokenizer yet: tokenizer makes it"),
    ],
)  # fmt: skip
def test_what_a_room_waits_for(
    room: str, there: set[str], state: str, at: str, how_far: str, said: str
) -> None:
    assert waits_for(room, STAGES, there, state=state, at=at, how_far=how_far) == said


def test_a_recipe_without_the_stage() -> None:
    assert waits_for("scores", STAGES[:4], set(), state="finished", at="pretrain") == (
        "no scorecard: the recipe has no [eval]"
    )


def test_a_run_that_nobody_can_read_leaves_it_to_the_room(tmp_path: Path) -> None:
    assert room_waits("corpus", tmp_path, "gone") == ""


async def test_keys_are_dim_until_there_is_something_to_show(tmp_path: Path) -> None:
    home, name = hostile_run(tmp_path)  # it has made a corpus and a scorecard, no tokenizer and no model
    app = WorkbenchApp(home)
    async with running(app, (140, 40)) as pilot:
        await until(pilot, lambda: "stage" in text_of(app) and name in text_of(app))
        for key, said in (("t", "no model to talk to yet"), ("4", "no tokenizer yet")):
            await pilot.press(key)
            await until(pilot, lambda said=said: said in text_of(app))  # type: ignore[misc]
            assert isinstance(app.screen, HomeScreen)
        await pilot.press("enter")
        await until(pilot, lambda: {"t", "4"} <= {key.shown for key in app.active_keys() if key.why_not})
        dim = {key.shown: key.why_not for key in app.active_keys() if key.why_not}
        assert "no tokenizer yet: tokenizer makes it" in dim["4"] and not {"3", "6"} & set(dim)
        await pilot.press("4")
        await until(pilot, lambda: "tokens: no tokenizer yet" in text_of(app))
        assert isinstance(app.screen, RunScreen)
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, CorpusScreen))
    assert room_waits("scores", home, name) == ""
