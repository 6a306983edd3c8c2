"""The view of a living run, whose worker is played by the test: on a pseudo-terminal and in a pipe."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench import cli
from workbench.cli import foreground
from workbench.cli.foreground import last_words
from workbench.errors import NoSpace
from workbench.events import EventWriter
from workbench.plan import Plan
from workbench.runs import Run

from .conftest import write_run

SECONDS = 30.0


class Worker:
    """Holds the run's lock and says what a worker at pretrain would."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._lock = run.take_lock()
        self._say("running")
        self._events = EventWriter(run.events_path)
        self._events.write("run_started", name=run.name, pid=os.getpid(), stages=[])
        self._events.write("stage_started", stage="corpus", artifact="x", reused=True)
        self._events.write(
            "stage_finished", stage="corpus", artifact="x", reused=True, seconds=0.1, summary={}
        )
        self._events.write("stage_started", stage="pretrain", artifact="y", reused=False)
        self._events.write("stage_progress", stage="pretrain", done=30, total=40, unit="steps")
        self._events.write("metric", stage="pretrain", step=30, loss=3.125, tokens_per_second=9000.0)
        self._events.write("note", stage="pretrain", text="a \x1b]0;title\x07 [bold]note[/]")

    def _say(self, state: str, **facts: Any) -> None:
        (self.run.path / "status.json").write_text(json.dumps({"state": state, "pid": os.getpid(), **facts}))

    def requested(self) -> list[str]:
        """The requests that came, waiting for the first."""
        taken: list[str] = []
        wait_for(lambda: bool(taken.extend(self.run.take_requests()) or taken))
        return taken

    def stop(self) -> None:
        """End as a stopped worker does."""
        self._events.write("run_finished", state="stopped", exit_code=75, seconds=1.0)
        self._say("stopped", exit_code=75)
        self._lock.close()

    def die(self) -> None:
        """End as a killed worker does."""
        self._lock.close()


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        select.select([], [], [], 0.02)


@pytest.fixture
def worker(plan: Plan) -> Iterator[Worker]:
    worker = Worker(write_run(plan, state="running", events=False))
    yield worker
    worker.die()


def take_signals() -> None:
    """As a shell starts a program: tests run in the background or under nohup inherit signals that are ignored."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def view(plan: Plan, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """`workbench run` on the run that lives."""
    environment = {
        **os.environ,
        "WORKBENCH_HOME": str(plan.home),
        "PYTHONPATH": str(Path(cli.__file__).parents[2]),
        "TERM": "xterm-256color",
        "COLUMNS": "80",
        "LINES": "24",
    }
    command = [sys.executable, "-m", "workbench", "run", "canned.toml", "--name", plan.name]
    process = subprocess.Popen(
        command,
        cwd=plan.recipe_folder,
        env=environment,
        stdout=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=take_signals,  # noqa: PLW1509 - this process has no other thread
        **streams,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class Screen:
    """The other side of a pseudo-terminal."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        self.seen = ""

    def waits_for(self, text: str) -> None:
        """Read until `text` was shown after what was waited for before."""
        deadline = time.monotonic() + SECONDS
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen[-2000:]
            if select.select([self.ours], [], [], 0.1)[0]:
                self.seen += os.read(self.ours, 65536).decode(errors="replace")
                assert "\x1b]0;" not in self.seen
        self.seen = self.seen[self.seen.index(text) + len(text) :]

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self.ours, keys)


def end_of(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    out, _ = process.communicate(timeout=SECONDS)
    return process.returncode, out.decode()


def test_on_a_terminal_it_draws_and_ctrl_c_asks(plan: Plan, worker: Worker) -> None:
    screen = Screen()
    with view(plan, stdin=screen.theirs, stderr=screen.theirs) as process:
        screen.waits_for("step 30/40  loss 3.125  9k tok/s")
        screen.waits_for("75%")
        screen.waits_for("[bold]note[/]")
        os.kill(process.pid, signal.SIGINT)
        screen.waits_for("[d] detach")
        screen.press(b"x")
        screen.waits_for("closing this window")
        os.kill(process.pid, signal.SIGINT)
        screen.waits_for("[s] stop with everything saved")
        screen.press(b"s")
        assert worker.requested() == ["stop"]
        screen.waits_for("stopping")
        worker.stop()
        code, out = end_of(process)
    assert (code, out) == (75, "canned-run\n")


def test_detaching_leaves_the_run_alone(plan: Plan, worker: Worker) -> None:
    screen = Screen()
    with view(plan, stdin=screen.theirs, stderr=screen.theirs) as process:
        screen.waits_for("loss 3.125")
        os.kill(process.pid, signal.SIGINT)
        screen.waits_for("[d] detach")
        screen.press(b"d")
        code, out = end_of(process)
    assert (code, out) == (0, "canned-run\n")
    assert worker.run.take_requests() == []
    assert worker.run.is_alive()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_a_script_a_signal_stops_the_run_with_everything_saved(
    plan: Plan, worker: Worker, number: signal.Signals
) -> None:
    with view(plan, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, b"")
        assert any(b"loss 3.125" in line for line in lines)
        process.send_signal(number)
        assert worker.requested() == ["stop"]
        worker.stop()
        err = b"".join(lines).decode()
        code, out = end_of(process)
    assert (code, out) == (75, "canned-run\n")
    assert "[bold]note[/]" in err and "\x1b" not in err
    assert "workbench resume canned-run" in err.splitlines()[-1]


def test_a_hang_up_ends_the_view_alone(plan: Plan, worker: Worker) -> None:
    with view(plan, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert any(b"loss 3.125" in line for line in iter(process.stderr.readline, b""))
        process.send_signal(signal.SIGHUP)
        process.stderr.read()
        assert end_of(process)[0] == 129
    assert worker.run.take_requests() == []
    assert worker.run.is_alive()


def test_a_worker_that_dies_is_told_in_one_line(plan: Plan, worker: Worker) -> None:
    with view(plan, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, b"")
        assert any(b"loss 3.125" in line for line in lines)
        worker.die()
        err = b"".join(lines).decode()
        code, _ = end_of(process)
    assert code == 1
    assert "the worker died" in err.splitlines()[-1]


def test_a_dead_workers_last_words_are_told_and_an_earlier_workers_are_not(plan: Plan) -> None:
    run = write_run(plan, state="running", events=False)
    run.log_path.write_text("something\n/disk/x: cannot write: Input/output error\n\n")
    os.utime(run.log_path, (1000, 1000))
    (run.path / "status.json").write_text(json.dumps({"state": "running", "started_at": 999}))
    assert last_words(run) == "/disk/x: cannot write: Input/output error"
    (run.path / "status.json").write_text(json.dumps({"state": "running", "started_at": 1001}))
    assert last_words(run) == ""


# -- a disk that takes nothing any more: the worker cannot say why it ended --------------------------------


def dead_run(plan: Plan, exit_code: int | None) -> Run:
    """A run whose worker left nothing but its exit code, or not even that."""
    run = write_run(plan, state="running", events=False)
    if exit_code is None:
        return run
    worker = subprocess.Popen(["sh", "-c", f"exit {exit_code}"])
    worker.wait()
    return dataclasses.replace(run, worker=worker)


def test_the_exit_code_tells_that_the_disk_refused(plan: Plan, capfd: pytest.CaptureFixture[str]) -> None:
    run = dead_run(plan, 74)
    assert foreground.watch_run(run) == 74
    (line,) = capfd.readouterr().err.splitlines()
    assert str(run.path) in line
    assert line.endswith("see to the disk or choose another --home, then run the same command again")


def test_what_the_worker_could_still_log_says_more(plan: Plan, capfd: pytest.CaptureFixture[str]) -> None:
    run = dead_run(plan, 74)
    run.log_path.write_text("/disk/x: cannot write: Input/output error; see to the disk\n")
    assert foreground.watch_run(run) == 74
    assert capfd.readouterr().err == "/disk/x: cannot write: Input/output error; see to the disk\n"


def test_who_did_not_start_the_worker_tries_the_disk(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = dead_run(plan, None)

    def refuse(path: Path, content: bytes) -> None:
        raise NoSpace("cannot write: Input/output error", file=path, fix="see to the disk")

    with monkeypatch.context() as patch:
        patch.setattr(foreground, "write_atomic", refuse)
        assert foreground.watch_run(run) == 74
    assert "cannot write: Input/output error; see to the disk" in capfd.readouterr().err
    before = set(run.path.iterdir())
    assert foreground.watch_run(run) == 1  # it was not the disk
    assert "the worker died" in capfd.readouterr().err
    assert set(run.path.iterdir()) == before


def test_another_exit_code_is_another_death(plan: Plan) -> None:
    assert foreground.watch_run(dead_run(plan, 1)) == 1
