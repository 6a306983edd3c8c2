"""A real (pseudo) terminal with a child in it, driven and read as bytes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
AT_ONCE = 1024
"""Bytes of input that are sent at once: more than a person types, less than a terminal holds."""


class Terminal:
    """A child in its own session with a pseudo-terminal of `size` columns and rows."""

    def __init__(
        self,
        home: Path,
        *arguments: str,
        command: list[str] | None = None,
        size: tuple[int, int] = (100, 30),
        **environment: str,
    ) -> None:
        self.output = b""
        # Not those that pytest-xdist sets: they would be taken for the size of this terminal.
        ours = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self._env = {**ours, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **environment}
        command = command or [sys.executable, "-m", "tui", "--home", str(home), *arguments]
        self.pid, self.fd = pty.fork()
        if self.pid == 0:  # the terminal has its size before anything asks for it
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
            os.execvpe(command[0], command, self._env)

    def read_until(self, true: Callable[[bytes], bool], seconds: float = 60.0) -> bytes:
        """Everything written so far, once `true` of it."""
        deadline = time.monotonic() + seconds
        while not true(self.output):
            assert time.monotonic() < deadline, self.output[-2000:]
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.output += os.read(self.fd, 65536)
                except OSError:
                    break
        return self.output

    def drain(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> int:
        """Read for so long; gives the bytes that came."""
        before, end = len(self.output), time.monotonic() + seconds
        while time.monotonic() < end:
            meanwhile()
            if select.select([self.fd], [], [], 0.05)[0]:
                self.output += os.read(self.fd, 65536)
        return len(self.output) - before

    def cpu_seconds(self) -> float:
        """What the child has spent."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        """Memory of the child."""
        told = Path(f"/proc/{self.pid}/status").read_text().split("VmRSS:")[1]
        return int(told.split()[0]) * 1024

    def type(self, keys: bytes) -> None:
        """Send input, reading meanwhile: a terminal that is full of unread output may take none."""
        while keys:
            readable, writable, _ = select.select([self.fd], [self.fd], [])
            if readable and len(keys) > AT_ONCE:
                self.output += os.read(self.fd, 65536)
            if writable:
                keys = keys[os.write(self.fd, keys[:AT_ONCE]) :]

    def exit_code(self, seconds: float = 30.0) -> int:
        """How the child ended; it must end in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                with contextlib.suppress(OSError):  # its last words may still be in the terminal
                    while self.fd >= 0 and select.select([self.fd], [], [], 0)[0]:
                        if not (said := os.read(self.fd, 65536)):
                            break
                        self.output += said
                return os.waitstatus_to_exitcode(status)
            with contextlib.suppress(OSError):
                if self.fd >= 0 and select.select([self.fd], [], [], 0.05)[0]:
                    self.output += os.read(self.fd, 65536)
        raise AssertionError(f"still alive after {seconds} s")

    def hang_up(self) -> None:
        """Close the terminal, as sshd does when the line is gone."""
        os.close(self.fd)
        self.fd = -1

    def close(self) -> None:
        """Leave nothing behind."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self.fd >= 0:
            os.close(self.fd)


def new_settings() -> list[Any]:
    """How a terminal is set before anybody has changed it, as termios tells."""
    ours, theirs = pty.openpty()
    try:
        return termios.tcgetattr(theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def ready(output: bytes) -> bool:
    return b"quit" in output
