"""The list of runs: filter, order, what to do next, and a thousand of them."""

from __future__ import annotations

import itertools
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.widgets import Input, OptionList

from tests.tui.test_screens import running, text_of, until
from tui import rows
from tui.app import WorkbenchApp
from tui.feed import RunFeed
from tui.rows import RowReader, RunRow, arranged, next_thing, row_of
from tui.screens.enlarge import EnlargeScreen
from tui.screens.home import HomeScreen, age_of, columns_line, row_line
from tui.screens.run import RunScreen
from tui.widgets.key_bar import KeyBar
from workbench.runs import Run, create_run

MakeRun = Any


def many_runs(home: Path, count: int) -> None:
    for number in range(count):
        run = create_run(home, f"run-{number:04}", recipe_text="", plan={"stages": []})
        status = {
            "state": "finished",
            "stage": "eval",
            "step": number,
            "loss": 1 + number % 7,
            "heartbeat": 1.7e9,
        }
        (run.path / "status.json").write_text(json.dumps(status))


def test_what_is_over_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many_runs(tmp_path, 30)
    read: list[str] = []
    row_of = rows.row_of
    monkeypatch.setattr(rows, "row_of", lambda run: (read.append(run.name), row_of(run))[1])
    reader = RowReader(tmp_path)
    first = reader.read()
    assert len(read) == len(first) == 30
    assert reader.read() == first and len(read) == 30
    status = tmp_path / "runs" / "run-0007" / "status.json"
    status.write_text(json.dumps({"state": "stopped"}))
    assert {row.name: row.state for row in reader.read()}["run-0007"] == "stopped" and len(read) == 31


def test_a_run_that_seems_alive_is_asked_for_every_time(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(state="running")
    reader = RowReader(tmp_path)
    assert reader.read()[0].state == "crashed"
    run.path.rename(tmp_path / "gone")
    assert reader.read() == ()


def test_filter_and_order(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("beta", state="failed")
    make_run("alpha", state="finished")
    make_run("gamma-[b", state="stopped")
    read = RowReader(tmp_path).read()
    assert [row.name for row in arranged(read, order="name")] == ["alpha", "beta", "gamma-[b"]
    assert [row.state for row in arranged(read, order="state")] == ["finished", "failed", "stopped"]
    assert [row.name for row in arranged(read, order="name", words_wanted="PRETRAIN failed")] == ["beta"]
    assert [row.name for row in arranged(read, order="nonsense", words_wanted="[b")] == ["gamma-[b"]


@pytest.mark.parametrize(
    ("state", "said"),
    [("finished", "t talks"), ("failed", "shows why"), ("stopped", "then R"), ("running", "R there")],
)
def test_there_is_always_something_to_do_next(
    make_run: MakeRun, tmp_path: Path, state: str, said: str
) -> None:
    make_run(state=state)
    told = next_thing(RowReader(tmp_path).read())
    assert told is not None and said in told[1]
    assert next_thing(()) is None


async def test_a_thousand_runs_are_listed_found_and_ordered(tmp_path: Path) -> None:
    many_runs(tmp_path, 1000)
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await until(pilot, lambda: "1,000 runs, newest first" in text_of(app))
        runs = app.screen.query_one(OptionList)
        assert runs.option_count == 1000
        replaced: list[int] = []
        replace = runs.replace_option_prompt_at_index
        runs.replace_option_prompt_at_index = lambda *facts: (replaced.append(1), replace(*facts))[1]  # type: ignore[method-assign,assignment]
        app.screen._show_rows()  # type: ignore[attr-defined]
        assert replaced == []
        await pilot.press("slash", *"0777")
        await until(pilot, lambda: "1 of 1,000 have" in text_of(app))
        await pilot.press("enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and "run-0777" in text_of(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.press("slash", *"xyz")
        await until(pilot, lambda: "No run has all of these words" in text_of(app))
        await pilot.press("escape", "o")
        await until(pilot, lambda: "1,000 runs, by name" in text_of(app))
        assert runs.highlighted is not None and not app.screen.query_one(Input).display
        await pilot.press("escape")
        assert isinstance(app.screen, HomeScreen)


async def test_the_last_screen_and_the_order_come_back(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await until(pilot, lambda: run.name in text_of(app))
        await pilot.press("o", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await pilot.press("q")
    again = WorkbenchApp(tmp_path)
    async with running(again) as pilot:
        await until(pilot, lambda: isinstance(again.screen, RunScreen))
        await pilot.press("escape")
        await until(pilot, lambda: "by name" in text_of(again))
        await pilot.press("q")
    at_home = WorkbenchApp(tmp_path)
    async with running(at_home) as pilot:
        await until(pilot, lambda: run.name in text_of(at_home))
        assert isinstance(at_home.screen, HomeScreen)


async def test_a_state_that_cannot_be_read_is_said_and_left_aside(tmp_path: Path) -> None:
    (tmp_path / ".screen.json").write_text('{"version": 1, "values": {"run": "[/b')
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await until(pilot, lambda: "begin anew" in " ".join(text_of(app).split()))


async def test_a_machine_that_stalls_misses_no_new_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer of Textual whose moment passes before it looks at the clock never rings, and is waited for for ever."""
    app = WorkbenchApp(tmp_path)
    async with running(app, (80, 24)) as pilot:
        clock = itertools.count(
            time.monotonic(), 0.02
        )  # two looks are further apart than the timer's 1/120 s
        monkeypatch.setattr("textual._time.get_time", lambda: next(clock))
        await pilot.resize_terminal(140, 40)
        await until(pilot, lambda: app.screen.query_one(KeyBar).outer_size.width == 140)
        await pilot.resize_terminal(100, 30)
        await until(pilot, lambda: app.screen.query_one(KeyBar).outer_size.width == 100)


async def test_a_window_too_small_says_so_in_one_line_and_comes_back(
    make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run()
    app = WorkbenchApp(tmp_path)
    async with running(app) as pilot:
        await until(pilot, lambda: run.name in text_of(app))
        await pilot.resize_terminal(39, 12)
        await until(pilot, lambda: isinstance(app.screen, EnlargeScreen))
        assert text_of(app).split() == ["enlarge:", "40×10"]
        await pilot.press("question_mark", "n", "enter")
        assert isinstance(app.screen, EnlargeScreen)
        await pilot.resize_terminal(60, 15)
        await until(pilot, lambda: run.name in text_of(app))
        assert isinstance(app.screen, HomeScreen)


async def test_the_log_is_followed_searched_and_left(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    run.log_path.write_text("".join(f"line {number}\n" for number in range(500)) + "wide " * 100 + "\nlast\n")
    app = WorkbenchApp(tmp_path, run.name)
    async with running(app) as pilot:
        await until(pilot, lambda: "s=0.9" in text_of(app))
        await pilot.press("8")
        await until(pilot, lambda: "last" in text_of(app) and "follows" in text_of(app))
        await pilot.press("pageup", "pageup")
        await until(pilot, lambda: "line 460" in text_of(app))
        with run.log_path.open("a") as log:
            log.write("newer\n")
        await until(pilot, lambda: "stands still" in text_of(app))
        assert "newer" not in text_of(app)
        await pilot.press("f")
        await until(pilot, lambda: "newer" in text_of(app))
        await pilot.press("slash", *"line 17/", "backspace", "enter")
        await until(pilot, lambda: "match 11 of 11" in text_of(app) and "line 179" in text_of(app))
        await pilot.press("comma", "comma", "full_stop")
        await until(pilot, lambda: "match 10 of 11" in text_of(app))
        await pilot.press("escape")
        await until(pilot, lambda: "match" not in text_of(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))


async def test_a_line_of_ten_megabytes_is_shown(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    run.log_path.write_text("x" * 10_000_000 + "END")
    app = WorkbenchApp(tmp_path, run.name)
    async with running(app) as pilot:
        await until(pilot, lambda: "s=0.9" in text_of(app))
        await pilot.press("8")
        await until(pilot, lambda: "xxxx" in text_of(app))


def row(**facts: Any) -> RunRow:
    return RunRow(
        **{
            "name": "a",
            "state": "finished",
            "stage": "eval",
            "progress": None,
            "step": 9,
            "loss": 2.5,
            "heard_at": 1000.0,
        }
        | facts
    )


def test_the_list_says_more_where_there_is_room_and_lines_up() -> None:
    failed = row(
        state="failed", bits_per_byte=1.234, seconds=61.0, note="no document was kept of 30,000 read"
    )
    for width in (40, 56, 76, 96, 136, 196):
        head, line = columns_line(width), row_line(failed, width=width, now=1000.0).plain
        assert cell_len(head) == cell_len(line) == width and "✗ failed" in line
    # Of a run that is over the held-out figure is what can be compared; the step says nothing any more.
    assert "step" not in columns_line(76) and "1.234" in row_line(failed, width=76, now=1000.0).plain
    wide = row_line(failed, width=136, now=1000.0).plain
    assert "1.234   1m 01s    now  no document was kept of 30,00…" in wide


def test_the_age_of_a_run_rarely_changes() -> None:
    said = [age_of(row(), 1000.0 + after) for after in (0, 59, 60, 119, 7199, 200_000)]
    assert said == ["now", "now", "1m", "1m", "1h", "2d"]
    live = [age_of(row(state="running"), 1000.0 + after) for after in (0, 4, 12, 70)]
    assert live == ["now", "now", "12s", "1m"]  # a heart that stops beating is seen at once
    assert age_of(row(heard_at=None), 1000.0) == "–"


def test_a_row_tells_the_held_out_figure_of_an_earlier_stage_and_why_it_failed(tmp_path: Path) -> None:
    run = create_run(tmp_path, "a", recipe_text="", plan={"stages": []})
    status = {
        "state": "failed", "stage": "dpo", "started_at": 10.0, "finished_at": 70.0, "val_bpb": None,
        "heldout_bits_per_byte": 1.5, "error": "out of\x1b[31m memory",
    }  # fmt: skip
    (run.path / "status.json").write_text(json.dumps(status))
    seen = row_of(run)
    assert (seen.bits_per_byte, seen.seconds) == (1.5, 60.0)
    assert seen.note.startswith("out of") and "\x1b" not in seen.note


async def test_a_tall_terminal_tells_what_became_of_the_run_under_the_cursor(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run("first", state="finished")
    make_run("second", state="failed", steps=0, error="the loss is not a number")
    app = WorkbenchApp(tmp_path)
    async with running(app, (140, 45)) as pilot:
        await until(pilot, lambda: "second " in text_of(app))
        await pilot.press("o")
        await until(pilot, lambda: "2 runs, by name" in text_of(app))
        await pilot.press("home")
        await until(pilot, lambda: "pretrain loss" in text_of(app) and "✓ corpus ─" in text_of(app))
        assert "returns a list of the names" in text_of(app)
        assert app.focused is app.screen.query_one("#runs")
        await pilot.press("down")
        await until(pilot, lambda: "It has trained nothing yet." in text_of(app))
        assert "✗ failed  the loss is not a number" in text_of(app) and "pretrain loss" not in text_of(app)
        await pilot.resize_terminal(140, 24)
        await until(pilot, lambda: "It has trained nothing yet." not in text_of(app))


async def test_a_long_history_is_not_read_at_a_glance(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.feed.READ_SECONDS", 0.0)
    monkeypatch.setattr("tui.feed._SLICE_BYTES", 2000)
    make_run("long", state="finished")
    app = WorkbenchApp(tmp_path)
    async with running(app, (140, 45)) as pilot:
        await until(pilot, lambda: "enter reads it" in text_of(app))
        assert "pretrain loss" not in text_of(app)


async def test_a_run_is_read_once_for_a_glance(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list asks for it when it is laid out, when a row is chosen and when runs are read: all before it is there."""
    made: list[RunFeed] = []
    may_go_on = threading.Event()

    class SlowFeed(RunFeed):
        def __init__(self, run: Run) -> None:
            made.append(self)
            may_go_on.wait(30)
            super().__init__(run)

    monkeypatch.setattr("tui.screens.home.RunFeed", SlowFeed)
    make_run(state="finished")
    app = WorkbenchApp(tmp_path)
    async with running(app, (140, 45)) as pilot:
        await until(pilot, lambda: bool(made))
        await pilot.resize_terminal(150, 45)
        await pilot.resize_terminal(140, 45)
        may_go_on.set()
        await until(pilot, lambda: "pretrain loss" in text_of(app))
        assert len(made) == 1
