"""Text to the clipboard of the person's own terminal, over any number of ssh hops.

OSC 52 asks the terminal; tmux drops it by default (`set-clipboard external`), but takes text into its own buffer and
passes it on; where neither can be, the text lies in a file whose path is shown. A terminal never tells whether it
obeyed, so that what was copied is always shown as well.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from textual.app import App

from workbench.errors import WorkbenchError
from workbench.files import write_atomic
from workbench.safe_text import one_line, safe_text

LARGEST_OSC_52 = 74_000
"""Bytes that every terminal with OSC 52 takes: xterm's limit is 100,000 in base64."""
NO_OSC_52 = ("linux", "vt100", "vt102", "vt220", "ansi", "screen", "dumb", "unknown")
"""Values of $TERM without a clipboard; `screen` drops the sequence."""
TMUX_SECONDS = 2.0

Way = Literal["tmux", "osc52", "file"]


def copy(app: App[Any], text: str) -> None:
    """Copy `text`, cleaned of what a terminal would obey where it is pasted, and say so."""
    clean = safe_text(text).strip("\n")
    way = way_to_copy(os.environ, size=len(clean.encode()))
    if way == "tmux":
        app.run_worker(partial(_into_tmux, app, clean), thread=True, group="copy", exit_on_error=False)
    elif way == "osc52":
        app.copy_to_clipboard(clean)
        _say(app, f"copied: {clean}")
    else:
        _into_file(app, clean)


def way_to_copy(environment: Mapping[str, str], *, size: int) -> Way:
    """How a text of `size` bytes gets out of here; $WORKBENCH_CLIPBOARD (osc52, tmux, file) knows better."""
    wish = environment.get("WORKBENCH_CLIPBOARD", "")
    if wish == "tmux" or (not wish and environment.get("TMUX")):
        return "tmux"
    if wish == "osc52":
        return "osc52"
    term = environment.get("TERM", "").partition("-")[0]
    return "file" if wish == "file" or term in NO_OSC_52 or size > LARGEST_OSC_52 else "osc52"


def _into_tmux(app: App[Any], text: str) -> None:
    """Into tmux's buffer; `-w` hands it on to the terminal outside. Runs in a thread."""
    command = ["tmux", "load-buffer", "-w", "-"]
    try:
        subprocess.run(command, input=text.encode(), timeout=TMUX_SECONDS, check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError):  # tmux before 3.2, or a $TMUX that is gone
        app.call_from_thread(_into_file, app, text)
    else:
        app.call_from_thread(_say, app, f"copied (tmux): {text}")


def copied_file(environment: Mapping[str, str]) -> Path:
    """Where text lies that no clipboard takes."""
    folder = environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(folder) / "workbench" / "copied.txt"


def _into_file(app: App[Any], text: str) -> None:
    path = copied_file(os.environ)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text + "\n", durable=False)
    except (OSError, WorkbenchError) as error:
        app.notify(one_line(f"cannot be copied: {error}", 300), severity="error", markup=False)
    else:
        _say(app, f"no clipboard here; it lies in {path}: {text}")


def _say(app: App[Any], text: str) -> None:
    app.notify(one_line(text, 300), markup=False, timeout=5)
