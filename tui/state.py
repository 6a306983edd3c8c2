"""What the app remembers from one time to the next: order, theme, smoothing, the run that was looked at last.

One small JSON file in the home, replaced whole. It is convenience, not truth: a file that cannot be read, or that
a newer version wrote, is left aside with a notice, and one that cannot be written is no reason to stop.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, TypeVar

from textual.app import App

from workbench.errors import WorkbenchError
from workbench.files import write_atomic

VERSION = 1
FILE_NAME = ".screen.json"
_LARGEST = 65_536

Value = str | int | float | bool
ValueT = TypeVar("ValueT", str, int, float, bool)


class State:
    """Remembered values by name. `problem` says in a line why what was remembered could not be used."""

    def __init__(self, path: Path | None, *, writes: bool = True) -> None:
        """path: where it is kept; None keeps it for this time only. writes: whether what is put is kept there."""
        self._path = path if writes else None
        self.problem = ""
        self._values: dict[str, Value] = {}
        if path is not None:
            self._values = self._read(path)

    def get(self, name: str, default: ValueT) -> ValueT:
        """What was put there last; the default when nothing was, or something of another type."""
        value = self._values.get(name, default)
        return value if type(value) is type(default) else default

    def put(self, name: str, value: Value) -> None:
        """Remember it from now on."""
        if self._values.get(name) == value:
            return
        self._values[name] = value
        if self._path is None:
            return
        with contextlib.suppress(
            OSError, WorkbenchError
        ):  # a home that is only to be looked at, or a full disk
            self._path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"version": VERSION, "values": self._values}, indent=1)
            write_atomic(self._path, text + "\n", durable=False)

    def _read(self, path: Path) -> dict[str, Value]:
        try:
            with path.open("rb") as file:
                found: Any = json.loads(file.read(_LARGEST))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError):
            self.problem = f"{path} cannot be read; order, theme and the like begin anew"
            return {}
        values = found.get("values") if isinstance(found, dict) and found.get("version") == VERSION else None
        if not isinstance(values, dict):
            self.problem = f"{path} is of another version; order, theme and the like begin anew"
            return {}
        return {name: value for name, value in values.items() if isinstance(value, str | int | float | bool)}


def state_of(app: App[Any]) -> State:
    """What `app` remembers; nothing for an app that remembers nothing."""
    state = getattr(app, "state", None)
    return state if isinstance(state, State) else State(None)
