"""A run and the screens that look at it: neither end takes the other with it, and nothing is lost between."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tui.terminal import ROOT, ready
from tests.tui.workers import FIRST_STEP, shown_step, step_of, until
from workbench.runs import Run, list_runs

FIXTURES = ROOT / "tests" / "fixtures"


@pytest.fixture
def launching(tmp_path: Path) -> Iterator[list[str]]:
    """The command of an app that launches fake workers; those that still live are ended."""
    yield [sys.executable, str(FIXTURES / "launching_app.py"), str(tmp_path)]
    for run in list_runs(tmp_path):
        if run.is_alive():
            os.kill(int(run.status()["pid"]), signal.SIGKILL)


def test_a_run_that_was_started_here_outlives_the_terminal(
    tmp_path: Path, open_terminal: Any, launching: list[str]
) -> None:
    terminal = open_terminal(tmp_path, command=launching)
    terminal.read_until(ready)
    terminal.type(b"n")
    terminal.read_until(lambda output: b"parameters" in output)
    seen = len(terminal.output)
    terminal.type(b"G")
    terminal.read_until(lambda output: b"running" in output[seen:] and shown_step(output[seen:]) > 5_000)
    [run] = list_runs(tmp_path)
    worker = int(run.status()["pid"])
    assert os.getsid(worker) == worker, "in a session of its own"
    terminal.hang_up()
    assert terminal.exit_code() in (128 + signal.SIGHUP, -signal.SIGHUP)
    first = step_of(run)
    until(lambda: step_of(run) >= first + 50, seconds=60)
    assert run.is_alive()
    run.request("stop")
    until(lambda: not run.is_alive(), seconds=60)
    assert run.state() == "stopped"


def test_a_screen_that_was_killed_comes_back_where_it_was(
    worker: Run, tmp_path: Path, open_terminal: Any
) -> None:
    terminal = open_terminal(tmp_path, worker.name)
    terminal.read_until(lambda output: shown_step(output) > 0)
    shown = shown_step(terminal.output)
    os.kill(terminal.pid, signal.SIGKILL)
    assert terminal.exit_code() == -signal.SIGKILL
    again = open_terminal(tmp_path, worker.name)
    again.read_until(lambda output: shown_step(output) > 0)
    first_seen = min(shown_step(again.output), step_of(worker))
    assert first_seen >= shown, "its first picture of the run is no older"
    assert worker.is_alive()


def test_many_look_at_one_run_and_it_notices_none_of_them(
    worker: Run, tmp_path: Path, open_terminal: Any
) -> None:
    """Three screens and four lines; two screens are killed, the terminal of the third is not read for a while."""
    first, second, third = (open_terminal(tmp_path, worker.name) for _ in range(3))
    lines = open_terminal(tmp_path, "--inline", worker.name)
    for terminal in (first, second, third, lines):
        terminal.read_until(lambda output: shown_step(output) > 0)
    for terminal in (first, second):
        os.kill(terminal.pid, signal.SIGKILL)
        assert terminal.exit_code() == -signal.SIGKILL
    for key in b"?q" * 12:  # much to draw
        third.type(bytes([key]))
    unread = step_of(worker)
    until(lambda: step_of(worker) >= unread + 100, seconds=60)
    now = step_of(worker)
    for terminal in (third, lines):
        terminal.read_until(lambda output: shown_step(output) >= now)
    assert worker.is_alive()
    steps = [event["step"] for event in worker.events() if event["kind"] == "metric" and "time" in event]
    told = steps[steps.index(FIRST_STEP) :]
    assert told == list(range(FIRST_STEP, FIRST_STEP + len(told))), "none is missing, none came twice"
    assert list((worker.path / "control").iterdir()) == [], "and nobody asked it for anything"


def test_what_others_write_to_the_terminal_waits_until_the_screen_is_gone(
    tmp_path: Path, open_terminal: Any
) -> None:
    terminal = open_terminal(
        tmp_path, command=[sys.executable, str(FIXTURES / "noisy_app.py"), str(tmp_path)]
    )
    terminal.read_until(ready)
    assert b"NOISE" not in terminal.output
    terminal.type(b"q")
    assert terminal.exit_code() == 0
    screen, _, after = terminal.output.partition(b"\x1b[?1049l")
    assert b"NOISE" not in screen
    for said in (b"NOISE one", b"NOISE [31mtwo", b"NOISE three", b"NOISE four"):
        assert said in after


def test_a_paste_of_200_kilobytes_and_an_old_mouse_do_no_harm(tmp_path: Path, open_terminal: Any) -> None:
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "plan.json").write_text("{}")
    terminal = open_terminal(tmp_path)
    terminal.read_until(lambda output: ready(output) and b"1 run" in output)
    terminal.type(b"\x1b[M" + bytes([32, 255, 255]) + b"/")
    terminal.type(b"\x1b[200~" + b"many w\xc3\xb6rds " * 18_000 + b"\x1b[201~")
    terminal.read_until(lambda output: b"No run has" in output)
    terminal.type(b"\x1b[M" + bytes([35, 200, 130]) + b"\x1b")
    seen = len(terminal.output)
    terminal.read_until(lambda output: b"Next" in output[seen:] or b"newest first" in output[seen:])
    terminal.type(b"q")
    assert terminal.exit_code() == 0
    assert b"Traceback" not in terminal.output
