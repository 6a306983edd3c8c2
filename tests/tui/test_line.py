"""The line to the terminal: nothing is sent while nothing changes, and a terminal that stops reading stops no run."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tui.terminal import ready
from tests.tui.test_home import many_runs
from workbench.runs import Run

MakeRun = Any
IDLE_SECONDS = 10.0
WORKER = """
import json, sys, time
from pathlib import Path
from workbench.files import lock_file

folder = Path(sys.argv[1])
with lock_file(folder / ".lock"):
    with open(folder / "events.jsonl", "a", buffering=1) as events:
        for step in range(401, 100_000):
            now = time.time()
            metric = {"kind": "metric", "stage": "pretrain", "step": step, "loss": 2 + step % 7 / 10, "time": now}
            events.write(json.dumps(metric) + "\\n")
            status = {"state": "running", "stage": "pretrain", "step": step, "heartbeat": now}
            (folder / "status.json").write_text(json.dumps(status))
            time.sleep(0.02)
"""


@pytest.fixture
def worker(make_run: MakeRun) -> Iterator[Run]:
    """A run that somebody works on, fifty steps a second."""
    run: Run = make_run("busy", state="running", now=time.time())
    child = subprocess.Popen([sys.executable, "-c", WORKER, str(run.path)])
    yield run
    child.kill()
    child.wait()


def test_a_thousand_runs_at_rest_send_nothing_and_cost_little(tmp_path: Path, open_terminal: Any) -> None:
    many_runs(tmp_path, 1000)
    terminal = open_terminal(tmp_path)
    terminal.read_until(lambda output: ready(output) and b"1,000 runs" in output)
    first_paint = terminal.cpu_seconds()
    while select.select([terminal.fd], [], [], 1.5)[0]:  # what is still on its way
        terminal.output += os.read(terminal.fd, 65536)
    before = terminal.cpu_seconds()
    assert select.select([terminal.fd], [], [], IDLE_SECONDS)[0] == []
    assert (terminal.cpu_seconds() - before) / IDLE_SECONDS < 0.10
    assert first_paint < 2.0


def test_a_key_is_answered_while_a_run_is_live(worker: Run, tmp_path: Path, open_terminal: Any) -> None:
    terminal = open_terminal(tmp_path, worker.name)
    terminal.read_until(lambda output: b"smooth" in output and b"running" in output)
    spent = []
    for key in (b"l", b"a") * 10:
        cpu, seen = terminal.cpu_seconds(), len(terminal.output)
        terminal.type(key)
        terminal.read_until(lambda output: len(output) > seen)  # noqa: B023 - called at once
        spent.append(terminal.cpu_seconds() - cpu)
    assert sorted(spent)[17] <= 0.05, "CPU seconds until the answer, the 90th percentile"


def test_a_terminal_that_stops_reading_stops_no_run(worker: Run, tmp_path: Path, open_terminal: Any) -> None:
    terminal = open_terminal(tmp_path, worker.name)
    terminal.read_until(lambda output: b"smooth" in output and b"running" in output)
    for key in b"?q?q?q?q?q?q?q?q?q?q?q?q":  # much to draw, and nobody who reads it
        terminal.type(bytes([key]))
    first = _step(worker)
    deadline = time.monotonic() + 20
    while _step(worker) < first + 100:
        assert time.monotonic() < deadline, "the run stood still"
        time.sleep(0.05)
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.exit_code() == 128 + signal.SIGTERM
    assert worker.is_alive()


def _step(run: Run) -> int:
    while True:
        try:
            return int(json.loads((run.path / "status.json").read_text()).get("step", 0))
        except ValueError:  # just being written
            continue
