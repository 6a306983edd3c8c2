"""`python -m tui [--home DIR] [RUN]` opens the screen; `workbench open` starts it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from workbench.errors import ExitCode, WorkbenchError
from workbench.runs import find_home, open_run
from workbench.safe_text import one_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Open the app and return the status to exit with; 2 and one line where there is no terminal."""
    parser = argparse.ArgumentParser(prog="workbench open")
    parser.add_argument("run", nargs="?", metavar="RUN")
    parser.add_argument("--home", type=Path)
    options = parser.parse_args(arguments)
    if reason := why_not(os.environ.get("TERM", ""), is_terminal=sys.stdin.isatty() and sys.stdout.isatty()):
        sys.stderr.write(f"{reason}\n")
        return ExitCode.BAD_INPUT
    home = find_home(options.home)
    name = None
    try:
        if options.run is not None:
            name = open_run(home, options.run).name
    except WorkbenchError as error:
        sys.stderr.write(f"{one_line(str(error), 500)}\n")
        return error.exit_code
    return _open(home, name)


def why_not(term: str, *, is_terminal: bool) -> str:
    """Why the screen cannot open here, in one line; empty when it can."""
    if not is_terminal:
        return "the screen needs a terminal; `workbench runs` and `workbench follow RUN` work in a pipe"
    if term in ("dumb", "unknown"):
        return (
            f"TERM={term} cannot show the screen; use `workbench follow RUN` or set TERM as your terminal is"
        )
    return ""


def _open(home: Path, name: str | None) -> int:
    # Over a slow line every frame costs; nothing here needs to glide.
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    os.environ.setdefault("TEXTUAL_FPS", "15")
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    from tui.app import WorkbenchApp
    from tui.compat import TerminalDriver, leave_on_signals

    class _App(WorkbenchApp):
        def on_load(self) -> None:
            leave_on_signals(self)

    app = _App(home, name, driver=TerminalDriver)
    app.run()
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main())
