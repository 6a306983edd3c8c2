"""Themes: no state and no run is told by colour alone, and where colours tell runs apart they differ in every theme."""

from __future__ import annotations

import itertools
import math
import time
from pathlib import Path
from typing import Any

import pytest
from rich.color import Color, ColorSystem

from tests.tui.test_screens import running, text_of, until
from tui import words
from tui.app import WorkbenchApp
from tui.chart.picture import RUN_GLYPHS
from tui.comparison import MOST_RUNS
from tui.theme import ON_DARK, RUNS_COMPARED, THEMES
from tui.widgets.chart import Chart
from workbench.files import lock_file


def test_runs_that_are_compared_differ_in_colour_and_in_glyph() -> None:
    assert len(set(RUN_GLYPHS[:MOST_RUNS])) == MOST_RUNS == RUNS_COMPARED
    for name, theme in THEMES.items():
        assert len({theme.variables[run] for run in ON_DARK}) == MOST_RUNS, name


def test_runs_that_are_compared_differ_and_are_seen_in_256_colours() -> None:
    for name in ("dark", "light"):
        theme = THEMES[name]
        shown = [Color.parse(theme.variables[run]).downgrade(ColorSystem.EIGHT_BIT) for run in ON_DARK]
        assert len({color.number for color in shown}) == MOST_RUNS, name
        ground = Color.parse(str(theme.background)).downgrade(ColorSystem.EIGHT_BIT)
        # 3 to 1: what WCAG 2.2 (1.4.11) asks of lines and signs.
        assert min(_contrast(color, ground) for color in shown) >= 3, name


@pytest.mark.parametrize("name", [name for name in THEMES if name != "16"])
def test_states_are_told_apart_in_256_colours(name: str) -> None:
    theme = THEMES[name]
    told = (theme.success, theme.warning, theme.error, theme.foreground, theme.variables["dim"])
    shown = [Color.parse(str(color)).downgrade(ColorSystem.EIGHT_BIT).get_truecolor() for color in told]
    for one, other in itertools.combinations(shown, 2):
        assert math.dist(one, other) >= 50, (name, one.hex, other.hex)


def _contrast(one: Color, other: Color) -> float:
    """The ratio of the luminances of two colours, from 1 to 21 (WCAG 2.2, contrast ratio)."""

    def luminance(color: Color) -> float:
        shares = [value / 255 for value in color.get_truecolor()]
        red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_every_state_has_a_word_of_its_own() -> None:
    for signs in (words.RUN_SIGNS, words.STAGE_SIGNS):
        assert len({sign.word for sign in signs.values()}) == len(signs)
        assert all(len(sign.glyph) == 1 and not sign.glyph.isspace() for sign in signs.values())


@pytest.mark.parametrize("theme", [*THEMES])
async def test_every_state_is_a_glyph_and_a_word_in_every_theme(
    make_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theme: str
) -> None:
    monkeypatch.setenv("WORKBENCH_THEME", theme)
    for state in ("finished", "failed", "stopped"):
        make_run(state, state=state)
    make_run("killed", state="running")  # and nobody holds its lock
    live = make_run("alive", state="running", now=time.time())
    with lock_file(live.lock_path) or pytest.fail("the lock was not free"):
        app = WorkbenchApp(tmp_path)
        async with running(app) as pilot:
            for state in ("finished", "failed", "stopped", "crashed", "running"):
                await until(pilot, lambda state=state: str(words.RUN_SIGNS[state]) in text_of(app))  # type: ignore[misc]


async def test_charts_wear_another_theme_at_once(make_run: Any, tmp_path: Path) -> None:
    run = make_run(state="finished")
    app = WorkbenchApp(tmp_path, run.name)
    async with running(app) as pilot:

        def worn() -> set[str]:
            chart = app.screen.query(Chart).first().region
            strips = app.screen._compositor.render_strips()[chart.y : chart.bottom]
            styles = [style for strip in strips for _, style, _ in strip.crop(chart.x, chart.right)]
            return {style.color.get_truecolor().hex for style in styles if style and style.color}

        for name in ("dark", "light", "dark-colorblind"):
            app.wear(name)
            theme = THEMES[name]
            wanted = {theme.primary, theme.foreground, theme.variables["dim"], theme.variables["faint"]}
            await until(pilot, lambda wanted=wanted: wanted <= worn())  # type: ignore[misc]
