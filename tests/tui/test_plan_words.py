"""What a plan says: every stage with what it is for, in words that fit the usual terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui.test_screens import running, text_of, until
from tui import words
from tui.app import WorkbenchApp
from tui.gauges import STAGES
from tui.plan_words import PlanCost, StageCost, long_plan, plan_to_choose, short_plan
from tui.screens.plan import PlanScreen
from workbench.plan import STAGE_NAMES


def cost_of(*stages: tuple[str, bool, str]) -> PlanCost:
    made = tuple(
        StageCost(name, reused, "", 75.0, summary, 1 << 28, 1 << 20, "measured", ())
        for name, reused, summary in stages
    )
    return PlanCost("tiny-1a2b3c", 320_000, 240_000, 6_400_000, 1e12, 150.0, 1 << 29, 1 << 33, 1 << 25, 1 << 36,
                    0.1, 60.0, "2 CPU cores in bfloat16", (), made)  # fmt: skip


def test_every_stage_has_a_task_that_fits() -> None:
    assert {told.name for told in STAGES} <= set(words.STAGE_TASKS)
    assert set(STAGE_NAMES) <= {told.name for told in STAGES}, "each is explained"
    assert all(len(said) <= words.TASK_CELLS for said in words.STAGE_TASKS.values())


def test_a_stage_says_what_it_is_for_and_its_figures_where_there_is_room() -> None:
    cost = cost_of(("pretrain", True, "240k tokens"), ("dpo", False, "~300 examples"))
    narrow, wide = (plan_to_choose(cost, width=width).plain.splitlines() for width in (50, 80))
    assert narrow[4] == "✓ pretrain     made  learns to continue a text"
    assert narrow[5] == "○ dpo        1m 15s  learns which answer is better"
    assert wide[5] == "○ dpo        1m 15s  learns which answer is better  ~300 examples"
    assert all(len(line) <= 50 for line in narrow) and all(len(line) <= 80 for line in wide)
    assert narrow[-1] == "run tiny-1a2b3c" and "320k parameters" in narrow[0]


def test_no_line_of_a_plan_is_half_a_fact() -> None:
    cost = cost_of(("corpus", True, "1.19 MB of text"), ("pretrain", False, "240k tokens"))
    for width in (40, 60, 80, 120):
        head, stages, _ = short_plan(cost, width=width).plain.splitlines()
        assert len(head) <= width and head.startswith(
            "plan  320k parameters" if width > 74 else "plan  ~2m 30s"
        ), head
        assert ("1m 15s" in stages) == (len("✓ corpus  ○ pretrain 1m 15s") <= width)
        lines = [each.plain for each in long_plan(cost, width=width)]
        pretrain = next(line for line in lines if line.startswith("○ pretrain"))
        assert ("learns to continue a text" in pretrain) and ("240k tokens" in pretrain) == (width >= 80)


def test_what_it_takes_outlasts_how_large_it_is_which_its_keys_tell_too() -> None:
    cost = cost_of(("pretrain", False, "240k tokens"))
    heads = {width: short_plan(cost, width=width).plain.splitlines()[0] for width in (56, 76, 100, 120)}
    takes = "~2m 30s · memory ~537 MB · disk ~33.6 MB · ~0.1 kWh"
    assert heads[56] == f"plan  {takes}"[:56].rpartition(" · ")[0]
    assert heads[76] == f"plan  320k parameters · {takes}"  # the usual terminal
    assert heads[120] == f"plan  320k parameters · 240k tokens · {takes}".replace(
        "537 MB", "537 MB of 8.59 GB"
    )
    assert heads[100] == heads[120]
    assert "energy 0.1 kWh" in plan_to_choose(cost, width=50).plain


async def test_the_plan_of_a_new_run_is_whole_in_the_usual_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = WorkbenchApp(tmp_path)
    async with running(app, (80, 24)) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: words.STAGE_TASKS["eval"] in text_of(app))  # of the quickstart
        for stage in ("tokenizer", "sft", "dpo"):
            assert words.STAGE_TASKS[stage] in text_of(app)


async def test_a_plan_that_scrolls_wraps_no_line_of_a_stage(tmp_path: Path) -> None:
    stages = ("pretrain", "sft", "dpo", "eval")
    cost = cost_of(*((name, False, "~1,234 examples") for name in stages * 8))
    for width in range(76, 84):
        async with running(app := WorkbenchApp(tmp_path), (width, 24)) as pilot:
            app.push_screen(PlanScreen(tmp_path, "tiny", cost, "workbench run tiny --detach"))
            await until(pilot, lambda: "○ pretrain" in text_of(app))
            shown = [line.strip() for line in text_of(app).splitlines()]
            assert not any(line.startswith(("examples", "~1,234")) for line in shown), width
