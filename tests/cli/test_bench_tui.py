"""What `bench tui` makes of its windows; the measuring itself takes minutes."""

from __future__ import annotations

import os
import pty
import sys
import time
from typing import Any

import pytest

from workbench.cli.bench_tables import print_tui
from workbench.cli.bench_tui import Window, _App, percentile, summed_up

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


def test_the_headline_is_the_share_that_is_lost() -> None:
    facts = summed_up(windows(1000, 990, 970, 1000))
    assert facts["slower_by"] == pytest.approx(0.02) and facts["stderr"] == pytest.approx(0.01)
    assert facts["more_cpu_by"] == pytest.approx(1 / 0.98 - 1) and facts["more_cpu_stderr"] == pytest.approx(
        0.01
    )
    assert facts["app_cpu_share"] == pytest.approx(0.02)


def test_a_drift_weighs_on_both_alike() -> None:
    assert summed_up(windows(1000, 1010, 1020, 1030))["slower_by"] == pytest.approx(0.0)


def test_it_is_told_with_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    facts: dict[str, Any] = summed_up(windows(1000, 990, 970, 1000))
    print_tui(facts)
    said = capsys.readouterr().out
    assert (
        "slower by 2.0% ± 1.0%" in said
        and "2.0% ± 1.0% more CPU time" in said
        and "limit 1%" in said
        and "2.0% of a core and 50 MB of memory" in said
        and "within 10 ms (half of 4), 30 ms (nine in ten; limit 50 ms)" in said
    )


def test_percentiles_of_few_and_of_none() -> None:
    assert percentile([1.0], 0.9) == 1.0 and percentile([], 0.5) is None
    assert percentile(list(map(float, range(1, 11))), 0.9) == 9.0


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
