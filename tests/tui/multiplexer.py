"""tmux with a shell in it, driven and read as a person would."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.tui.terminal import ROOT


class Tmux:
    """A tmux server of its own with one window, and bash in it. Nothing of the person's own tmux or shell is read."""

    def __init__(self, home: Path, *, size: tuple[int, int] = (100, 30)) -> None:
        self._folder = tempfile.mkdtemp(prefix="wb-")  # the name of a socket must be short
        self._environment = {
            name: value for name, value in os.environ.items() if name not in ("TMUX", "TMUX_PANE", "PS1")
        } | {"PYTHONPATH": str(ROOT), "HOME": self._folder, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        self._home = home
        width, height = map(str, size)
        self.tell("new-session", "-d", "-x", width, "-y", height, "bash --norc --noprofile")

    def command(self, *arguments: str) -> list[str]:
        """A tmux command line for this server."""
        return ["tmux", "-S", f"{self._folder}/socket", "-f", "/dev/null", *arguments]

    def tell(self, *arguments: str) -> str:
        """Run a tmux command; gives what it printed."""
        done = subprocess.run(
            self.command(*arguments), env=self._environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    def open_app(self, *arguments: str) -> None:
        """Start the app from the shell."""
        command = [sys.executable, "-m", "tui", "--home", str(self._home), *arguments]
        self.type(shlex.join(command), "Enter")

    def type(self, *keys: str) -> None:
        """Send keys by tmux's names of them."""
        self.tell("send-keys", *keys)

    def shown(self) -> str:
        """What stands in the window."""
        return self.tell("capture-pane", "-p")

    def until(self, true: Callable[[str], bool]) -> str:
        """What stands in the window, once `true` of it."""
        deadline = time.monotonic() + 60
        while not true(shown := self.shown()):
            assert time.monotonic() < deadline, shown
            time.sleep(0.05)
        return shown

    def close(self) -> None:
        """Leave nothing behind."""
        subprocess.run(self.command("kill-server"), env=self._environment, capture_output=True, check=False)
        shutil.rmtree(self._folder, ignore_errors=True)
