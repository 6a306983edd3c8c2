"""What `bench tui` makes of its windows; the measuring itself takes minutes."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from workbench.cli.bench_tables import print_tui
from workbench.cli.bench_tui import Window, _App, median_interval, percentile, summed_up

CHILD = """
import os, tty
tty.setraw(0)
os.write(1, b"here")
while key := os.read(0, 1):
    os.write(1, key * 3)
"""


def windows(*speeds: float) -> list[Window]:
    """Closed, open, open, closed, …"""
    return [
        Window(number % 4 in (1, 2), speed, speed / 2, 0.02, 5000.0, 50e6, (0.01, 0.03))
        for number, speed in enumerate(speeds)
    ]


def test_the_headline_is_what_most_pairs_say() -> None:
    facts = summed_up(windows(1000, 990, 970, 1000, 1000, 980))
    assert facts["pairs"] == 3 and facts["slower_by"] == pytest.approx(0.02)
    assert facts["more_cpu_by"] == pytest.approx(1 / 0.98 - 1)
    assert facts["slower_interval"] is None, "of three nothing is known"
    assert facts["app_cpu_share"] == pytest.approx(0.02)


def test_a_window_in_which_the_machine_did_something_else_says_nothing() -> None:
    assert summed_up(windows(1000, 990, 990, 1000, 1000, 400))["slower_by"] == pytest.approx(0.01)


def test_a_drift_weighs_on_both_alike() -> None:
    assert summed_up(windows(1000, 1010, 1020, 1030))["slower_by"] == pytest.approx(0.0, abs=2e-4)


@pytest.mark.parametrize(
    ("count", "left_out"), [(5, None), (6, 1), (8, 1), (9, 2), (12, 3), (20, 6), (30, 10)]
)
def test_the_interval_of_a_median_is_that_of_the_tables(count: int, left_out: int | None) -> None:
    """Conover 1999, table A3: the k-th smallest and the k-th largest of n."""
    values = list(map(float, range(1, count + 1)))
    assert median_interval(values) == (left_out and (left_out, count + 1 - left_out))


def test_it_is_told_with_its_interval(capsys: pytest.CaptureFixture[str]) -> None:
    speeds = [1000, 990, 970, 1000, 1000, 980, 980, 1000, 1000, 980, 985, 1000]
    facts: dict[str, Any] = summed_up(windows(*speeds))
    print_tui(facts)
    said = capsys.readouterr().out
    assert (
        "takes the worker 2.0% (1.0% to 3.1% in 95 of 100 cases) more CPU time" in said
        and "slower by 2.0% (1.0% to 3.0% in 95 of 100 cases)" in said
        and "limit 1%" in said
        and "itself takes 2.0% of a core, which comes on top where none is spare; it holds 50 MB of memory"
        in said
        and "within 10 ms (half of 12), 30 ms (nine in ten; limit 50 ms)" in said
    )


def test_percentiles_of_few_and_of_none() -> None:
    assert percentile([1.0], 0.9) == 1.0 and percentile([], 0.5) is None
    assert percentile(list(map(float, range(1, 11))), 0.9) == 9.0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_whatever_ends_it_ends_the_training_too(tmp_path: Path, number: signal.Signals, code: int) -> None:
    # Whoever runs the tests may ignore it, and a child begins with what is ignored here.
    before = signal.signal(number, lambda *_: None)
    try:
        bench = subprocess.Popen(
            [sys.executable, "-m", "workbench", "bench", "tui", "--rounds", "2"],
            env=os.environ | {"TMPDIR": str(tmp_path)},
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(number, before)
    assert bench.stderr is not None
    assert "preparing a run" in bench.stderr.readline()  # its worker holds it
    [lock] = tmp_path.glob("workbench-bench-*/runs/*/.lock")
    while not (holder := lock.read_text()):  # it is held a moment before it says by whom
        time.sleep(0.01)
    worker = int(json.loads(holder)["pid"])
    bench.send_signal(number)
    bench.communicate()
    assert bench.returncode == code
    assert list(tmp_path.glob("workbench-bench-*")) == []
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_a_key_is_timed_from_a_quiet_moment_to_its_first_answer() -> None:
    """A child that answers every key but q, in a pseudo-terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", CHILD])
    app = _App(pid, terminal)
    deadline = time.monotonic() + 60
    while not app.written and time.monotonic() < deadline:
        time.sleep(0.01)
    echo = app.echo(b"x")
    assert echo is not None and 0 < echo < 60 and app.written >= len("here") + 1
    app.close()
