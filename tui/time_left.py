"""How long it still takes, and how sure that is: a stage by its own pace, the run by what was planned for the rest.

Pure functions over (time, done) pairs and seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

LEAST_OFF = 0.1
"""No plan is surer than a tenth, however right it was so far."""
USUALLY_OFF = 0.3
"""While no stage of the run has shown how right its plan is."""
MOST_OFF = 1.0


class Staged(Protocol):
    """What is known of a stage."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def state(self) -> str: ...  # noqa: D102
    @property
    def seconds_left(self) -> float | None: ...  # noqa: D102
    @property
    def left_within(self) -> float | None: ...  # noqa: D102


def seconds_left(pace: deque[tuple[float, float]], total: float | None) -> float | None:
    """Seconds to `total` at the rate of the last (time, done) pairs; None while nobody can tell."""
    if total is None or len(pace) < 2:
        return None
    (t0, done0), (t1, done1) = pace[0], pace[-1]
    if t1 - t0 < 1.0 or done1 <= done0:
        return None
    return max(total - done1, 0.0) * (t1 - t0) / (done1 - done0)


def uncertainty(pace: deque[tuple[float, float]], total: float | None) -> float | None:
    """Plus and minus how many seconds the time left is: what its older and its newer half would tell apart.

    None below eight pairs: nobody can tell yet.
    """
    if total is None or len(pace) < 8:
        return None
    pairs = list(pace)
    halves = [deque(pairs[: len(pairs) // 2]), deque(pairs[len(pairs) // 2 :])]
    rates = [
        (half[-1][1] - half[0][1]) / (half[-1][0] - half[0][0]) for half in halves if half[-1][0] > half[0][0]
    ]
    if len(rates) < 2 or min(rates) <= 0:
        return None
    left = max(total - pairs[-1][1], 0.0)
    return abs(left / rates[0] - left / rates[1]) / 2


def run_left(
    stages: Iterable[Staged], *, planned: Mapping[str, float], spent: Mapping[str, float]
) -> tuple[float, float] | None:
    """Seconds until all stages are done, and plus and minus how many; None while the running one cannot tell.

    planned: seconds by stage, of those that were still to be made when the run began; a stage that waits and is not
    among them is there already. spent: what finished stages took, which tells how far off the plan may be.
    """
    left = within = 0.0
    off = how_far_off(planned, spent)
    for stage in stages:
        if stage.state == "running":
            if stage.seconds_left is None:
                return None
            left += stage.seconds_left
            within += off * stage.seconds_left if stage.left_within is None else stage.left_within
        elif stage.state == "waiting":
            left += planned.get(stage.name, 0.0)
            within += off * planned.get(stage.name, 0.0)
    return left, within


def how_far_off(planned: Mapping[str, float], spent: Mapping[str, float]) -> float:
    """The share by which the plan missed what stages took that have ended, the worst of them."""
    missed = [
        abs(spent[name] / seconds - 1)
        for name, seconds in planned.items()
        if name in spent and seconds > 0 and max(spent[name], seconds) >= 1  # below a second starting is all
    ]
    return min(max(LEAST_OFF, *missed), MOST_OFF) if missed else USUALLY_OFF


def usual_silence(gaps: Sequence[float]) -> float | None:
    """How long a run is silent at most while all is well: the second longest of its gaps; None below eight.

    Not the longest: one night in which the machine slept would excuse every silence after it.
    """
    return sorted(gaps)[-2] if len(gaps) >= 8 else None
