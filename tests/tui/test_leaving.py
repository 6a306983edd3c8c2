"""A signal at every moment of the app's life: it ends, says so by its status, and the terminal is as it was."""

from __future__ import annotations

import os
import signal
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tui.terminal import ROOT, new_settings, ready

APP = ROOT / "tests" / "fixtures" / "signalled_app.py"
TERMINATED = 128 + signal.SIGTERM
BEFORE = ("import tui.app", "import textual", "make", "made", "load")
WHILE = ("loaded", "take", "taken", "ready", "give back", "given back", "stop writing", "stopped writing")
AFTER = ("closed", "opened", "exit", "last words")


def modes(output: bytes) -> dict[bytes, bytes]:
    """What every private mode of the terminal was set to last: h for on, l for off."""
    found: dict[bytes, bytes] = {}
    for part in output.split(b"\x1b[?")[1:]:
        number = part[: len(part) - len(part.lstrip(b"0123456789"))]
        if part[len(number) : len(number) + 1] in (b"h", b"l"):
            found[number] = part[len(number) : len(number) + 1]
    return found


def is_as_it_was(output: bytes) -> bool:
    """No alternate screen, mouse, paste or focus codes; the cursor is seen and lines are broken."""
    last = modes(output)
    on = {number for number, state in last.items() if state == b"h"}
    return on <= {b"25", b"7"} and all(last.get(number, b"h") == b"h" for number in (b"25", b"7"))


@pytest.mark.parametrize("moment", [*BEFORE, *WHILE, *AFTER])
def test_a_signal_at_any_moment_leaves_the_terminal_as_it_was(
    tmp_path: Path, open_terminal: Any, moment: str
) -> None:
    terminal = open_terminal(tmp_path, command=[sys.executable, str(APP), moment, str(tmp_path)])
    status = terminal.exit_code(300.0)
    # By force, on a machine so crowded that what is left of its life takes four seconds.
    assert status in ((0, TERMINATED) if moment in AFTER else (TERMINATED,)), terminal.output[-2000:]
    assert termios.tcgetattr(terminal.fd) == new_settings()
    assert is_as_it_was(terminal.output) and b"Traceback" not in terminal.output, terminal.output[-2000:]
    assert (b"\x1b[?1049h" in terminal.output) is (moment not in BEFORE)


def test_a_terminal_that_nobody_reads_is_given_back_by_force(tmp_path: Path, open_terminal: Any) -> None:
    terminal = open_terminal(tmp_path)
    terminal.read_until(ready)
    assert termios.tcgetattr(terminal.fd) != new_settings()
    fill(terminal.pid)
    os.kill(terminal.pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1]) == TERMINATED
    terminal.pid = 0
    assert termios.tcgetattr(terminal.fd) == new_settings()
    terminal.read_until(lambda _: False)
    assert is_as_it_was(terminal.output), terminal.output[-2000:]


def fill(pid: int) -> None:
    """Write to the terminal of a process until it takes nothing more, not even while nobody else writes to it."""
    screen = os.open(os.readlink(f"/proc/{pid}/fd/0"), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    refused = 0
    while refused < 20:
        try:
            os.write(screen, b"." * (4096 if refused == 0 else 1))
            refused = 0
        except BlockingIOError:
            refused += 1
            time.sleep(0.01)
    os.close(screen)
