"""How one stage gets on: what it had done when, and how long it is silent in between."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterable

from tui.metric_rows import number
from tui.time_left import seconds_left, uncertainty
from workbench.event_columns import Rows
from workbench.events import Event

RATE_WINDOW = 40
GAPS_KEPT = 400


class Pace:
    """The newest progress of a stage, the last (time, done) pairs, and the seconds between neighbours of them."""

    def __init__(self, gaps: Iterable[float] = ()) -> None:
        self.newest: Event = {}
        self.first_steps: float | None = None
        """The steps that there were to take when that was first told: a person may have made them fewer since."""
        self.gaps = deque(gaps, maxlen=GAPS_KEPT)
        self._points: deque[tuple[float, float]] = deque(maxlen=RATE_WINDOW)

    @property
    def done(self) -> float:
        """How much was done when it was last told."""
        return self._points[-1][1]

    @property
    def total(self) -> float | None:
        """How much there is to do, where that is known."""
        return number(self.newest.get("total"))

    @property
    def seconds_left(self) -> float | None:
        """Seconds until all is done; None while nobody can tell."""
        return seconds_left(self._points, self.total)

    @property
    def left_within(self) -> float | None:
        """Plus and minus how many seconds that is."""
        return uncertainty(self._points, self.total)

    def take(self, event: Event, at: float) -> bool:
        """Take progress in that was told then; whether it tells any."""
        done = number(event.get("done"))
        if done is None:
            return False
        if self._points and done < self.done:
            self._points.clear()
        if self._points:
            self.gaps.append(at - self._points[-1][0])
        self._points.append((at, done))
        self._note_newest(event)
        return True

    def take_rows(self, rows: Rows) -> bool:
        """As `take` would one by one; what does not only go on goes that way."""
        times, done = rows.columns["time"], rows.columns.get("done")
        if (
            done is None
            or (self._points and done[0] < self.done)
            or not all(map(operator.le, done, done[1:]))
        ):
            told = False
            for event in rows.events():
                told |= self.take(event, event["time"])
            return told
        if self._points:
            self.gaps.append(times[0] - self._points[-1][0])
        self.gaps.extend(map(operator.sub, times[1:], times))
        self._points.extend(zip(times, map(float, done), strict=True))
        self._note_newest(next(rows.events()))
        self._note_newest(next(rows.events(len(rows) - 1)))
        return True

    def _note_newest(self, event: Event) -> None:
        self.newest = event
        if self.first_steps is None and event.get("unit") == "steps":
            self.first_steps = self.total
