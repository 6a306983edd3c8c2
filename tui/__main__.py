"""`python -m tui [--home DIR] [--read-only] [--inline] [RUN]` opens the screen, as `workbench open` does."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tui.opening import open_app, open_inline, why_not
from workbench.errors import ExitCode, WorkbenchError
from workbench.runs import find_home, open_run
from workbench.safe_text import one_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Open the app and return the status to exit with; 2 and one line where there is no terminal."""
    parser = argparse.ArgumentParser(prog="python -m tui")
    parser.add_argument("run", nargs="?", metavar="RUN")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--read-only", action="store_true")
    parser.add_argument("--inline", action="store_true")
    options = parser.parse_args(arguments)
    if reason := why_not():
        sys.stderr.write(f"{reason}\n")
        return ExitCode.BAD_INPUT
    home = find_home(options.home)
    try:
        name = None if options.run is None else open_run(home, options.run).name
        if options.inline and name is not None:
            return open_inline(home, name)
        return open_app(home, name, read_only=options.read_only)
    except WorkbenchError as error:
        sys.stderr.write(f"{one_line(str(error), 500)}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
