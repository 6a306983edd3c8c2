"""What every verb prints with: results on stdout, talk on stderr, all of it through the guard for hostile text."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.errors import BadInput
from workbench.safe_text import one_line, safe_text

LINES_AT_ONCE = 1000
_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False)


def _given_home(text: str) -> Path:
    if not text:  # a shell variable that is not set
        raise BadInput("--home is empty", fix="name a folder, or leave --home out")
    return Path(text)


def _usable_home(option: Path | None) -> Path | None:
    """The option as it is. Raises BadInput when a file is where the home, or a folder above it, should be."""
    from workbench.runs import find_home

    home = find_home(option)
    there = next(each for each in (home, *home.parents) if os.path.exists(each))
    if not there.is_dir():
        raise BadInput("a home is a folder and this is a file", file=there, fix="choose another --home DIR")
    return option


Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        parser=_given_home,
        callback=_usable_home,
        help="Where runs/ and store/ live [default: $WORKBENCH_HOME, else the XDG data directory]",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's name or a unique prefix of it.")]
Reference = Annotated[
    str,
    typer.Argument(
        metavar="REF", help="RUN, RUN/STAGE, RUN/STAGE@STEP|best|latest, or a Hugging Face folder."
    ),
]


def say(text: str) -> None:
    """Talk: one line on stderr."""
    print(safe_text(text), file=sys.stderr, flush=True)


def result(text: str) -> None:
    """The result: on stdout."""
    print(safe_text(text), flush=True)


def print_json(value: Any) -> None:
    """The result as one JSON document on one line. NaN and infinities become null: JSON has neither."""
    print(_json_line(value), flush=True)


def print_json_lines(values: Iterable[Any]) -> None:
    """Many results, a line each, as `print_json` writes them; many at once, for to write costs more than a line."""
    lines = map(_json_line, values)
    while some := list(islice(lines, LINES_AT_ONCE)):
        sys.stdout.write("\n".join(some) + "\n")
    sys.stdout.flush()


def _json_line(value: Any) -> str:
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError):  # what JSON has no word for
        return json.dumps(_json_safe(value), ensure_ascii=True)


def error_of(stderr: float | None) -> str:
    """A standard error as it stands behind its figure; nothing where it is unknown."""
    return "" if stderr is None else f"± {stderr:.2g}"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Aligned columns on stdout; columns in `right` are right-aligned. On a terminal no line is wider than it."""
    cells = [[one_line(cell, 200) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in cells:
        parts = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = "  ".join(parts).rstrip()
        print(line if columns is None or len(line) <= columns else line[: columns - 1] + "…")
    sys.stdout.flush()


def figure(value: Any) -> str:
    """A number as a person reads it; anything else as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}"


def figures(value: Any) -> str:
    """Figures in lists and tables too, on one line."""
    if isinstance(value, dict):
        return one_line(", ".join(f"{name} {figure(item)}" for name, item in value.items()) or "none", 200)
    if isinstance(value, list | tuple):
        return one_line(", ".join(map(figure, value)) or "none", 200)
    return one_line(figure(value), 200)


def _json_safe(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_safe(item) for item in value]
    return str(value) if isinstance(value, Path) else value
