"""The words of the terminal app say the same as those of the command line."""

from __future__ import annotations

from textual.content import Content

from tui import words
from tui.feed import StageSeen
from tui.widgets.stage_rail import rail, short_rail
from workbench.cli.live import GLYPHS
from workbench.cli.watch import STATE_GLYPHS


def test_a_state_has_one_mark_in_the_app_and_in_the_shell() -> None:
    assert {state: sign.glyph for state, sign in words.RUN_SIGNS.items()} == STATE_GLYPHS
    assert {state: glyph for state, (glyph, _) in GLYPHS.items()} == STATE_GLYPHS
    assert all(words.STAGE_SIGNS[state].glyph == STATE_GLYPHS[state] for state in ("stopped", "crashed"))


def test_a_rail_gives_up_figures_before_names() -> None:
    stages = [StageSeen("corpus", "finished"), StageSeen("pretrain", "running", done=38, total=100)]
    lines: list[Content] = [
        rail(stages),
        rail(stages, figures=False),
        short_rail(stages),
        short_rail(stages, figures=False),
    ]
    assert [line.plain for line in lines] == [
        "✓ corpus ─ ● pretrain 38 %",
        "✓ corpus ─ ● pretrain",
        "✓ ● pretrain 38 %",
        "✓ ● pretrain",
    ]
