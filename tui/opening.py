"""How the screen is opened, and where it cannot be. Imports Textual last: it reads its settings on import."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from tui.leaving import signals_end_it


def why_not() -> str:
    """Why the screen cannot open in this process, in one line; empty when it can."""
    term = os.environ.get("TERM", "")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return "the screen needs a terminal; `workbench runs` and `workbench follow RUN` work in a pipe"
    if term in ("dumb", "unknown"):
        return f"TERM={term} cannot show the screen; use `workbench follow RUN`, or set TERM to what your terminal is"
    return ""


def open_app(home: Path, run: str | None = None, *, read_only: bool = False) -> int:
    """Show the app, on the run of that name if one is given, until the person leaves. Returns the exit status."""
    _believe_the_terminal()
    gc.disable()  # to look through all that imports make, for garbage that is not there, is a tenth of opening
    # Over a slow line every frame costs; nothing here needs to glide.
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    os.environ.setdefault("TEXTUAL_FPS", "30")  # 15 make an answer to a key wait for up to 67 ms
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    # So many milliseconds an esc is held back, for it may begin the code of another key. A terminal writes such a
    # code at once; Textual's 100 are felt when a reply is stopped.
    os.environ.setdefault("ESCDELAY", "25")
    from tui.streams import terminal_kept

    with signals_end_it(), terminal_kept():
        from tui.app import WorkbenchApp
        from tui.compat import TerminalDriver

        gc.freeze()  # it lives as long as we do
        gc.enable()
        app = WorkbenchApp(home, run, driver=TerminalDriver, read_only=read_only)
        app.run()
    return app.return_code or 0


def open_inline(home: Path, run: str) -> int:
    """Show that run in four lines until it is over or the person leaves. Returns the exit status."""
    _believe_the_terminal()
    with signals_end_it():
        from tui.inline import watch_inline
        from workbench.runs import open_run

        return watch_inline(open_run(home, run))


def _believe_the_terminal() -> None:
    """Let the terminal say how large it is: an exported COLUMNS is the size of another moment, or of another window."""
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
