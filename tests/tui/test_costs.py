"""What the live screen costs, through a raw pty: bytes on the line, CPU seconds and memory of its process.

Bytes and CPU time, not wall time: they hold on a crowded machine. Limits are those of the design with a margin for
what a loaded machine adds to CPU time; recipes/LOG.md has what was measured.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tui.conftest import alone
from workbench.files import lock_file, write_atomic
from workbench.runs import Run

pytestmark = alone

ROOT = Path(__file__).parent.parent.parent
MakeRun = Any
FIRST_PAINT_CPU_SECONDS = 1.0
LIVE_BYTES_PER_SECOND = 8000
LIVE_CPU_SHARE = 0.06
START_MEMORY_BYTES = 90e6


class Screen:
    """The app on a run, in a pseudo-terminal of 140x40."""

    def __init__(self, home: Path, run: str) -> None:
        ready, go = os.pipe()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.read(ready, 1)  # not before the terminal has its size
            environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
            environment.pop("COLORTERM", None)  # ssh does not forward it
            command = [sys.executable, "-m", "tui", "--home", str(home), run]
            os.execve(sys.executable, command, environment)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
        os.write(go, b"x")
        os.close(ready)
        os.close(go)
        self.output = b""

    def read(
        self, seconds: float, *, until: bytes | None = None, meanwhile: Callable[[], None] = lambda: None
    ) -> int:
        """Drain the terminal; gives the bytes that came."""
        before, end = len(self.output), time.monotonic() + seconds
        while time.monotonic() < end and not (until is not None and until in self.output):
            meanwhile()
            if select.select([self.fd], [], [], 0.05)[0]:
                self.output += os.read(self.fd, 65536)
        assert until is None or until in self.output, self.output[-2000:]
        return len(self.output) - before

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        told = Path(f"/proc/{self.pid}/status").read_text().split("VmRSS:")[1]
        return int(told.split()[0]) * 1024


@pytest.fixture
def open_screen(tmp_path: Path) -> Iterator[Callable[[str], Screen]]:
    opened: list[Screen] = []

    def start(run: str) -> Screen:
        opened.append(Screen(tmp_path, run))
        return opened[-1]

    yield start
    for screen in opened:
        with contextlib.suppress(ProcessLookupError):
            os.kill(screen.pid, signal.SIGKILL)
        os.waitpid(screen.pid, 0)
        os.close(screen.fd)


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
    make_run: MakeRun, open_screen: Callable[[str], Screen]
) -> None:
    run: Run = make_run(steps=100)
    lengthen(run, first=101, steps=60_000)
    screen = open_screen(run.name)
    screen.read(30, until=b"gradient")
    assert screen.cpu_seconds() <= FIRST_PAINT_CPU_SECONDS
    screen.read(30, until=b"60,100")
    screen.read(1.5)
    assert screen.read(3) == 0
    assert screen.resident_bytes() <= START_MEMORY_BYTES


def test_a_live_run_with_four_charts_costs_little(
    make_run: MakeRun, open_screen: Callable[[str], Screen]
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
        screen = open_screen(run.name)
        screen.read(30, until=b"learning", meanwhile=work)
        screen.read(2, meanwhile=work)
        cpu = screen.cpu_seconds()
        sent = screen.read(6, meanwhile=work)
        assert 0 < sent / 6 <= LIVE_BYTES_PER_SECOND
        assert (screen.cpu_seconds() - cpu) / 6 <= LIVE_CPU_SHARE
