"""A run in four lines, and in plain lines where there is no screen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tui.terminal import ROOT, new_settings
from tests.tui.test_terminal import HOSTILE, LEFT_ALTERNATE_SCREEN, NEEDLES
from tui.feed import RunFeed
from tui.inline import picture
from workbench.files import lock_file
from workbench.runs import Run

MakeRun = Any


@pytest.mark.parametrize("width", [20, 80, 200])
def test_four_lines_and_none_wider_than_the_terminal(make_run: MakeRun, width: int) -> None:
    run = make_run("quick\x1b]0;x\x07[b]", state="failed", notes=(HOSTILE,), error=HOSTILE)
    lines = picture(RunFeed(run).look(), now=1.7e9, width=width)
    assert len(lines) == 4 and all(line.cell_len <= width for line in lines)
    said = "\n".join(line.plain for line in lines)
    assert not [needle for needle in NEEDLES if needle in said] and "[b]" in said
    if width == 200:
        for told in ("✗ failed", "✓ corpus", "step 400", "held-out", "8.19k tok/s"):
            assert told in said


def test_it_stays_in_the_scrollback_and_q_leaves_the_run_alone(
    make_run: MakeRun, tmp_path: Path, open_terminal: Any
) -> None:
    run: Run = make_run(state="running", now=time.time(), notes=(HOSTILE,))
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        terminal = open_terminal(tmp_path, "--inline", run.name)
        terminal.read_until(lambda output: b"held-out" in output)
        terminal.type(b"xq")
        assert terminal.exit_code() == 0
    assert LEFT_ALTERNATE_SCREEN not in terminal.output and b"?1000h" not in terminal.output
    assert not [needle for needle in NEEDLES if needle.encode() in terminal.output]
    assert list((run.path / "control").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it_and_gives_the_terminal_back(
    make_run: MakeRun, tmp_path: Path, open_terminal: Any, number: signal.Signals
) -> None:
    run: Run = make_run(state="running", now=time.time())
    with lock_file(run.lock_path) or pytest.fail("the lock was not free"):
        terminal = open_terminal(tmp_path, "--inline", run.name)
        terminal.read_until(lambda output: b"held-out" in output)
        os.kill(terminal.pid, number)
        assert terminal.exit_code() == 128 + number
        assert termios.tcgetattr(terminal.fd) == new_settings()
    assert terminal.output.rstrip().endswith(b"\x1b[?25h")


def test_a_run_that_is_over_is_shown_once(make_run: MakeRun, tmp_path: Path, open_terminal: Any) -> None:
    make_run(state="finished")
    terminal = open_terminal(tmp_path, "--inline", "quickstart")
    assert terminal.exit_code() == 0 and "✓ finished".encode() in terminal.output


@pytest.mark.parametrize(("arguments", "term"), [(["--plain"], "xterm"), ([], "dumb")])
def test_without_a_screen_a_run_is_followed_in_plain_lines(
    make_run: MakeRun, tmp_path: Path, arguments: list[str], term: str
) -> None:
    make_run(state="finished", notes=(HOSTILE,))
    done = _workbench(tmp_path, "open", "quickstart", *arguments, TERM=term)
    assert done.returncode == 0 and "pretrain: saved step 400" in done.stdout and "\x1b" not in done.stdout


def test_four_lines_of_no_run_are_explained(tmp_path: Path) -> None:
    done = _workbench(tmp_path, "open", "--inline")
    assert done.returncode == 2 and "name it" in done.stderr and done.stderr.count("\n") == 1


def _workbench(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workbench", *arguments, "--home", str(home)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
