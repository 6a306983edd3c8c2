"""Runs beside each other: six of them fit, nothing is half a word, and every line can be reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from tests.tui.test_screens import running, text_of, until
from tui.app import WorkbenchApp
from tui.chart.picture import RUN_GLYPHS
from tui.comparison import Difference, as_text, recipe_differences
from tui.screens.compare import CompareScreen, title_line
from workbench.runs import Run

NAMES = ("tiny-wide-and-deep", "tiny-b", "tiny-seed-three", "tiny-d", "tiny-e", "tiny-f")


@pytest.fixture
def six(make_run: Any) -> list[Run]:
    runs = []
    for number, name in enumerate(NAMES):
        run: Run = make_run(name, steps=80 + number, state=("finished", "stopped", "failed")[number % 3])
        plan = run.plan()
        settings = {"tokens": 240_000 + 1_000_000 * number, "seed": number, "batch_tokens": 524_288 + number}
        plan["stages"][3]["settings"] = {key: {"value": value} for key, value in settings.items()}
        plan["stages"][3]["settings"] |= {f"key_{n}": {"value": number + n} for n in range(12)}
        run.replace_plan(plan)
        runs.append(run)
    return runs


def test_a_value_with_a_bar_stays_in_its_cell_of_the_copied_table() -> None:
    table = as_text(
        ["a|b", "c"], [Difference("loss", ("2.1", "2.0"), ("", "-0.100")), Difference("k", ("x|y", "–"))]
    )
    assert table.splitlines() == [
        r"|  | a\|b | c |", "| --- | --- | --- |", "| loss | 2.1 | 2.0 (-0.100) |", r"| k | x\|y | – |",
    ]  # fmt: skip


def test_counts_are_short_and_lose_no_digit(six: list[Run]) -> None:
    told = {each.name: each.values[:2] for each in recipe_differences(six)}
    assert told["pretrain.tokens"] == ("240k", "1240000")
    assert told["pretrain.batch_tokens"] == ("524288", "524289") and told["pretrain.seed"] == ("0", "1")


@pytest.mark.parametrize("width", [58, 78, 118, 198])
def test_the_title_names_every_run(width: int) -> None:
    line = title_line("pretrain", NAMES, width=width)
    assert line.cell_length <= width or width < 60
    assert all(glyph in line.plain for glyph in RUN_GLYPHS)
    assert ("baseline" in line.plain) == (width > 150)
    assert cell_len(title_line("pretrain", NAMES[:2], width=78).plain) <= 78


async def test_six_runs_are_told_whole_and_reached_by_keys(six: list[Run], tmp_path: Path) -> None:
    app = WorkbenchApp(tmp_path)
    async with running(app, (80, 24)) as pilot:
        app.push_screen(CompareScreen(tmp_path, NAMES))
        await until(pilot, lambda: "▸pretrain loss" in text_of(app))
        state = next(line for line in text_of(app).splitlines() if line.startswith(" state"))
        assert state.split() == ["state", "✓", "◌", "✗", "✓", "◌", "✗"], "a glyph where the word is too long"
        assert "pretrain.key_11" not in text_of(app)
        await pilot.press(*["pagedown"] * 5)
        await until(pilot, lambda: "pretrain.key_11" in text_of(app))
        await pilot.press(*["pageup"] * 5)
        await until(pilot, lambda: " state " in text_of(app))


async def test_in_a_wide_terminal_states_are_words(six: list[Run], tmp_path: Path) -> None:
    app = WorkbenchApp(tmp_path)
    async with running(app, (200, 50)) as pilot:
        app.push_screen(CompareScreen(tmp_path, NAMES))
        await until(pilot, lambda: text_of(app).count("✓ finished") == 2 and "◌ stopped" in text_of(app))
