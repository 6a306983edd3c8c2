from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from workbench.errors import BadInput, Busy, NotFound
from workbench.events import EventWriter
from workbench.runs import Run, create_run, find_home, list_runs, open_run


@pytest.fixture
def run(home: Path) -> Run:
    return create_run(home, "one-abc123", recipe_text="# mine\n", plan={"version": 1})


def say(run: Run, **status: object) -> None:
    (run.path / "status.json").write_text(json.dumps(status))


def test_a_run_is_made_whole_and_once(home: Path, run: Run) -> None:
    assert (run.path / "recipe.toml").read_text() == "# mine\n"
    assert run.plan() == {"version": 1}
    assert create_run(home, run.name, recipe_text="other", plan={}).plan() == {"version": 1}
    assert os.listdir(home / "runs") == [run.name]


def test_a_home_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="home"):
        create_run(tmp_path / "file", "x", recipe_text="", plan={})


def test_states_are_what_is_true_now(run: Run) -> None:
    assert run.state() == "pending"
    lock = run.take_lock()
    say(run, state="running")
    assert run.state() == "running"
    say(run, state="paused")
    assert run.state() == "paused"
    lock.close()
    assert run.state() == "crashed"
    say(run, state="finished")
    assert run.state() == "finished"


def test_a_run_whose_worker_never_came_is_crashed(run: Run) -> None:
    say(run, state="pending", started_at=time.time() - 3600)
    assert run.state() == "crashed"


def test_a_second_worker_is_told_who_holds_the_run(run: Run) -> None:
    with run.take_lock(), pytest.raises(Busy, match=f"pid {os.getpid()}"):
        run.take_lock()


def test_a_torn_status_is_no_status(run: Run) -> None:
    (run.path / "status.json").write_text('{"state": "run')
    assert run.state() == "pending"


def test_requests_are_taken_once_in_order_by_the_living(run: Run) -> None:
    with run.take_lock():
        say(run, state="running")
        run.request("save")
        run.request("stop")
        (run.path / "control" / "zz").write_text("not json")
        assert run.take_requests() == ["save", "stop"]
        assert run.take_requests() == []
    with pytest.raises(BadInput, match="crashed"):
        run.request("stop")


def test_runs_are_found_by_unique_prefix(home: Path, run: Run) -> None:
    create_run(home, "one-abd", recipe_text="", plan={})
    assert open_run(home, "one-abc").name == run.name
    assert {found.name for found in list_runs(home)} == {run.name, "one-abd"}
    with pytest.raises(BadInput, match="several"):
        open_run(home, "one")
    for name in ("two", "", "../one-abc123"):
        with pytest.raises((NotFound, BadInput)):
            open_run(home, name)


def test_metrics_repeated_after_a_resume_count_once(run: Run) -> None:
    writer = EventWriter(run.events_path)
    for step, loss in ((1, 5.0), (2, 4.0), (2, 4.5), (3, 3.0)):
        writer.write("metric", stage="pretrain", step=step, loss=loss)
    writer.write("metric", stage="pretrain", step=2, val_loss=4.4)
    losses = [event["loss"] for event in run.metrics("pretrain") if "loss" in event]
    assert losses == [5.0, 4.5, 3.0]
    assert len(run.metrics()) == 4
    assert run.metrics("sft") == []


def test_following_ends_with_the_run(run: Run) -> None:
    EventWriter(run.events_path).write("note", text="last words")
    say(run, state="finished")
    assert [event["text"] for event in run.follow(poll_seconds=0)] == ["last words"]


def test_the_home_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WORKBENCH_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert find_home() == tmp_path / "workbench"
    assert find_home(Path("/x")) == Path("/x")
