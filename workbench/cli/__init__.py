"""The command line: parse, call the library, print. One file per group of verbs; nothing is computed here.

stdout is the result, stderr the talk, exit codes are `workbench.errors.ExitCode`. With `--json` stdout holds
one JSON document (or JSON lines where the verb streams) and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import traceback

import typer

from workbench.cli import build, measure, screen, steer, talk, watch
from workbench.errors import ExitCode, WorkbenchError

app = typer.Typer(
    name="workbench",
    help="Build a language model from scratch on this machine: raw text in, a model you can talk to out.\n\n"
    "Start here:  workbench run quickstart",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for group in (screen, build, watch, steer, talk, measure):
    group.add_to(app)


def main() -> None:
    """Entry of the `workbench` command: every error a person can meet is one line and an exit code."""
    try:
        app(windows_expand_args=False)
    except WorkbenchError as error:
        _complain(str(error))
        _leave(error.exit_code)
    except KeyboardInterrupt:
        _leave(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our stdout left (`workbench runs | head -1`): a quiet end, nothing is wrong.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(ExitCode.FINE)
    except Exception as error:
        if os.environ.get("WORKBENCH_DEBUG"):
            raise
        _complain(f"a bug in Workbench: {type(error).__name__}: {error}; please report it with {_report()}")
        _leave(ExitCode.OUR_BUG)


def _complain(text: str) -> None:
    from workbench.cli.output import say

    for line in text.splitlines():
        say(line)


def _leave(code: ExitCode) -> None:
    sys.exit(int(code))


def _report() -> str:
    with tempfile.NamedTemporaryFile("w", prefix="workbench-report-", suffix=".txt", delete=False) as file:
        file.write(f"workbench {' '.join(sys.argv[1:])!r}\npython {sys.version}\n\n")
        traceback.print_exc(file=file)
    return file.name
