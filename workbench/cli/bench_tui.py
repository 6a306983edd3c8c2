"""`workbench bench tui`: what an open app costs the training that it shows, measured on one live run.

The run trains on and on; the app is opened on it and closed again by turns (closed, open, open, closed, …), in a
pseudo-terminal that is read as fast as it writes. Neighbouring windows are a pair. Two figures come from the run's own
steps: tokens per second, which whatever else the machine does moves by more than an app ever could, and tokens per CPU
second of the worker, which is what an app takes from a training that has its cores for itself: locks, caches, files.
What the app spends itself is told beside it: where no core is spare, that comes on top. At the end of an open window
keys are pressed whose answer draws every chart again, and the time until its first byte is taken.
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
from workbench.events import Event, EventReader
from workbench.runs import LIVE, Run

SETTLE_SECONDS = 3.0
"""After the app was opened or closed, before a window begins: opening costs once."""
PREPARE_SECONDS = 900.0
OVERRIDES = {
    "pretrain.tokens": "400M", "pretrain.save_every_seconds": "600", "pretrain.batch_tokens": "512",
    "pretrain.context_length": "128", "pretrain.eval_every_steps": "1000000",
    "pretrain.sample_every_steps": "1000000",
}  # fmt: skip
"""Quickstart's model, training for longer than anybody measures, in small steps: more of them end in a window.

It trains and does nothing else: an evaluation in one window of a pair and not in the other is a third of its speed.
"""
FIRST_STEPS = 10
KEYS = (b"l", b"a") * 4
"""Pressed in every open window: each draws all charts again, on another scale or over another range."""
QUIET_SECONDS = 0.1
"""Nothing is written for so long before a key is pressed: what comes then is its answer."""
ANSWER_SECONDS = 10.0
ECHO_LIMIT_SECONDS = 0.05
STEP_SECONDS = 60.0
"""A training of so small steps that takes longer for one is stuck."""
CONFIDENCE = 0.95


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
    """Train under `home`, measure, end it. Raises WorkbenchError when training does not get going."""
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
    finally:  # nothing of it is kept: it is ended where it is
        if run.worker is not None:
            run.worker.kill()
            run.worker.wait()
    return summed_up(windows)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and a hang-up end the block as Ctrl-C does, by an exception: whatever it started is ended on the way.

    Under nohup a hang-up stays ignored. Call in the main thread.
    """

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = {
        number: signal.signal(number, leave)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def summed_up(windows: list[Window]) -> dict[str, Any]:
    """The headline: medians over the pairs, each with the interval that holds the true one in 95 of 100 cases.

    slower_by: share of tokens per second that is lost; more_cpu_by: CPU time of the worker per token that comes on top.
    """
    pairs = [
        (first, second) if second.is_open else (second, first)
        for first, second in zip(windows[::2], windows[1::2], strict=True)
    ]
    opened = [window for window in windows if window.is_open]
    closed = [window for window in windows if not window.is_open]
    slower = sorted(1 - b.tokens_per_second / a.tokens_per_second for a, b in pairs)
    more_cpu = sorted(a.tokens_per_cpu_second / b.tokens_per_cpu_second - 1 for a, b in pairs)
    echoes = sorted(seconds for window in opened for seconds in window.echo_seconds)
    return {
        "pairs": len(pairs),
        "slower_by": statistics.median(slower),
        "slower_interval": median_interval(slower),
        "more_cpu_by": statistics.median(more_cpu),
        "more_cpu_interval": median_interval(more_cpu),
        "limit": 0.01,
        "closed_tokens_per_second": statistics.mean(window.tokens_per_second for window in closed),
        "open_tokens_per_second": statistics.mean(window.tokens_per_second for window in opened),
        "app_cpu_share": statistics.mean(window.app_cpu_share for window in opened),
        "app_bytes_per_second": statistics.mean(window.app_bytes_per_second for window in opened),
        "app_resident_bytes": max(window.app_resident_bytes for window in opened),
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


def median_interval(ordered: Sequence[float]) -> tuple[float, float] | None:
    """Between which of these the true median lies in 95 of 100 cases, whatever they are spread like; None of under 6.

    As many lie below it as heads fall among so many coins (Conover 1999, Practical Nonparametric Statistics, 3.2).
    """
    count = len(ordered)
    left_out, below = 0, 0.0
    while (below := below + math.comb(count, left_out) / 2**count) <= (1 - CONFIDENCE) / 2:
        left_out += 1
    return (ordered[left_out - 1], ordered[count - left_out]) if left_out else None


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The value that `share` of them do not exceed; None of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


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
    """Tokens per second, and per CPU second of the worker, from the end of one step to that of one `seconds` later."""
    worker = int(run.status().get("pid") or 0)
    first, cpu = _next_step(reader), cpu_seconds(worker)
    time.sleep(seconds)
    last, cpu = _next_step(reader), cpu_seconds(worker) - cpu
    tokens = last["tokens"] - first["tokens"]
    return tokens / (last["time"] - first["time"]), tokens / cpu if cpu else float("nan")


def _next_step(reader: EventReader) -> Event:
    """Wait for a step to end. Whatever ended before is passed over."""
    reader.read_new()
    deadline = time.monotonic() + STEP_SECONDS
    while time.monotonic() < deadline:
        for event in reader.read_new():
            if event["kind"] == "metric" and "tokens" in event and event.get("stage") == "pretrain":
                return event
        time.sleep(0.005)
    raise WorkbenchError(
        f"no step ended in {STEP_SECONDS:.0f} s", fix="the machine is too busy to measure this"
    )


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
