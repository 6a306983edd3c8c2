"""Symbols of the standard library that are written in C: builtins, math, itertools, os and others.

They have no source to parse, so `probe.py` asks them in a child process that sees nothing but the standard
library (`-I -S`). Only the modules listed here are loaded, and only there: the process that asks imports
nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from workbench.data.python_docs import probe
from workbench.data.python_docs.parse import Symbol
from workbench.errors import WorkbenchError

TIME_LIMIT_SECONDS = 120  # it takes 0.3 s; the limit is for a machine that swaps

# Compiled module (or module:Class) -> the module under which people use it.
NATIVE_MODULES: dict[str, str] = {
    "_ast": "ast",
    "_asyncio": "asyncio",
    "_bisect": "bisect",
    "_blake2": "hashlib",
    "_bz2": "bz2",
    "_codecs": "codecs",
    "_collections": "collections",
    "_contextvars": "contextvars",
    "_csv": "csv",
    "_ctypes": "ctypes",
    "_curses": "curses",
    "_curses_panel": "curses.panel",
    "_datetime": "datetime",
    "_decimal": "decimal",
    "_elementtree": "xml.etree.ElementTree",
    "_functools": "functools",
    "_hashlib": "hashlib",
    "_heapq": "heapq",
    "_io": "io",
    "_locale": "locale",
    "_lsprof": "cProfile",
    "_lzma": "lzma",
    "_operator": "operator",
    "_pickle": "pickle",
    "_queue": "queue",
    "_random": "random",
    "_sha3": "hashlib",
    "_signal": "signal",
    "_socket": "socket",
    "_sqlite3": "sqlite3",
    "_ssl": "ssl",
    "_stat": "stat",
    "_struct": "struct",
    "_symtable": "symtable",
    "_thread": "_thread",
    "_tracemalloc": "tracemalloc",
    "_warnings": "warnings",
    "_weakref": "weakref",
    "_zoneinfo": "zoneinfo",
    "array": "array",
    "atexit": "atexit",
    "audioop": "audioop",
    "binascii": "binascii",
    "builtins": "builtins",
    "cmath": "cmath",
    "errno": "errno",
    "faulthandler": "faulthandler",
    "fcntl": "fcntl",
    "gc": "gc",
    "grp": "grp",
    "itertools": "itertools",
    "marshal": "marshal",
    "math": "math",
    "mmap": "mmap",
    "posix": "os",
    "pwd": "pwd",
    "pyexpat": "xml.parsers.expat",
    "re:Match": "re",
    "re:Pattern": "re",
    "resource": "resource",
    "select": "select",
    "spwd": "spwd",
    "sys": "sys",
    "syslog": "syslog",
    "termios": "termios",
    "time": "time",
    "unicodedata": "unicodedata",
    "zlib": "zlib",
}

_BOUND_ARGUMENT = re.compile(r"^\(\$\w+(?:, /)?(?:, )?")


def read_native_symbols() -> list[Symbol]:
    """Every documented object of NATIVE_MODULES that this Python has, under its public name.

    Raises WorkbenchError when the child process fails: the split must not depend on luck.
    """
    command = [sys.executable, "-I", "-S", str(Path(probe.__file__)), *NATIVE_MODULES]
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIME_LIMIT_SECONDS, check=True
        )
        records: list[probe.Record] = json.loads(ended.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise WorkbenchError(
            f"python-docs: {sys.executable} could not describe its builtins ({type(error).__name__})",
            fix="check that this Python runs by itself, then run the same command again",
        ) from error
    return [_symbol(found) for found in records if found["doc"]]


def _symbol(found: probe.Record) -> Symbol:
    public_module = NATIVE_MODULES.get(found["module"], found["module"])
    return Symbol.make(
        module=public_module,
        path=found["path"],
        kind=found["kind"],
        arguments=_as_called(found["signature"]),
        doc=found["doc"],
    )


def _as_called(signature: str) -> str:
    """`($self, iterable, /, default=<unrepresentable>)` as people read it: `(iterable, default=...)`."""
    unbound = _BOUND_ARGUMENT.sub("(", signature)
    return unbound.replace(", /)", ")").replace(", /,", ",").replace("<unrepresentable>", "...")
