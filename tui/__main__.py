"""`python -m tui [--home DIR] [RUN]` opens the screen; `workbench open` is the same with more words."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tui.opening import open_app, why_not
from workbench.errors import ExitCode, WorkbenchError
from workbench.runs import find_home, open_run
from workbench.safe_text import one_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Open the app and return the status to exit with; 2 and one line where there is no terminal."""
    parser = argparse.ArgumentParser(prog="python -m tui")
    parser.add_argument("run", nargs="?", metavar="RUN")
    parser.add_argument("--home", type=Path)
    options = parser.parse_args(arguments)
    if reason := why_not():
        sys.stderr.write(f"{reason}\n")
        return ExitCode.BAD_INPUT
    home = find_home(options.home)
    try:
        return open_app(home, None if options.run is None else open_run(home, options.run).name)
    except WorkbenchError as error:
        sys.stderr.write(f"{one_line(str(error), 500)}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
