"""The lines of the runs list, a thousand of them as quick as ten: what is over is read once.

Also the order and the filter of the list. Knows no widget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tui import words
from tui.metric_rows import number
from workbench.runs import LIVE, Run, list_runs
from workbench.safe_text import one_line


@dataclass(frozen=True, slots=True)
class RunRow:
    """One line of the runs list. `name` is the folder's own, to open it by; clean it to show it."""

    name: str
    state: str
    stage: str
    progress: float | None
    step: int | None
    loss: float | None
    heard_at: float | None
    bits_per_byte: float | None = None
    """Of held-out text, the newest that any of its stages measured."""
    seconds: float | None = None
    """That its last worker spent, once it is over."""
    note: str = ""
    """Why it failed, or what it waits for, in one line."""


ORDERS = ("newest", "name", "state", "loss")
_STATES = {state: place for place, state in enumerate(words.RUN_SIGNS)}
_KEYS: dict[str, Callable[[RunRow], tuple[object, ...]]] = {
    "newest": lambda _: (),
    "name": lambda row: (row.name.lower(), row.name),
    "state": lambda row: (row.state not in LIVE, _STATES.get(row.state, 99)),
    "loss": lambda row: (row.loss is None or row.loss != row.loss, row.loss or 0.0),
}


def row_of(run: Run) -> RunRow:
    """One run for the list. Reads one small file and asks for its lock."""
    status = run.status()
    progress = status.get("progress")
    done, total = (
        (progress.get("done"), progress.get("total")) if isinstance(progress, dict) else (None, None)
    )
    step, loss = status.get("step"), number(status.get("loss"))
    heard = number(status.get("heartbeat")) or number(status.get("started_at"))
    return RunRow(
        name=run.name,
        state=run.state(),
        stage=one_line(str(status.get("stage") or ""), 20),
        progress=_share(number(done), number(total)),
        step=step if isinstance(step, int) else None,
        loss=loss,
        heard_at=heard,
        bits_per_byte=number(status.get("heldout_bits_per_byte")) or number(status.get("val_bpb")),
        seconds=_between(status.get("started_at"), status.get("finished_at")),
        note=one_line(str(status.get("error") or status.get("waits_for") or ""), 300),
    )


def _between(start: object, end: object) -> float | None:
    first, last = number(start), number(end)
    return last - first if first is not None and last is not None else None


def _share(done: float | None, total: float | None) -> float | None:
    return min(done / total, 1.0) if done is not None and total else None


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


def live_names(home: Path) -> list[str]:
    """The folders' names of the runs that go on by themselves, the newest first."""
    return [run.name for run in list_runs(home) if run.state() in LIVE]


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
