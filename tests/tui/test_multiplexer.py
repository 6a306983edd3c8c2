"""The app inside tmux: suspended and taken up again, drawn over and repainted, and its clipboard."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tui.multiplexer import Tmux

pytestmark = pytest.mark.skipif(
    not (shutil.which("tmux") and shutil.which("bash")), reason="tmux or bash is not installed"
)
FIRST_WORDS = "There are no runs here yet"


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    """With the app not yet opened."""
    tmux = Tmux(tmp_path)
    yield tmux
    tmux.close()


def test_ctrl_z_gives_the_shell_and_fg_the_screen(tmux: Tmux) -> None:
    tmux.open_app()
    tmux.until(lambda shown: FIRST_WORDS in shown)
    tmux.type("C-z")
    tmux.until(lambda shown: "Stopped" in shown and FIRST_WORDS not in shown)
    tmux.type("echo in the sh''ell", "Enter")
    tmux.until(lambda shown: "in the shell" in shown)
    tmux.type("fg", "Enter")
    tmux.until(lambda shown: FIRST_WORDS in shown and "quit" in shown and "Stopped" not in shown)
    tmux.type("?")
    tmux.until(lambda shown: "Keys" in shown)
    tmux.type("q", "q")
    tmux.until(lambda shown: "in the shell" in shown)
    tmux.type("echo sta''tus $?", "Enter")
    tmux.until(lambda shown: "status 0" in shown)


def test_ctrl_l_draws_over_what_another_program_wrote(tmux: Tmux) -> None:
    tmux.open_app()
    tmux.until(lambda shown: FIRST_WORDS in shown)
    window = os.open(tmux.tell("display-message", "-p", "#{pane_tty}").strip(), os.O_WRONLY | os.O_NOCTTY)

    def written_over(shown: str) -> bool:
        """Again and again: the app may not have drawn all of its first picture yet."""
        if shown.count("WRITTEN OVER") < 2:
            os.write(window, b"\x1b[5;5HWRITTEN OVER\x1b[20;5HWRITTEN OVER")
        return shown.count("WRITTEN OVER") == 2

    tmux.until(written_over)
    os.close(window)
    tmux.type("C-l")
    tmux.until(lambda shown: "WRITTEN OVER" not in shown and FIRST_WORDS in shown and "quit" in shown)


@pytest.mark.parametrize("setting", ["on", "external", "off"])
def test_what_is_copied_comes_into_the_buffer_and_to_the_terminal_outside(
    tmux: Tmux, tmp_path: Path, open_terminal: Any, setting: str
) -> None:
    tmux.tell("set-option", "-g", "set-clipboard", setting)
    outside = open_terminal(tmp_path, command=tmux.command("attach-session"), TMUX="")
    tmux.open_app()
    outside.read_until(lambda output: FIRST_WORDS.encode() in output)
    tmux.type("y")
    command = f"workbench runs --home {tmp_path}"
    outside.read_until(lambda output: b"\x1b]52;;" + base64.b64encode(command.encode()) in output)
    tmux.until(lambda shown: "copied (tmux)" in shown)
    assert tmux.tell("show-buffer") == command
