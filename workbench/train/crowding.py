"""On a machine that others use too, threads that wait for each other sleep instead of spinning: ten times as quick.

torch cuts an operation into parts, a thread each, and the first to be done wait for the last. GNU's OpenMP, which
torch for Linux brings, lets them spin for 3 ms before they sleep: the quickest way as long as every thread has a core.
Where another program wants one of the cores, the spinning uses up the time slice that its own next part needs; the
other threads then spin away theirs, and a step takes ten to twenty times as long (recipes/LOG.md).

OpenMP spins a thousandth of that where a process has more threads in teams than there are CPUs. So one more team is
held, asleep, for as long as the kernel lets our threads wait for cores. Which thread computes what, and so every bit
of a result, stays as it was. Elsewhere than on Linux nothing is done. Knows no model and no run.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from pathlib import Path

import torch

TASKS = Path("/proc/self/task")
LOOK_SECONDS = 1.0
CROWDED_SHARE, FREE_SHARE = 0.1, 0.02
"""Seconds that threads waited for a core, a second: from here on it is crowded; below, it is not."""
FREE_LOOKS = 10
"""So many looks below, one after the other: others come and go, and spinning into them costs more than sleeping."""
TEAM_NUMBERS = 1 << 18
"""Enough in one addition for torch to have a team do it."""


def waited_seconds(tasks: Path = TASKS) -> float | None:
    """For how long threads of this process that live now could have run and had no core; None if nobody counts."""
    waited = 0
    try:
        for task in tasks.iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
                waited += int((task / "schedstat").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return waited / 1e9


class Crowding:
    """Whether others use our cores, by what `waited_seconds` says from look to look."""

    def __init__(self) -> None:
        self.is_crowded = False
        self._free_looks = 0

    def look(self, share: float) -> bool:
        """Take the share of the time since the last look that threads waited; gives whether it is crowded."""
        self._free_looks = self._free_looks + 1 if share < FREE_SHARE else 0
        if share > CROWDED_SHARE:
            self.is_crowded = True
        elif self._free_looks >= FREE_LOOKS:
            self.is_crowded = False
        return self.is_crowded


class SpareTeam:
    """A team of OpenMP's that has nothing to do: while there is one, threads that wait elsewhere sleep soon."""

    def __init__(self) -> None:
        self._dismissed = threading.Event()
        self._holder: threading.Thread | None = None

    def hold(self, wanted: bool) -> None:
        """Have one, or have none; nothing happens where that is so already."""
        if wanted and self._holder is None:
            self._dismissed.clear()
            self._holder = threading.Thread(target=self._wait, name="spare team", daemon=True)
            self._holder.start()
        elif not wanted and self._holder is not None:
            self._dismissed.set()
            self._holder.join()
            self._holder = None

    def _wait(self) -> None:
        torch.zeros(TEAM_NUMBERS).add_(1)  # the team stays with the thread that first had it work
        self._dismissed.wait()


class CrowdWatch(threading.Thread):
    """Looks every second, as long as the process lives."""

    def __init__(self, *, look_seconds: float = LOOK_SECONDS, tasks: Path = TASKS) -> None:
        super().__init__(name="crowd watch", daemon=True)
        self.crowding = Crowding()
        self.share = 0.0  # seconds a second that threads waited, at the last look
        self._team = SpareTeam()
        self._look_seconds, self._tasks = look_seconds, tasks
        self._over = threading.Event()

    def run(self) -> None:
        """Look, hold or dismiss the team, wait."""
        waited, then = waited_seconds(self._tasks), time.monotonic()
        while waited is not None and not self._over.wait(self._look_seconds):
            before, since = waited, then
            waited, then = waited_seconds(self._tasks), time.monotonic()
            if waited is not None:  # a thread that ended takes its seconds with it
                self.share = max(0.0, waited - before) / (then - since)
                self._team.hold(self.crowding.look(self.share))
        self._team.hold(False)

    def end(self) -> None:
        """Look no longer."""
        self._over.set()
        self.join()


_watch: CrowdWatch | None = None


def watch_for_crowds() -> None:
    """From here on sleep where it is crowded, in the whole process; for one that computes with several threads."""
    global _watch  # noqa: PLW0603  (OpenMP's threads are the process's too)
    if _watch is None and torch.get_num_threads() > 1 and waited_seconds() is not None:
        _watch = CrowdWatch()
        _watch.start()
        atexit.register(
            _watch.end
        )  # a thread that Python ends in the middle of torch's code aborts the process


def core_wait_share() -> float | None:
    """The share of the last second in which a thread that computes had no core; None where nobody looks."""
    return min(1.0, _watch.share / torch.get_num_threads()) if _watch is not None else None
