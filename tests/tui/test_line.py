"""The line to the terminal: nothing is sent while nothing changes, and a terminal that stops reading stops no run."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path
from typing import Any

from tests.tui.terminal import Terminal, ready
from tests.tui.test_home import many_runs
from tests.tui.workers import shown_step, step_of, until
from workbench.runs import Run

MakeRun = Any
IDLE_SECONDS = 10.0


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
    terminal.read_until(lambda output: b"s=0.9" in output and b"running" in output)
    spent = []
    for key in (b"l", b"a") * 10:
        cpu, seen = terminal.cpu_seconds(), len(terminal.output)
        terminal.type(key)
        terminal.read_until(lambda output: len(output) > seen)  # noqa: B023 - called at once
        spent.append(terminal.cpu_seconds() - cpu)
    assert sorted(spent)[17] <= 0.05, "CPU seconds until the answer, the 90th percentile"


def test_a_terminal_that_stops_reading_stops_no_run_and_is_up_to_date_when_it_reads_again(
    worker: Run, tmp_path: Path, open_terminal: Any
) -> None:
    terminal = open_terminal(tmp_path, worker.name)
    terminal.read_until(lambda output: b"s=0.9" in output and b"running" in output)
    _stand_still(terminal, worker)
    now = step_of(worker)
    terminal.read_until(lambda output: shown_step(output) >= now)
    _stand_still(terminal, worker)
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.exit_code() == 128 + signal.SIGTERM
    assert worker.is_alive()


def _stand_still(terminal: Terminal, worker: Run) -> None:
    """Much to draw and nobody who reads it, while the run makes a hundred steps."""
    first = step_of(worker)
    for key in b"?q" * 12:
        terminal.type(bytes([key]))
    until(lambda: step_of(worker) >= first + 100, seconds=60)
