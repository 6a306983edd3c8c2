"""Where the learning rate turns: what the plan has, what a person asked for, and how both stand under a chart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tui.test_chart import curves_of
from tui import feed_cache
from tui.chart.canvas import ASCII, BRAILLE
from tui.chart.picture import Held, Line, View, picture
from tui.chart.track import Mark, StageCurves
from tui.feed import RunFeed
from tui.rate_phases import planned_phases
from workbench.recipe import Pretrain
from workbench.runs import Run
from workbench.train.schedule import make_schedule

MakeRun = Any
WSD = {"schedule": "wsd", "warmup_steps": 20, "decay_ratio": 0.2, "batch_ramp": None}


def steps_of(settings: dict[str, Any], num_steps: float) -> list[tuple[str, int]]:
    return [(mark.kind, mark.step) for mark in planned_phases(settings, num_steps)]


@pytest.mark.parametrize(
    ("settings", "phases"),
    [
        (WSD, [("warmup", 20), ("decay", 800)]),
        (WSD | {"warmup_steps": 0}, [("decay", 800)]),
        (WSD | {"decay_ratio": 0.0}, [("warmup", 20)]),
        (WSD | {"schedule": "linear"}, [("warmup", 20), ("decay", 20)]),
        (WSD | {"schedule": "cosine", "warmup_steps": 0}, []),
        (WSD | {"schedule": "wavy", "warmup_steps": "many"}, []),
        (WSD | {"batch_ramp": {"start": -1}}, []),
        ({"vocab_size": 300}, []),
    ],
)
def test_the_phases_of_a_plan(settings: dict[str, Any], phases: list[tuple[str, int]]) -> None:
    assert steps_of(settings, 1000) == phases


@pytest.mark.parametrize("broken", [float("inf"), float("nan"), -5.0, 0.0])
def test_a_number_of_steps_that_is_none_has_no_phases(broken: float) -> None:
    assert planned_phases(WSD, broken) == []


def test_with_growing_batches_they_are_where_the_schedule_turns() -> None:
    table = Pretrain(
        tokens=1_000_000, batch_tokens=2048, context_length=64, schedule="wsd", warmup_steps=20,
        batch_ramp={"start": 512, "until": 0.3},
    )  # fmt: skip
    sizes = table.sizes()

    def full_before(step: int) -> float:
        return sizes.tokens_before(step) / table.batch_tokens

    factor_at = make_schedule("wsd", num_steps=full_before(sizes.num_steps), warmup_steps=20)
    (_, warm), (_, decay) = steps_of(table.model_dump(), sizes.num_steps)
    rates = [factor_at(full_before(step)) for step in range(sizes.num_steps)]
    assert warm == rates.index(1.0) + 1 > 20  # the first steps are small ones
    assert max(step for step, rate in enumerate(rates) if rate == 1.0) in (decay - 1, decay)


# -- under a chart -----------------------------------------------------------------------------------------


def below(curves: StageCurves, view: View | None = None, *, width: int = 60) -> str:
    lines = picture("loss", [Line(curves, "loss")], view or View(), width=width, height=8, held=Held())
    return lines[-1][0]


def marked(*marks: Mark, steps: int = 1000) -> StageCurves:
    curves = curves_of([2.0 - step / steps for step in range(steps)])
    curves.marks += marks
    return curves


def test_a_phase_stands_beside_the_label_of_its_step() -> None:
    row = below(marked(Mark(10, "warmup"), Mark(500, "decay")))
    assert row.index("╭") == row.index("0") + 1  # the label of step 0 is in the cell of step 10
    assert row.index("╮") == row.index("500") - 1


def test_both_phases_at_one_step_make_a_peak() -> None:
    for step in range(1, 900, 13):
        row = below(marked(Mark(step, "warmup"), Mark(step, "decay")))
        assert row.index("╭") < row.index("╮"), row
        assert not row[row.index("╭") + 1 : row.index("╮")].strip("0123456789k. "), row


@pytest.mark.parametrize("axis", ["step", "tokens", "time", "flops"])
def test_what_is_still_to_come_is_not_marked(axis: str) -> None:
    view = View(axis=axis)
    curves = marked(Mark(20, "warmup"), Mark(800, "decay"), steps=700)
    assert "╭" in below(curves, view) and "╮" not in below(curves, view)
    assert "╮" in below(marked(Mark(800, "decay"), steps=801), view)


def test_a_phase_outside_of_the_stretch_that_is_shown_is_not_marked() -> None:
    assert "╮" not in below(marked(Mark(800, "decay")), View(window=(100, 500)))


def test_a_phase_displaces_no_rarer_mark_and_an_ascii_terminal_shows_it() -> None:
    curves = marked(Mark(600, "resume"), Mark(600, "decay"), Mark(610, "checkpoint"))
    row = below(curves)
    assert row.index("╮") == row.index("↻") + 1 and "▵" not in row
    plain = below(marked(Mark(300, "warmup"), Mark(620, "decay")), View(charset=ASCII))
    assert plain.isascii() and "/" in plain and "\\" in plain


# -- from a run --------------------------------------------------------------------------------------------


def with_settings(run: Run, settings: dict[str, Any]) -> Run:
    plan = run.plan()
    plan["stages"][3]["settings"] = {key: {"value": value} for key, value in settings.items()}
    run.replace_plan(plan)
    return run


def tell(run: Run, *events: dict[str, Any]) -> None:
    with run.events_path.open("a") as file:
        for event in events:
            file.write(json.dumps({"time": 1.7e9, "stage": "pretrain", **event}) + "\n")


def progress(done: int, total: int) -> dict[str, Any]:
    return {"kind": "stage_progress", "done": done, "total": total, "unit": "steps"}


def phases_of_run(run: Run, *, cached: bool = False) -> list[Mark]:
    curves = RunFeed(run, cached=cached).look().curves["pretrain"]
    return [mark for mark in curves.marks if mark.kind in ("warmup", "decay")]


PLANNED = [Mark(20, "warmup"), Mark(800, "decay")]
STEERED = {"kind": "note", "text": "steered at step 1,380: decay = now; ends at step 1,656 instead of 5,000"}


def test_a_run_is_marked_once_it_has_told_its_steps(make_run: MakeRun) -> None:
    run = with_settings(make_run(), WSD)
    assert phases_of_run(run) == []
    tell(run, progress(401, 1000))
    assert phases_of_run(run) == PLANNED


def test_a_decay_that_a_person_began_stands_for_the_planned_one(make_run: MakeRun) -> None:
    run = with_settings(make_run(), WSD)
    tell(run, progress(1379, 5000), STEERED, progress(1381, 1656))
    assert phases_of_run(run) == [Mark(20, "warmup"), Mark(1380, "decay")]
    for text in ("says: steered at step 9: decay = now", "steered at step ,: decay = now"):
        tell(run, {"kind": "note", "text": text})
    assert phases_of_run(run)[1] == Mark(1380, "decay")


def test_marks_are_kept_with_the_curves(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.feed.KEEP_AFTER_BYTES", 0)
    run = with_settings(make_run(), WSD)
    tell(run, progress(401, 1000))
    assert phases_of_run(run, cached=True) == PLANNED
    assert feed_cache.load(run) is not None
    tell(run, progress(402, 1000))
    assert phases_of_run(run, cached=True) == PLANNED


def test_the_charts_of_a_run_show_them(make_run: MakeRun, tmp_path: Path) -> None:
    run = with_settings(make_run(steps=900), WSD)
    tell(run, progress(900, 1000))
    curves = RunFeed(run, cached=False).look().curves["pretrain"]
    for charset in (BRAILLE, ASCII):
        for width in (40, 78, 190):  # a tile, and the chart alone in a usual and a wide terminal
            row = below(curves, View(charset=charset), width=width)
            assert ("╭" in row and "╮" in row) if charset is BRAILLE else ("/" in row and "\\" in row)
