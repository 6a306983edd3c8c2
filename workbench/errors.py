"""The errors a user can meet, as a tree, and the exit codes they end with.

WorkbenchError                 1  the work failed
├── BadInput                   2  a file, line, key or option is wrong; says which and what to do
│   ├── RecipeError            2  one or many problems in a recipe, each with its line
│   └── Damaged                2  a file is not what its manifest says
├── NotFound                   3  no run, stage, checkpoint or file of that name
├── Busy                       4  somebody else holds the lock; says who
├── NoSpace                   74  the disk refuses to be written
│   └── DiskFull              74  it is full: the run pauses until there is room
├── TrainingDiverged           1  the numbers went non-finite; says the step
└── Stopped                   75  stopped with everything saved; `resume` goes on

A programmer's mistake is an `assert` or any other exception; the command line turns it into a report
file and exit code 70. This module knows no stage, no file format and no terminal.
"""

from __future__ import annotations

import enum
from pathlib import Path


class ExitCode(enum.IntEnum):
    """What a `workbench` process says when it ends. The numbers are a promise (see README)."""

    FINE = 0
    FAILED = 1
    BAD_INPUT = 2
    NOT_FOUND = 3
    BUSY = 4
    OUR_BUG = 70
    DISK = 74
    RESUME_ME = 75
    INTERRUPTED = 130


class WorkbenchError(Exception):
    """The work failed for a reason a person can understand from one line.

    `str(error)` is that line: `[FILE[:LINE]: ]message[; fix]`.
    """

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(
        self,
        message: str,
        *,
        file: str | Path | None = None,
        line: int | None = None,
        fix: str | None = None,
    ) -> None:
        self.message = message
        self.file = None if file is None else str(file)
        self.line = line
        self.fix = fix
        super().__init__(self.one_line())

    def one_line(self) -> str:
        """`FILE:LINE: what is wrong; what to do`, as far as each is known."""
        place = ""
        if self.file is not None:
            place = f"{self.file}:{self.line}: " if self.line is not None else f"{self.file}: "
        text = f"{place}{self.message}"
        return f"{text}; {self.fix}" if self.fix else text


class BadInput(WorkbenchError):
    """A file, line, key or option is wrong."""

    exit_code = ExitCode.BAD_INPUT


class RecipeError(BadInput):
    """A recipe with one or many problems; `problems` holds them all, `str()` joins them by newlines."""

    def __init__(self, problems: list[BadInput]) -> None:
        assert problems, "a RecipeError needs at least one problem"
        self.problems = problems
        first = problems[0]
        super().__init__(first.message, file=first.file, line=first.line, fix=first.fix)
        self.args = ("\n".join(problem.one_line() for problem in problems),)


class Damaged(BadInput):
    """A file on disk is not what its manifest says it is."""


class NotFound(WorkbenchError):
    """There is no run, stage, checkpoint or file of that name."""

    exit_code = ExitCode.NOT_FOUND


class Busy(WorkbenchError):
    """Another living process holds the lock."""

    exit_code = ExitCode.BUSY


class NoSpace(WorkbenchError):
    """The disk is read-only, broken or refuses to be written; nothing published was harmed."""

    exit_code = ExitCode.DISK


class DiskFull(NoSpace):
    """There is no room now; waiting for some helps. `needed` says how many bytes, when that is known."""

    def __init__(
        self,
        message: str,
        *,
        file: str | Path | None = None,
        line: int | None = None,
        fix: str | None = None,
        needed: int | None = None,
    ) -> None:
        self.needed = needed
        super().__init__(message, file=file, line=line, fix=fix)


class TrainingDiverged(WorkbenchError):
    """Loss or gradient became NaN or infinite and skipping batches did not help."""


class Stopped(WorkbenchError):
    """The work stopped on request, with everything saved if so it was asked; `workbench resume` goes on."""

    exit_code = ExitCode.RESUME_ME


def in_one_line(error: Exception) -> str:
    """What went wrong, for a person: our own errors as they are, the machine's as `FILE: permission denied`."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror[:1].lower()}{error.strerror[1:]}"
    return str(error)
