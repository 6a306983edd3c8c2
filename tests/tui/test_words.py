"""The words of the terminal app say the same as those of the command line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from textual.content import Content

from tui import words
from tui.chart.track import StageCurves
from tui.run_seen import Note, RunSeen, StageSeen
from tui.widgets.key_bar import Key, key_line
from tui.widgets.run_header import headline
from tui.widgets.stage_board import stage_board
from tui.widgets.stage_rail import rail, short_rail
from tui.widgets.story import why_it_ended
from workbench.cli.live import GLYPHS
from workbench.cli.watch import STATE_GLYPHS


def test_a_state_has_one_mark_in_the_app_and_in_the_shell() -> None:
    assert {state: sign.glyph for state, sign in words.RUN_SIGNS.items()} == STATE_GLYPHS
    assert {state: glyph for state, (glyph, _) in GLYPHS.items()} == STATE_GLYPHS
    assert all(words.STAGE_SIGNS[state].glyph == STATE_GLYPHS[state] for state in ("stopped", "crashed"))


def test_a_rail_gives_up_figures_before_names() -> None:
    stages = [StageSeen("corpus", "finished"), StageSeen("pretrain", "running", done=38, total=100)]
    stages += [
        StageSeen("sft", planned_seconds=62.0),
        StageSeen("eval", planned_seconds=0.4),
        StageSeen("export"),
    ]
    lines: list[Content] = [
        rail(stages, planned=True),
        rail(stages),
        rail(stages, figures=False),
        short_rail(stages),
        short_rail(stages, figures=False),
    ]
    assert [line.plain for line in lines] == [
        "✓ corpus ─ ● pretrain 38 % ─ ○ sft ~62s ─ ○ eval ─ ○ export",
        "✓ corpus ─ ● pretrain 38 % ─ ○ sft ─ ○ eval ─ ○ export",
        "✓ corpus ─ ● pretrain ─ ○ sft ─ ○ eval ─ ○ export",
        "✓ ● pretrain 38 % ○○○",
        "✓ ● pretrain ○○○",
    ]


def test_the_way_back_stands_at_the_right_end_however_narrow_the_line_is() -> None:
    keys = [
        Key("enter", "open", True, False),
        Key("G", "start", False, False),
        Key("esc", "back", True, True),
        Key("q", "quit", True, True),
    ]
    assert key_line(keys, width=40).plain == "enter open  G start     esc back  q quit"
    assert key_line(keys, width=30).plain == "enter open    esc back  q quit"
    assert key_line(keys, width=16).plain == "esc back  q quit"
    assert key_line(keys, width=10).plain == "  esc back"


def test_a_board_tells_what_each_stage_made_is_at_or_is_for() -> None:
    seen = RunSeen(
        "run",
        Path("run"),
        state="running",
        stage="eval",
        stages=(
            StageSeen(
                "corpus", "finished", seconds=20, summary={"documents": 1303, "read": 3000, "bytes": 5e6}
            ),
            StageSeen("tokenizer", "reused", summary={"vocab_size": 512, "bytes_per_token": "[b]x"}),
            StageSeen("pretrain", "failed"),
            StageSeen("eval", "running", done=1, total=4, unit="tasks"),
            StageSeen("export", planned_seconds=400.0),
        ),
    )
    lines = stage_board(seen, "eval", width=80, height=20).plain.splitlines()
    assert lines[0].startswith("Tasks with known answers")  # what the stage shown is for
    assert [line.rstrip() for line in lines[-5:]] == [
        "✓ corpus          20s  3,000 read, 1,303 documents, 5 MB",
        "✓ tokenizer            reused  512 entries",
        "✗ pretrain             failed",
        "● eval                 ━━━━╌╌╌╌╌╌╌╌╌╌╌╌   25 %  1 of 4 tasks",
        "○ export          ~7m  is packed for other programs",
    ]
    low = stage_board(seen, "eval", width=40, height=6).plain.splitlines()
    assert len(low) == 5 and all(len(line) <= 40 for line in low)  # where it is low, the stages alone
    assert (
        "never came to a stage"
        in stage_board(RunSeen("run", Path("run"), "failed"), "", width=80, height=9).plain
    )


def test_the_board_of_a_run_that_is_done_says_where_to_go_from_there() -> None:
    done = RunSeen(
        "run",
        Path("run"),
        state="finished",
        stage="eval",
        stages=(StageSeen("pretrain", "finished"), StageSeen("eval", "finished")),
        curves={"pretrain": StageCurves()},
    )
    assert stage_board(done, "eval", width=80, height=9).plain.splitlines()[-1] == (
        "t talks to the model; [ and ] go to the curves and samples of another stage."
    )
    live = dataclasses.replace(done, state="running")
    assert stage_board(live, "eval", width=80, height=9).plain.splitlines()[-1].startswith("[ and ] go")


def test_a_run_that_broke_off_says_why_in_full() -> None:
    error = "no document was kept; " * 20
    notes = (Note(1.0, "error", "an older one"), Note(2.0, "error", error), Note(3.0, "failed", "after 2s"))
    told = why_it_ended("failed", notes)
    assert told is not None and told.plain == f"✗ failed  {error}"
    crashed = why_it_ended("crashed", ())
    assert crashed is not None and "R goes on" in crashed.plain
    assert why_it_ended("stopped", notes) is None and why_it_ended("failed", ()) is None


def test_what_does_not_fit_ends_in_an_ellipsis() -> None:
    assert [words.fit(text, 6) for text in ("abc", "abcdef", "abcdefg", "你好你好")] == [
        "abc   ",
        "abcdef",
        "abcde…",
        "你好… ",
    ]


def test_a_headline_leaves_times_out_whole_the_newest_word_last() -> None:
    seen = RunSeen(
        "run", Path("run"), "running", seconds=60.0, told_at=100.0, heard_at=100.0, checkpoint_at=97.0
    )
    said = [headline(seen, now=100.0, times=times).plain for times in (4, 2, 1)]
    assert said == [
        "run  ● running  1m 00s  saved 3s ago  heard just now",
        "run  ● running  1m 00s  heard just now",
        "run  ● running  heard just now",
    ]


def test_a_name_keeps_the_end_that_tells_it_from_others() -> None:
    assert words.fit("long-context-run-7f3a12", 16, end=7) == "long-con…-7f3a12"
    assert words.fit("abcdef", 4, end=7) == "abc…"


def test_how_unsure_a_time_is_takes_one_unit() -> None:
    said = {0.4: "", 25.0: "±25s", 1225.0: "±20m", 5 * 3600.0: "±5h", 3 * 86400.0: "±3d"}
    assert {seconds: words.give_or_take(seconds) for seconds in said} == said
    assert words.give_or_take(None) == words.as_planned(None) == words.as_planned(0.4) == ""
    assert [words.as_planned(seconds) for seconds in (20.0, 1225.0, 5 * 3600.0)] == ["~20s", "~20m", "~5h"]
    assert words.about(9660.0, 360.0) == "~2h 41m ±6m"
    assert words.about(20.0, 0.0) == "~20s"
