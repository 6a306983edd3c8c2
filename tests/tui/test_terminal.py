"""The app in a real (pseudo) terminal: how it ends, what bytes it lets through, what input it survives."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tui.terminal import ROOT, ready

MakeRun = Any
LEFT_ALTERNATE_SCREEN = b"\x1b[?1049l"
HOSTILE = (
    "\x1b]52;c;Y2xpcA==\x07 \x1b]0;pwn\x07 \x1b[6;7n \x1b[?1003;9h \x9b31m \x9d0;x\x9c \x0e \x7f \u202e \u2067"
    " \U000e0041 \x1bc \x1bP$q\x1b\\ \x1b_Ga\x1b\\ VISIBLE"
)
NEEDLES = (
    "\x1b]52", "\x1b]0;", "\x1b[6;7n", "\x1b[?1003;9h", "\x1bP$q", "\x1b_Ga", "\x1bc", "\x9b", "\x9d", "\x0e", "\x7f",
)  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_restores_the_terminal(tmp_path: Path, open_terminal: Any, number: signal.Signals) -> None:
    terminal = open_terminal(tmp_path)
    terminal.read_until(ready)
    os.kill(terminal.pid, number)
    assert terminal.exit_code() == 128 + number
    for restored in (LEFT_ALTERNATE_SCREEN, b"\x1b[?1003l", b"\x1b[?25h", b"\x1b[?2004l"):
        assert restored in terminal.output


def test_a_closed_terminal_ends_the_screen(tmp_path: Path, open_terminal: Any) -> None:
    terminal = open_terminal(tmp_path)
    terminal.read_until(ready)
    terminal.hang_up()
    assert terminal.exit_code() in (128 + signal.SIGHUP, -signal.SIGHUP)


def test_a_closed_terminal_ends_it_even_when_hangups_are_ignored(tmp_path: Path, open_terminal: Any) -> None:
    ignoring = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        terminal = open_terminal(tmp_path)
    finally:
        signal.signal(signal.SIGHUP, ignoring)
    terminal.read_until(ready)
    terminal.hang_up()
    assert terminal.exit_code() == 128 + signal.SIGHUP


def test_a_screen_that_was_stopped_from_outside_draws_itself_again(
    tmp_path: Path, open_terminal: Any
) -> None:
    terminal = open_terminal(tmp_path)
    terminal.read_until(ready)
    os.kill(terminal.pid, signal.SIGSTOP)
    os.waitpid(terminal.pid, os.WUNTRACED)
    seen = len(terminal.output)
    os.kill(terminal.pid, signal.SIGCONT)
    terminal.read_until(lambda output: ready(output[seen:]))
    terminal.type(b"q")
    assert terminal.exit_code() == 0


def test_q_leaves_and_bytes_that_are_not_utf8_do_no_harm(tmp_path: Path, open_terminal: Any) -> None:
    terminal = open_terminal(tmp_path)
    terminal.read_until(ready)
    terminal.type(b"\xe9\x1b[M\x20\xff\xfe\x1b[200~caf\xe9 \x1b[201~q")
    assert terminal.exit_code() == 0
    assert b"Traceback" not in terminal.output and LEFT_ALTERNATE_SCREEN in terminal.output


def test_no_control_sequence_of_data_reaches_the_terminal(
    make_run: MakeRun, tmp_path: Path, open_terminal: Any
) -> None:
    run = make_run("harmless", notes=("VISIBLE",), sample="VISIBLE", error="VISIBLE")
    run.log_path.write_text("LOGGED\n")
    base = _bytes_of_a_visit(tmp_path, open_terminal)
    run.path.rename(tmp_path / "elsewhere")
    name = "run\x1b]0;pwn\x07\x9b31m"
    run = make_run(name, notes=(HOSTILE,), sample=HOSTILE, error=HOSTILE)
    run.log_path.write_text(f"{HOSTILE} LOGGED\n")
    shown = _bytes_of_a_visit(tmp_path, open_terminal)
    for needle in NEEDLES:
        assert shown.count(needle.encode()) <= base.count(needle.encode()), needle
    assert b"Traceback" not in shown


def _bytes_of_a_visit(home: Path, open_terminal: Any) -> bytes:
    terminal = open_terminal(home)
    terminal.read_until(ready)
    terminal.read_until(lambda output: b"stopped" in output)
    terminal.type(b"\r")
    terminal.read_until(lambda output: b"VISIBLE" in output)
    terminal.type(b"8")
    terminal.read_until(lambda output: b"LOGGED" in output)
    seen = len(terminal.output)
    terminal.type(b"\x1b")
    terminal.read_until(lambda output: b"s=0.9" in output[seen:])
    terminal.type(b"q")
    assert terminal.exit_code() == 0
    return bytes(terminal.output)


def test_the_terminal_says_how_large_it_is_whatever_the_shell_exports(
    tmp_path: Path, open_terminal: Any
) -> None:
    terminal = open_terminal(tmp_path, size=(100, 30), COLUMNS="40", LINES="12")
    terminal.read_until(ready)
    terminal.read_until(lambda output: b"\x1b[30;1H" in output)  # the key bar stands in the last row
    terminal.type(b"q")
    assert terminal.exit_code() == 0


def test_no_color_has_no_color(tmp_path: Path, open_terminal: Any) -> None:
    terminal = open_terminal(tmp_path, NO_COLOR="1", COLORTERM="truecolor")
    terminal.read_until(ready)
    terminal.type(b"q")
    terminal.exit_code()
    colors = {tuple(m) for m in re.findall(rb"38;2;(\d+);(\d+);(\d+)", terminal.output)}
    assert colors and all(red == green == blue for red, green, blue in colors)


@pytest.mark.parametrize(("term", "palette"), [("xterm", False), ("xterm-256color", True)])
def test_a_terminal_gets_no_more_colours_than_it_promises(
    make_run: MakeRun, tmp_path: Path, open_terminal: Any, term: str, palette: bool
) -> None:
    """And every state is a word and a sign besides."""
    make_run("stopped-one")
    make_run("failed-one", state="failed")
    terminal = open_terminal(tmp_path, TERM=term, COLORTERM="")
    terminal.read_until(lambda output: ready(output) and "✗ failed".encode() in output)
    terminal.read_until(lambda output: "◌ stopped".encode() in output)
    terminal.type(b"q")
    assert terminal.exit_code() == 0
    assert b"8;2;" not in terminal.output, "24-bit colours were never promised"
    assert bool(re.search(rb"[34]8;5;\d", terminal.output)) is palette


@pytest.mark.parametrize(
    ("term", "terminal", "said"), [("dumb", True, "TERM=dumb"), ("xterm", False, "needs a terminal")]
)
def test_where_no_screen_can_be_it_says_so_in_one_line(
    tmp_path: Path, open_terminal: Any, term: str, terminal: bool, said: str
) -> None:
    if terminal:
        opened = open_terminal(tmp_path, TERM=term)
        assert opened.exit_code() == 2
        output = opened.output.decode()
    else:
        done = subprocess.run(
            [sys.executable, "-m", "tui", "--home", str(tmp_path)],
            env={**os.environ, "TERM": term, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 2 and done.stdout == ""
        output = done.stderr
    assert said in output and output.strip().count("\n") == 0 and "\x1b" not in output
