"""A feed folds what a run folder says, whatever it says, and whenever it is looked at."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.test_event_columns import train
from tui import feed_cache
from tui.chart.track import Track
from tui.feed import RunFeed, read_log_tail
from tui.rows import RowReader
from tui.run_seen import RunSeen
from workbench import event_columns
from workbench.cli.facts import History
from workbench.events import EventReader, EventWriter
from workbench.history import HistoryReader
from workbench.runs import Run

MakeRun = Any


def test_a_run_is_told_by_its_events(make_run: MakeRun) -> None:
    seen = RunFeed(make_run(state="stopped", steps=400)).look()
    assert [(stage.name, stage.state) for stage in seen.stages[:5]] == [
        ("corpus", "finished"),
        ("tokenizer", "reused"),
        ("pack", "finished"),
        ("pretrain", "stopped"),
        ("sft", "waiting"),
    ]
    assert seen.figures["pretrain"]["step"] == 400 and seen.figures["pretrain"]["val_bpb"] > 0
    assert len(seen.curves["pretrain"].training) == 400
    assert list(seen.curves["pretrain"].measured.steps) == [100, 200, 300, 400]
    assert seen.checkpoint_step == 400
    assert [[one.step for one in each] for each in seen.samples["pretrain"]] == [[100, 200, 300, 400]]
    assert "sft" not in seen.samples
    assert not seen.behind and not seen.is_live


def test_a_look_is_behind_only_where_more_is_to_be_read(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small history is whole after one look, however slow the machine: no half picture flashes up."""
    monkeypatch.setattr("tui.feed.READ_SECONDS", -1.0)
    run: Run = make_run(steps=100)
    seen = RunFeed(run).look()
    assert not seen.behind and len(seen.curves["pretrain"].training) == 100
    monkeypatch.setattr("tui.feed._SLICE_BYTES", 2000)
    feed = RunFeed(run)
    first = feed.look()
    assert first.behind and 0 < first.read_share < 1
    looks = [feed.look() for _ in range(1000 // 4)]
    assert not looks[-1].behind and len(looks[-1].curves["pretrain"].training) == 100


def test_a_torn_last_line_is_not_yet(make_run: MakeRun) -> None:
    run: Run = make_run(steps=10)
    whole = run.events_path.read_bytes()
    torn = len(whole) - 20
    run.events_path.write_bytes(whole[:torn])
    feed = RunFeed(run)
    feed.look()
    with run.events_path.open("ab") as file:
        file.write(whole[torn:])
    assert told(feed.look()) == told(RunFeed(run).look())


@pytest.mark.parametrize("events_of_a_block", [7, 64, 300])
def test_a_history_in_columns_is_the_history_in_lines(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, events_of_a_block: int
) -> None:
    """Three workers, two of them cut off and steps taken again; what is no number; a clock that is set back."""
    monkeypatch.setattr(event_columns, "BLOCK_EVENTS", events_of_a_block)
    monkeypatch.setattr("workbench.history.LINES_BYTES", 0)
    clock = itertools.chain((1000 + i / 4 for i in range(700)), (1100 + i / 4 for i in itertools.count()))
    monkeypatch.setattr("workbench.events.time.time", lambda: next(clock))
    run: Run = make_run(steps=0)
    for first, steps in ((1, 300), (250, 300), (540, 120)):
        writer = EventWriter(run.events_path)
        writer.write("run_started", name=run.name, pid=1, stages=["pretrain"])
        writer.write("stage_started", stage="pretrain", reused=False)
        train(writer, first, steps)
        writer.close()
    pieces = [piece for part in iter(HistoryReader(run.events_path).read_new, []) for piece in part]
    assert any(isinstance(piece, event_columns.Rows) for piece in pieces)
    in_columns = told(RunFeed(run, cached=False).look())
    event_columns.columns_path(run.events_path).unlink()
    in_lines = told(RunFeed(run, cached=False).look())
    assert repr(in_columns) == repr(in_lines)


def test_a_second_look_reads_only_what_is_new(make_run: MakeRun) -> None:
    run: Run = make_run(steps=40)
    feed = RunFeed(run)
    feed.look()
    metric = {"time": 1.0, "kind": "metric", "stage": "pretrain", "step": 41, "loss": 1.5}
    with run.events_path.open("a") as file:
        file.write(json.dumps(metric) + "\n")
    assert feed.look().curves["pretrain"].training.steps[-1] == 41


def told(seen: RunSeen) -> Any:
    """All that a look says, as values that can be compared."""
    curves = {
        name: [
            (list(track.steps), {key: list(each.raw) for key, each in track.metrics.items()})
            for track in tracks
        ]
        for name, one in seen.curves.items()
        for tracks in [(one.training, one.measured)]
    }
    return replace(seen, curves={}, free_bytes=None), curves


def test_a_look_at_nothing_new_has_the_same_version(make_run: MakeRun) -> None:
    feed = RunFeed(make_run())
    assert feed.look().version == feed.look().version


def test_what_a_long_history_came_to_is_kept(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.feed.KEEP_AFTER_BYTES", 1000)
    run: Run = make_run(steps=700, error="it broke")
    first = RunFeed(run).look()
    assert feed_cache.path_of(run).is_file()
    monkeypatch.setattr(EventReader, "read_new", lambda *_, **__: [])
    assert told(RunFeed(run).look()) == told(first)


@pytest.mark.parametrize("harm", ["torn", "other history", "not ours", "shorter history"])
def test_what_was_kept_of_another_history_is_left_alone(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    monkeypatch.setattr("tui.feed.KEEP_AFTER_BYTES", 1000)
    run: Run = make_run(steps=300)
    RunFeed(run).look()
    kept = feed_cache.path_of(run)
    if harm == "torn":
        kept.write_bytes(kept.read_bytes()[:-100])
    elif harm == "not ours":
        kept.write_bytes(b"[]\n")
    else:
        make_run("other", steps=200 if harm == "other history" else 20)
        run.events_path.write_bytes((run.path.parent / "other" / "events.jsonl").read_bytes())
    monkeypatch.setattr("tui.feed.KEEP_AFTER_BYTES", 1 << 40)
    assert told(RunFeed(run).look()) == told(RunFeed(run, cached=False).look())


def test_a_home_that_takes_no_file_is_no_trouble(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.feed.KEEP_AFTER_BYTES", 10)
    run: Run = make_run(steps=30)
    (run.home / "cache").write_text("in the way")
    assert RunFeed(run).look().figures["pretrain"]["step"] == 30


def test_a_request_is_answered_by_its_name(make_run: MakeRun) -> None:
    run: Run = make_run(steps=4)
    with run.events_path.open("a") as file:
        for event in (
            {"kind": "note", "stage": "pretrain", "text": "save requested", "request": "17-ab"},
            {"kind": "note", "stage": "pretrain", "text": "saved at step 5, as asked", "answers": "17-ab"},
            {
                "kind": "warning",
                "stage": "pretrain",
                "text": "not tuned: no",
                "answers": "18-cd",
                "refused": True,
            },
            {"kind": "note", "stage": "pretrain", "text": "pause requested", "request": "19-ef"},
        ):
            file.write(json.dumps({"time": 1.7e9, **event}) + "\n")
    answers = RunFeed(run).look().answers
    assert {name: answer.state for name, answer in answers.items()} == {
        "17-ab": "done",
        "18-cd": "refused",
        "19-ef": "taken",
    }


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "metric", "stage": "pretrain", "step": "x", "loss": "y"},
        {"kind": "metric", "stage": 7, "step": 1, "loss": None},
        {"kind": "stage_progress", "stage": "pretrain", "done": "all", "total": []},
        {"kind": "stage_progress", "stage": "pretrain", "done": 5, "total": 0},
        {"kind": "sample", "text": 17, "step": {}},
        {"kind": "stage_finished", "seconds": "long"},
        {"kind": "note", "text": {"a": 1}, "time": "yesterday"},
        {"kind": "from the future", "stage": "pretrain"},
        {"kind": "checkpoint", "step": None},
    ],
)
def test_no_event_can_break_the_feed(make_run: MakeRun, event: dict[str, Any]) -> None:
    run: Run = make_run(steps=4)
    with run.events_path.open("a") as file:
        file.write(json.dumps(event) + "\n")
    assert RunFeed(run).look().curves["pretrain"].training.steps[-1] == 4


def test_not_a_number_reaches_the_curve_as_a_gap(make_run: MakeRun) -> None:
    run: Run = make_run(steps=4)
    with run.events_path.open("a") as file:
        file.write('{"kind": "metric", "stage": "pretrain", "step": 5, "loss": "nan"}\n')
    assert RunFeed(run).look().curves["pretrain"].training.broken["loss"] == (5, 5, 1)


def test_rows_of_a_home(make_run: MakeRun, tmp_path: Path) -> None:
    assert RowReader(tmp_path).read() == ()
    make_run("first", state="finished")
    broken: Run = make_run("second")
    (broken.path / "status.json").write_text('{"state": 7, "progress": "half", "step": [], "loss": "inf"}')
    rows = {row.name: row for row in RowReader(tmp_path).read()}
    assert rows["first"].state == "finished" and rows["first"].step == 400
    assert rows["second"].state == "crashed" and rows["second"].progress is None


def test_a_killed_run_is_crashed(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(state="running")
    assert RowReader(tmp_path).read()[0].state == "crashed"


def test_the_log_tail_begins_with_a_whole_line_and_is_clean(make_run: MakeRun) -> None:
    run: Run = make_run()
    run.log_path.write_bytes(b"first line\n" + b"second \x1b[31m\xff line\n")
    assert read_log_tail(run, most_bytes=24) == "second [31m\ufffd line\n"
    run.log_path.unlink()
    assert read_log_tail(run) == ""


def write_events(run: Run, *events: tuple[float, str, dict[str, Any]]) -> None:
    lines = [json.dumps({"time": at, "kind": kind, **fields}) for at, kind, fields in events]
    run.events_path.write_text("\n".join(lines) + "\n")


def stage(name: str, **fields: Any) -> dict[str, Any]:
    return {"stage": name, **fields}


def test_a_run_that_was_stopped_and_resumed_made_what_it_made(make_run: MakeRun) -> None:
    run: Run = make_run(state="finished")
    summary = {"documents": 4541}
    write_events(
        run,
        (100.0, "run_started", {}),
        (100.0, "stage_started", stage("pack")),
        (101.0, "stage_progress", stage("pack", done=0, unit="documents")),
        (110.0, "stage_finished", stage("pack", reused=False, seconds=10.0, summary=summary)),
        (110.0, "stage_started", stage("sft")),
        (125.0, "run_finished", {"state": "stopped"}),
        (900.0, "run_started", {}),
        (900.0, "stage_started", stage("pack", reused=True)),
        (900.0, "stage_finished", stage("pack", reused=True, seconds=0.0, summary=summary)),
        (900.0, "stage_started", stage("tokenizer", reused=True)),
        (900.0, "stage_finished", stage("tokenizer", reused=True, seconds=0.0)),
        (900.0, "stage_started", stage("sft")),
        (920.0, "stage_finished", stage("sft", reused=False, seconds=20.0, summary={})),
        (921.0, "run_finished", {"state": "finished"}),
    )
    seen = RunFeed(run).look()
    stages = {one.name: one for one in seen.stages}
    assert (stages["pack"].state, stages["pack"].seconds) == ("finished", 10.0)
    assert stages["pack"].summary == summary
    assert (stages["sft"].state, stages["sft"].seconds) == ("finished", 35.0)
    assert stages["tokenizer"].state == "reused"
    assert seen.seconds == 46.0  # 25 before it was stopped, 21 after
    assert [(note.kind, note.text) for note in seen.notes] == [
        ("stopped", "after 25s"),
        ("finished", "after 46s"),
    ]


def test_the_time_of_a_run_is_the_one_that_show_tells(make_run: MakeRun) -> None:
    run: Run = make_run(state="finished")
    write_events(
        run,
        (100.0, "run_started", {}),
        (100.0, "stage_started", stage("pretrain")),
        (130.0, "note", stage("pretrain", text="killed after this")),
        (500.0, "run_started", {}),
        (500.0, "stage_started", stage("pretrain")),
        (512.0, "stage_finished", stage("pretrain", reused=False, seconds=12.0, summary={})),
        (512.0, "run_finished", {"state": "finished"}),
    )
    history = History.of(run.events())
    seen = RunFeed(run).look()
    told = seen.stage_seen("pretrain")
    assert seen.seconds == history.seconds == 42.0
    assert told is not None and told.seconds == history.spent["pretrain"] == 42.0


def told_by(run: Run) -> tuple[Any, ...]:
    """All that a feed makes of a run, as plain values; what is no number as a word, so that it equals itself."""
    seen = RunFeed(run, cached=False).look()
    curves = seen.curves["pretrain"]
    columns = {
        name: [str(value) for value in series.raw] + [str(each.mean) for each in series.levels]
        for track in (curves.training, curves.measured)
        for name, series in track.metrics.items()
    }
    return (
        list(curves.training.steps), list(curves.training.tokens), list(curves.training.seconds), columns,
        curves.training.broken, curves.marks, seen.figures, seen.stages, seen.seconds, seen.version,
    )  # fmt: skip


def test_a_history_that_is_read_at_once_is_the_one_that_is_read_by_and_by(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all that may disturb it: a resume, words and nulls for numbers, other keys, time and steps that go back."""
    run: Run = make_run(steps=4)
    random = Random(7)
    with run.events_path.open("a") as file:

        def tell(kind: str, **fields: Any) -> None:
            at = 1.7e9 + random.randint(-1, 50)
            file.write(json.dumps({"time": at, "kind": kind, "stage": "pretrain", **fields}) + "\n")

        for part, first in enumerate((5, 300, 250, 700, 701)):
            if part == 2:
                tell("run_started")
            for step in range(first, first + 120):
                odd = {1: {"loss": "nan"}, 2: {"mfu": None}, 3: {"tokens": None}}.get(
                    random.randint(0, 60), {}
                )
                late = {"entropy": 0.5} if part == 3 else {}
                metric = {"step": step, "loss": 2 + random.random(), "tokens": step * 64, "seconds": step / 4}
                tell("metric", **metric | late | odd)
                if step % 7 == 0:
                    tell("stage_progress", done=step, total=1000, unit="steps")
                if step % 50 == 0:
                    tell("metric", step=step, val_loss=2.0)
                    tell("checkpoint", step=step)
    at_once = told_by(run)
    calls: list[int] = []
    monkeypatch.setattr("tui.stage_metrics.columns_of", lambda rows: calls.append(len(rows)))
    assert told_by(run) == at_once
    assert max(calls) > 20


def test_neighbours_alike_are_read_at_once(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a million steps take four times as long."""
    run: Run = make_run(steps=1000)
    one_by_one = 0
    take = Track.add

    def count(*arguments: Any) -> None:
        nonlocal one_by_one
        one_by_one += 1
        take(*arguments)

    monkeypatch.setattr(Track, "add", count)
    feed = RunFeed(run, cached=False).look()
    assert len(feed.curves["pretrain"].training) == 1000 and one_by_one < 40
