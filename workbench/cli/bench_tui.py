"""`workbench bench tui`: what an open app costs the training that it shows, measured on one live run.

The run trains on and on; the app is opened on it and closed again by turns (closed, open, open, closed, …), in a
pseudo-terminal that is read as fast as it writes. Training speed comes from the run's own events: per second, and per
CPU second of the worker, which other programs on the machine disturb less. At the end of an open window keys are
pressed whose answer draws every chart again, and the time until its first byte is taken.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import pty
import select
import signal
import statistics
import struct
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.cli.output import say
from workbench.errors import WorkbenchError
from workbench.events import EventReader
from workbench.runs import LIVE, Run

SETTLE_SECONDS = 3.0
"""After the app was opened or closed, before a window begins: opening costs once."""
PREPARE_SECONDS = 900.0
OVERRIDES = {
    "pretrain.tokens": "400M", "pretrain.save_every_seconds": "600", "pretrain.batch_tokens": "512",
    "pretrain.context_length": "128",
}  # fmt: skip
"""Quickstart's model, training for longer than anybody measures, in small steps: more of them end in a window."""
FIRST_STEPS = 10
KEYS = (b"l", b"a") * 10
"""Pressed in every open window: each draws all charts again, on another scale or over another range."""
QUIET_SECONDS = 0.1
"""Nothing is written for so long before a key is pressed: what comes then is its answer."""
ANSWER_SECONDS = 10.0
ECHO_LIMIT_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Window:
    """One turn: tokens of training, per second and per CPU second of the worker, and what the app took meanwhile."""

    is_open: bool
    tokens_per_second: float
    tokens_per_cpu_second: float
    app_cpu_share: float = 0.0
    app_bytes_per_second: float = 0.0
    app_resident_bytes: float = 0.0
    echo_seconds: tuple[float, ...] = ()
    """From each key that was pressed to the first byte of its answer."""


def measure_tui(home: Path, *, rounds: int, seconds: float, columns: int, rows: int) -> dict[str, Any]:
    """Train under `home`, measure, stop. Raises WorkbenchError when training does not get going."""
    from workbench.launcher import launch
    from workbench.plan import make_plan
    from workbench.recipe_file import load_recipe

    run = launch(make_plan(load_recipe("quickstart", OVERRIDES), home=home))
    try:
        say("preparing a run to look at (half a minute)…")
        reader = _until_it_trains(run)
        windows = []
        for number in range(2 * rounds):
            is_open = number % 4 in (1, 2)  # closed open open closed: a drift weighs on both
            windows.append(_window(run, reader, is_open, seconds=seconds, size=(columns, rows)))
            say(f"{'open  ' if is_open else 'closed'} {windows[-1].tokens_per_second:,.0f} tok/s")
    finally:
        with contextlib.suppress(Exception):  # it is over, or never began
            run.request("stop")
        _until_over(run)
    return summed_up(windows)


def summed_up(windows: list[Window]) -> dict[str, Any]:
    """The headline: by what share training is slower with the app open, with its standard error."""
    open_ones = [window for window in windows if window.is_open]
    closed, opened, error = _compared(windows, "tokens_per_second")
    echoes = sorted(seconds for window in open_ones for seconds in window.echo_seconds)
    cpu_closed, cpu_opened, cpu_error = _compared(windows, "tokens_per_cpu_second")
    return {
        "slower_by": 1 - opened / closed,
        "stderr": error,
        "limit": 0.01,
        "more_cpu_by": cpu_closed / cpu_opened - 1,
        "more_cpu_stderr": cpu_error,
        "closed_tokens_per_second": closed,
        "open_tokens_per_second": opened,
        "app_cpu_share": statistics.mean(window.app_cpu_share for window in open_ones),
        "app_bytes_per_second": statistics.mean(window.app_bytes_per_second for window in open_ones),
        "app_resident_bytes": max(window.app_resident_bytes for window in open_ones),
        "keys": len(echoes),
        "echo_p50_seconds": percentile(echoes, 0.5),
        "echo_p90_seconds": percentile(echoes, 0.9),
        "echo_limit_seconds": ECHO_LIMIT_SECONDS,
        "rows": [
            {
                "app": "open" if window.is_open else "closed",
                "tokens_per_second": window.tokens_per_second,
                "tokens_per_cpu_second": window.tokens_per_cpu_second,
            }
            for window in windows
        ],
    }


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The value that `share` of them do not exceed; None of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _compared(windows: list[Window], figure: str) -> tuple[float, float, float | None]:
    """Mean while closed, mean while open, and the standard error of their difference as a share of the first."""
    sides = [
        [getattr(window, figure) for window in windows if window.is_open is which] for which in (False, True)
    ]
    means = [statistics.mean(side) for side in sides]
    if min(len(side) for side in sides) < 2:
        return means[0], means[1], None
    error = sum(statistics.variance(side) / len(side) for side in sides) ** 0.5
    return means[0], means[1], error / means[0]


def _until_it_trains(run: Run) -> EventReader:
    reader = EventReader(run.events_path)
    deadline, steps = time.monotonic() + PREPARE_SECONDS, 0
    while steps < FIRST_STEPS:
        for event in reader.read_new():
            steps += event["kind"] == "metric" and event.get("stage") == "pretrain" and "tokens" in event
        if run.state() not in LIVE or time.monotonic() > deadline:
            raise WorkbenchError(
                f"the run to look at is {run.state()}",
                fix=f"`workbench log {run.name} --home {run.home}` tells why",
            )
        time.sleep(0.2)
    return reader


def _until_over(run: Run) -> None:
    deadline = time.monotonic() + 60
    while run.is_alive() and time.monotonic() < deadline:
        time.sleep(0.1)


def _window(run: Run, reader: EventReader, is_open: bool, *, seconds: float, size: tuple[int, int]) -> Window:
    if not is_open:
        time.sleep(SETTLE_SECONDS)
        return Window(False, *_speed(run, reader, seconds))
    with _opened(run, size) as app:
        time.sleep(SETTLE_SECONDS)
        cpu, written, begun = cpu_seconds(app.pid), app.written, time.monotonic()
        speed, per_cpu_second = _speed(run, reader, seconds)
        spent = time.monotonic() - begun
        cpu_share, bytes_per_second = (cpu_seconds(app.pid) - cpu) / spent, (app.written - written) / spent
        return Window(
            True, speed, per_cpu_second, cpu_share, bytes_per_second,
            app_resident_bytes=resident_bytes(app.pid),
            echo_seconds=tuple(echo for key in KEYS if (echo := app.echo(key)) is not None),
        )  # fmt: skip


def _speed(run: Run, reader: EventReader, seconds: float) -> tuple[float, float]:
    """Tokens per second, and per CPU second of the worker, over the steps that end in the next `seconds`."""
    worker = int(run.status().get("pid") or 0)
    reader.read_new()
    begun, cpu = time.monotonic(), cpu_seconds(worker)
    time.sleep(seconds)
    cpu_share = (cpu_seconds(worker) - cpu) / (time.monotonic() - begun)
    steps = [
        (float(event["time"]), float(event["tokens"]))
        for event in reader.read_new()
        if event["kind"] == "metric" and "tokens" in event and event.get("stage") == "pretrain"
    ]
    if len(steps) < 2:
        raise WorkbenchError(
            "fewer than two steps ended in a window", fix="take longer windows: --seconds 60"
        )
    speed = (steps[-1][1] - steps[0][1]) / (steps[-1][0] - steps[0][0])
    return speed, speed / cpu_share if cpu_share else float("nan")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far; not a number where the system has no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> float:
    """The memory that a process holds; not a number where the system has no /proc."""
    try:
        return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return float("nan")


class _App:
    """The app in a pseudo-terminal that a thread reads."""

    def __init__(self, pid: int, terminal: int) -> None:
        self.pid, self.written = pid, 0
        self._terminal = terminal
        self._reads = True
        self._read_at = time.perf_counter()
        self._came = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while self._reads:
            if select.select([self._terminal], [], [], 0.2)[0]:
                try:
                    came = len(os.read(self._terminal, 65536))
                except OSError:
                    return
                with self._came:
                    self.written, self._read_at = self.written + came, time.perf_counter()
                    self._came.notify()

    def echo(self, key: bytes) -> float | None:
        """Seconds from `key` to the first byte of what it draws; None when nothing comes, or never a quiet moment."""
        deadline = time.perf_counter() + ANSWER_SECONDS
        with self._came:
            while (quiet := time.perf_counter() - self._read_at) < QUIET_SECONDS:
                if time.perf_counter() > deadline:
                    return None
                self._came.wait(QUIET_SECONDS - quiet)
            before, pressed_at = self.written, time.perf_counter()
            os.write(self._terminal, key)
            answered = self._came.wait_for(lambda: self.written > before, timeout=ANSWER_SECONDS)
            return self._read_at - pressed_at if answered else None

    def close(self) -> None:
        """End it; the run goes on."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)
        self._reads = False
        self._thread.join()
        os.close(self._terminal)


@contextlib.contextmanager
def _opened(run: Run, size: tuple[int, int]) -> Iterator[_App]:
    pid, terminal = pty.fork()
    if pid == 0:
        command = [sys.executable, "-m", "tui", "--home", str(run.home), run.name]
        os.execve(command[0], command, {**os.environ, "TERM": "xterm-256color"})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    app = _App(pid, terminal)
    try:
        yield app
    finally:
        app.close()
