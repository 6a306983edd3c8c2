"""The lines of the runs list, a thousand of them as quick as ten: what is over is read once.

Also the order and the filter of the list. Knows no widget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tui import words
from tui.feed import RunRow, row_of
from workbench.runs import LIVE, Run, list_runs

ORDERS = ("newest", "name", "state", "loss")
_STATES = {state: place for place, state in enumerate(words.RUN_SIGNS)}
_KEYS: dict[str, Callable[[RunRow], tuple[object, ...]]] = {
    "newest": lambda _: (),
    "name": lambda row: (row.name.lower(), row.name),
    "state": lambda row: (row.state not in LIVE, _STATES.get(row.state, 99)),
    "loss": lambda row: (row.loss is None or row.loss != row.loss, row.loss or 0.0),
}


class RowReader:
    """Reads the runs of a home again and again. Lives in one thread at a time."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._kept: dict[str, tuple[int, RunRow]] = {}

    def read(self) -> tuple[RunRow, ...]:
        """All runs, the newest first. One that is over and whose status is as it was is not read again."""
        kept: dict[str, tuple[int, RunRow]] = {}
        for run in list_runs(self._home):
            stamp = _stamp(run)
            known = self._kept.get(run.name)
            if known is None or known[0] != stamp or known[1].state in LIVE:
                try:
                    known = stamp, row_of(run)
                except OSError:  # removed while we looked
                    continue
            kept[run.name] = known
        self._kept = kept
        return tuple(row for _, row in kept.values())


def _stamp(run: Run) -> int:
    try:
        return (run.path / "status.json").stat().st_mtime_ns
    except OSError:
        return 0


def arranged(rows: Sequence[RunRow], *, order: str, words_wanted: str = "") -> list[RunRow]:
    """The rows that contain every word that is wanted, in name, state or stage; in one of ORDERS."""
    wanted = words_wanted.lower().split()
    shown = [row for row in rows if all(word in _said(row) for word in wanted)] if wanted else rows
    return sorted(shown, key=_KEYS.get(order, _KEYS["newest"]))


def _said(row: RunRow) -> str:
    return f"{row.name} {words.run_sign(row.state).word} {row.stage}".lower()


def next_thing(rows: Sequence[RunRow]) -> tuple[RunRow, str] | None:
    """What a person may want to do next, by the newest run that something can be done with."""
    for row in rows:
        if row.state in LIVE:
            return row, "is at work: enter shows it"
    for row in rows:
        if row.state == "finished":
            return row, "is finished: t talks to its model"
        if row.state in ("failed", "crashed"):
            return row, f"{row.state}: enter shows why, R there goes on"
        if row.state == "stopped":
            return row, "is stopped: enter, then R goes on"
    return None
