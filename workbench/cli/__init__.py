"""The command line: parse, call the library, print. One file per group of verbs; nothing is computed here.

stdout is the result, stderr the talk, exit codes are `workbench.errors.ExitCode`. With `--json` stdout holds
one JSON document (or JSON lines where the verb streams) and nothing else.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

import typer
from typer.exceptions import TyperException

from workbench.cli import bench, build, clean, doctor, measure, screen, steer, talk, watch
from workbench.cli.output import say
from workbench.errors import ExitCode, WorkbenchError, in_one_line
from workbench.safe_text import one_line

app = typer.Typer(
    name="workbench",
    help="Build a language model from scratch on this machine: raw text in, a model you can talk to out.\n\n"
    "Start here:  workbench run quickstart",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for group in (screen, build, watch, steer, talk, measure, bench, doctor, clean):
    group.add_to(app)


def main() -> None:
    """Entry of the `workbench` command: every error a person can meet is one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a character gets its number
            stream.reconfigure(errors="backslashreplace")
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our stdout left (`workbench runs | head -1`): a quiet end, nothing is wrong.
        code = int(ExitCode.FINE)
        _forget_stdout()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say; the exit code. Every error is told on stderr, in one line where one will do."""
    try:
        _invoke(arguments)
    except typer.Exit as leaving:
        return leaving.exit_code
    except WorkbenchError as error:
        return _complain(str(error), error.exit_code)
    except TyperException as error:
        context = getattr(error, "ctx", None)
        verb = context.command_path if context is not None else "workbench"
        # The words before it are of the library that checks the values: they tell a person nothing.
        message = error.format_message().rstrip(". ").replace(": Value error, ", ": ")
        return _complain(f"{message}; see `{verb} --help`", ExitCode.BAD_INPUT)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        raise
    except OSError as error:
        # The machine's fault, not a bug: an unreadable file, a disk that fails, a terminal that is gone.
        if os.environ.get("WORKBENCH_DEBUG"):
            raise
        return _complain(in_one_line(error), ExitCode.FAILED)
    except Exception as error:
        if os.environ.get("WORKBENCH_DEBUG"):
            raise
        what = one_line(f"{type(error).__name__}: {error}", 300)
        return _complain(f"a bug in Workbench: {what}; please report it with {_report()}", ExitCode.OUR_BUG)
    return int(ExitCode.FINE)


def _invoke(arguments: Sequence[str]) -> None:
    # Not `app()`: that turns Ctrl-C and a closed pipe into exit code 1 before we see them.
    command = typer.main.get_command(app)
    with command.make_context("workbench", list(arguments)) as context:
        command.invoke(context)


def _complain(text: str, code: ExitCode) -> int:
    with contextlib.suppress(OSError):  # the terminal may be what is gone
        for line in text.splitlines():
            say(line)
    return int(code)


def _forget_stdout() -> None:
    """Let nothing that is still buffered complain when the process ends."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report() -> str:
    """Write what is needed to understand a bug to a file of the owner's own; its path."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="workbench-report-", suffix=".txt", delete=False, encoding="utf-8", errors="replace"
    ) as file:
        file.write(f"workbench {sys.argv[1:]!r}\npython {sys.version}\n\n")
        traceback.print_exc(file=file)
    return file.name
