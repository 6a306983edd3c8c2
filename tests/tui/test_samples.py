"""Samples of a long run: the first, the newest and an even choice between; turned through prompt by prompt."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.tui.test_screens import running, text_of, until
from tui import feed_cache
from tui.app import WorkbenchApp
from tui.feed import RunFeed
from tui.run_seen import Sample
from tui.samples import KEPT_OF_A_PROMPT, PROMPTS_KEPT, Samples
from tui.screens.run import RunScreen
from tui.widgets.story import Story
from workbench.runs import Run

MakeRun = Any


def taken(steps: Any, *prompts: str, into: Samples | None = None) -> Samples:
    samples = Samples() if into is None else into
    for step in steps:
        for prompt in prompts:
            samples.take({"kind": "sample", "step": step, "prompt": prompt, "text": f"{prompt} at {step}"})
    return samples


@pytest.mark.parametrize("told", [1, 64, 65, 66, 128, 129, 1000, 4321])
def test_the_first_and_the_newest_stay_and_those_between_are_evenly_spread(told: int) -> None:
    for kept in taken(range(100, 100 * told + 1, 100), "one", "two").by_prompt():
        steps = [sample.step or 0 for sample in kept]
        assert (steps[0], steps[-1]) == (100, 100 * told)
        assert min(told, KEPT_OF_A_PROMPT // 2) <= len(kept) <= KEPT_OF_A_PROMPT + 1
        gaps = {after - before for before, after in itertools.pairwise(steps[:-1])}
        assert len(gaps) <= 1 and all(steps[-1] - steps[-2] <= gap for gap in gaps)


@pytest.mark.parametrize("looked_at", [1, 63, 64, 65, 150, 299])
def test_what_is_kept_does_not_hang_on_when_it_was_looked_at(looked_at: int) -> None:
    whole = taken(range(300), "one", "two").by_prompt()
    before = Samples(taken(range(looked_at), "one", "two").by_prompt())
    assert taken(range(looked_at, 300), "one", "two", into=before).by_prompt() == whole


def test_a_prompt_that_comes_back_is_the_newest_again() -> None:
    samples = taken((10, 20), "one", "two")
    taken((30, 40), "other", into=samples)
    taken((50, 60), "one", "two", into=samples)
    order = [kept[0].prompt for kept in samples.by_prompt()]
    assert order == ["other", "one", "two"]
    assert [kept[0].prompt for kept in taken((70,), "one", "two", into=samples).by_prompt()] == order


def test_steps_that_are_taken_again_are_sampled_once() -> None:
    samples = taken([100, 200, 300, 400], "one", "two")
    (first, _) = taken([300, 350], "one", into=samples).by_prompt()
    assert [(sample.step, sample.number) for sample in first] == [(100, 0), (200, 1), (300, 2), (350, 3)]


def test_of_a_run_that_asks_something_else_each_time_the_newest_are_kept() -> None:
    samples = taken([1], *map(str, range(100)))
    assert [each[0].prompt for each in samples.by_prompt()] == [
        str(n) for n in range(100 - PROMPTS_KEPT, 100)
    ]


@pytest.mark.parametrize(
    "event", [{}, {"step": "x", "prompt": None, "text": 7}, {"step": True, "text": ["\x1b"]}]
)
def test_whatever_a_sample_says_it_is_text(event: dict[str, Any]) -> None:
    samples = Samples()
    samples.take(event)
    assert "\x1b" not in samples.by_prompt()[0][0].text


def test_a_feed_that_goes_on_from_what_was_kept_has_the_same(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.feed.KEEP_AFTER_BYTES", 0)
    run: Run = make_run(steps=20)
    write_samples(run, range(1, 101), "one", "two")
    RunFeed(run).look()
    kept = feed_cache.load(run)
    assert kept is not None and kept.offset == run.events_path.stat().st_size
    write_samples(run, range(101, 201), "one", "two")
    assert RunFeed(run).look().samples == RunFeed(run, cached=False).look().samples


def write_samples(run: Run, steps: Any, *prompts: str) -> None:
    with run.events_path.open("a") as file:
        for step in steps:
            for prompt in prompts:
                fields = {"stage": "pretrain", "step": step, "prompt": prompt, "text": f"{prompt} went on"}
                file.write(json.dumps({"time": 1e9, "kind": "sample", **fields}) + "\n")


async def test_samples_are_turned_through_one_prompt_at_a_time(make_run: MakeRun, tmp_path: Path) -> None:
    run: Run = make_run()
    write_samples(run, [100, 200, 300, 400], "os.remove")
    app = WorkbenchApp(tmp_path, run.name)
    async with running(app) as pilot:
        await until(pilot, lambda: "sample @400  ‹4/4, prompt 2/2›  os.remove" in text_of(app))
        await pilot.press("comma")
        assert "sample @300  ‹3/4, prompt 2/2›  os.remove" in text_of(app)
        await pilot.press("semicolon")
        assert "sample @300  ‹3/4, prompt 1/2›  os.listdir" in text_of(app), "the other one at that time"
        await pilot.press("comma", "comma", "comma")
        assert "sample @100  ‹1/4, prompt 1/2›  os.listdir" in text_of(app)
        await pilot.press("full_stop", "full_stop", "full_stop", "full_stop", "semicolon")
        assert "sample @400  ‹4/4, prompt 2/2›  os.remove" in text_of(app)


async def test_the_key_of_prompts_is_there_where_there_are_several(make_run: MakeRun, tmp_path: Path) -> None:
    run: Run = make_run()
    app = WorkbenchApp(tmp_path, run.name)
    async with running(app) as pilot:
        await until(pilot, lambda: "sample @400  ‹4/4›" in text_of(app))
        assert not app.screen.check_action("prompt", ())
        write_samples(run, [400], "os.remove")
        await until(pilot, lambda: "prompt 2/2" in text_of(app))
        assert app.screen.check_action("prompt", ())


async def test_one_that_is_looked_at_stands_still_while_others_come_and_go(
    make_run: MakeRun, tmp_path: Path
) -> None:
    app = WorkbenchApp(tmp_path, make_run(steps=20).name)
    async with running(app) as pilot:
        await until(pilot, lambda: "s=0.9" in text_of(app))
        screen = app.screen
        assert isinstance(screen, RunScreen)
        story = screen.query_one(Story)

        def told(number: int) -> list[Sample]:
            return [Sample(step, "os.listdir", "names", step) for step in range(number)]

        await pilot.press("p")  # the run's own would come in between
        await until(pilot, lambda: not screen._looking)
        story.show([told(9)], [], [], now=0.0)
        story.turn(-1)
        story.show([told(12)], [], [], now=0.0)
        await until(pilot, lambda: "sample @7  ‹8/12›" in text_of(app))
        story.show([told(12)[::2]], [], [], now=0.0)
        await until(pilot, lambda: "sample @6  ‹4/6›" in text_of(app))
        story.show([[Sample(1, "of another stage", "text")]], [], [], now=0.0)
        await until(pilot, lambda: "sample @1  of another stage" in text_of(app))
