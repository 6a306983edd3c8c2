"""What every view of a live run needs: its events as they come, and signals that end no view half-way."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

from workbench.events import Event, EventReader
from workbench.runs import LIVE, Run

POLL_SECONDS = 0.2


class Interrupts:
    """SIGINT, SIGTERM and SIGHUP as facts that a view looks at between two events."""

    def __init__(self) -> None:
        self.interrupts = 0
        self.terminated = False
        self.hung_up = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # under nohup a hang-up stays ignored
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        self.interrupts += number == signal.SIGINT
        self.terminated = self.terminated or number == signal.SIGTERM
        self.hung_up = self.hung_up or number == signal.SIGHUP


def is_over(run: Run) -> bool:
    """Whether nothing more will happen: ended, and the worker is gone.

    Both: a worker that has just taken up a stopped run holds its lock before it says so in the status.
    """
    return run.state() not in LIVE and not run.is_alive()


def new_events(run: Run) -> Iterator[Event | None]:
    """The events since the run was last taken up, then new ones as they come, until it is over.

    None whenever there is nothing more for now: at least five times a second, so that a view can look at the
    clock and at signals.
    """
    reader = EventReader(run.events_path)
    events = _since_last_start(run, reader)
    while True:
        over = is_over(run)
        yield from events
        yield None
        if over and not events:
            return
        if not events:
            time.sleep(POLL_SECONDS)
        events = reader.read_new()


def request_stop(run: Run) -> None:
    """Ask for a stop, unless it is over already."""
    if not is_over(run) and run.state() in LIVE:
        run.request("stop")


def _since_last_start(run: Run, reader: EventReader) -> list[Event]:
    recent: list[Event] = []
    while events := reader.read_new():
        for event in events:
            if event["kind"] == "run_started":
                recent.clear()
            recent.append(event)
    # A worker that has not said that it started yet: what is there was written by those before it.
    worker = run.status().get("pid") if run.is_alive() else None
    is_history = worker is not None and bool(recent) and recent[0].get("pid") != worker
    return [] if is_history else recent
