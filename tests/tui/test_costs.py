"""What the live screen costs, through a raw pty: bytes on the line, CPU seconds and memory of its process.

Bytes and CPU time, not wall time: they hold on a crowded machine. Limits are those of the design with a margin for
what a loaded machine adds to CPU time; recipes/LOG.md has what was measured.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from workbench.files import lock_file, write_atomic
from workbench.runs import Run

MakeRun = Any
FIRST_PAINT_CPU_SECONDS = 1.5
LIVE_BYTES_PER_SECOND = 2000
LIVE_CPU_SHARE = 0.1
START_MEMORY_BYTES = 120e6
LONG_REPLY_BYTES = 25_000
CHILD = Path(__file__).parent.parent / "fixtures" / "fake_chat_child.py"


def lengthen(run: Run, *, first: int, steps: int) -> None:
    """Append so many steps in one go."""
    line = (
        '{"time":1.7e9,"kind":"metric","stage":"pretrain","step":%d,"loss":%.3f,"learning_rate":0.006,"grad_norm":0.4,'
        '"tokens":%d,"tokens_per_second":8192.0,"mfu":0.4,"seconds":%.1f,"data_wait_share":0.01}\n'
    )
    with run.events_path.open("a") as file:
        for step in range(first, first + steps):
            file.write(line % (step, 2 + (step * 7919 % 100) / 1000, step * 2048, step / 4))


def test_a_long_history_is_painted_at_once_and_stands_still(
    make_run: MakeRun, tmp_path: Path, open_terminal: Any
) -> None:
    run: Run = make_run(steps=100)
    lengthen(run, first=101, steps=60_000)
    screen = open_terminal(tmp_path, run.name, size=(140, 40))
    screen.read_until(lambda output: b"gradient" in output)
    assert screen.cpu_seconds() <= FIRST_PAINT_CPU_SECONDS
    screen.read_until(lambda output: b"60,100" in output)
    screen.drain(1.5)
    assert screen.drain(3) == 0
    assert screen.resident_bytes() <= START_MEMORY_BYTES


def test_home_stands_still_with_a_long_run_under_the_cursor(
    make_run: MakeRun, tmp_path: Path, open_terminal: Any
) -> None:
    run: Run = make_run(state="finished", steps=100)
    lengthen(run, first=101, steps=60_000)
    screen = open_terminal(tmp_path, size=(140, 45))
    # A quick machine reads it all at a glance, a slow one leaves it until the run is opened.
    screen.read_until(lambda output: b"pretrain loss" in output or b"enter reads it" in output)
    assert screen.cpu_seconds() <= FIRST_PAINT_CPU_SECONDS
    screen.drain(1.5)
    assert screen.drain(3) == 0
    assert screen.resident_bytes() <= START_MEMORY_BYTES


def test_a_live_run_with_four_charts_costs_little(
    make_run: MakeRun, tmp_path: Path, open_terminal: Any
) -> None:
    run: Run = make_run(state="running", steps=5000, total_steps=20_000, now=time.time())
    status = run.status()
    step, told_at = 5000, 0.0

    def work() -> None:
        nonlocal step, told_at
        if time.monotonic() - told_at >= 0.25:
            step, told_at = step + 1, time.monotonic()
            lengthen(run, first=step, steps=1)
            status.update(heartbeat=time.time(), step=step)
            write_atomic(run.path / "status.json", json.dumps(status), durable=False)

    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        screen = open_terminal(tmp_path, run.name, size=(140, 40))
        while b"learning" not in screen.output:
            screen.drain(0.5, work)
        screen.drain(2, work)
        cpu = screen.cpu_seconds()
        sent = screen.drain(6, work)
        assert 0 < sent / 6 <= LIVE_BYTES_PER_SECOND
        assert (screen.cpu_seconds() - cpu) / 6 <= LIVE_CPU_SHARE


def test_a_fast_reply_sends_the_rows_that_grow_and_not_the_page(tmp_path: Path, open_terminal: Any) -> None:
    """80 tokens of a row each, so that no pace makes more than 80 flushes of them; the page sent with each: 100 kB."""
    command = [sys.executable, "-m", "tests.fixtures.hostile_chat", str(tmp_path), str(CHILD)]
    screen = open_terminal(tmp_path, command=command)
    screen.read_until(lambda output: b"context 256" in output)
    before = len(screen.output)
    screen.type(b"long\r")
    screen.read_until(lambda output: b"4 tokens" in output)
    assert (
        b"79" in screen.output[before:]
    )  # the number of its last row; words that stood there are not sent again
    assert len(screen.output) - before <= LONG_REPLY_BYTES
