"""The terminal for the screen alone: whatever else is written to stdout and stderr meanwhile waits until it is gone.

A C library that complains, a child that inherits the descriptors: a line of theirs would stand in the middle of the
screen until something is drawn over it. Python's own `print` is Textual's affair; this is about descriptors.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import IO

from workbench.safe_text import safe_text

MOST_TOLD = 64_000
"""Bytes of what others wrote that are told at the end, the last ones."""


@contextlib.contextmanager
def terminal_kept() -> Iterator[None]:
    """Give the app a descriptor of its own on the terminal; what came to 1 and 2 is told, cleaned, when it has ended.

    Textual draws on `sys.__stderr__` and asks `sys.__stdout__` for the size: both are that descriptor meanwhile. It is
    stdout's, which is known to be a terminal; stderr may have been sent to a file.
    """
    aside = _aside()
    own = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
    streams = sys.__stdout__, sys.__stderr__
    kept = os.dup(1), os.dup(2)
    sys.__stdout__ = sys.__stderr__ = own  # type: ignore[misc]
    os.dup2(aside.fileno(), 1)
    os.dup2(aside.fileno(), 2)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        sys.__stdout__, sys.__stderr__ = streams  # type: ignore[misc]
        for number, descriptor in enumerate(kept, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone
            own.close()
            sys.stderr.write(_told(aside))
            sys.stderr.flush()
        aside.close()


def _aside() -> IO[bytes]:
    """A file that goes with the process, or none where no file can be."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return open(os.devnull, "w+b")


def _told(aside: IO[bytes]) -> str:
    size = aside.seek(0, os.SEEK_END)
    aside.seek(max(0, size - MOST_TOLD))
    return safe_text(aside.read().decode(errors="replace"))
