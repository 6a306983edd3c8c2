"""Values by row in float32 with summaries of summaries, so that a million of them are drawn as fast as a hundred.

    raw      v v v v v v v v v v v v v v v v | v v …        one value a row, NaN where there was none
    level 1  (low, high, mean) of every 16 rows
    level 2  … of every 256 rows, and so on

Only ever appended to: one thread may append while another reads what was there. Standard library only: numpy would
cost a fifth of the time to the first picture.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

FAN = 16
"""Entries of a level that one entry of the next sums up."""

NAN = math.nan


@dataclass(frozen=True, slots=True)
class Part:
    """What some neighbouring rows come to; `count` rows, of which those that are no numbers are passed over."""

    low: float
    high: float
    mean: float
    count: int


@dataclass(slots=True)
class Level:
    """The sums of one size: three columns of the same length."""

    low: array[float] = field(default_factory=lambda: array("f"))
    high: array[float] = field(default_factory=lambda: array("f"))
    mean: array[float] = field(default_factory=lambda: array("f"))

    def sum_up(self, lows: array[float], highs: array[float], means: array[float]) -> None:
        """Append what whole groups of FAN entries come to."""
        totals = list(map(math.fsum, zip(*(means[i::FAN] for i in range(FAN)), strict=True)))
        if math.isfinite(math.fsum(totals)):  # all groups at once, in a third of the time
            low = array("f", map(min, *(lows[i::FAN] for i in range(FAN))))
            high = array("f", map(max, *(highs[i::FAN] for i in range(FAN))))
            mean = array("f", [total / FAN for total in totals])
        else:
            ends = [(i, i + FAN) for i in range(0, len(means), FAN)]
            parts = [_sum_of(lows[a:b], highs[a:b], means[a:b], FAN) for a, b in ends]
            low, high = array("f", [part.low for part in parts]), array("f", [part.high for part in parts])
            mean = array("f", [part.mean for part in parts])
        self.low.extend(low)
        self.high.extend(high)
        self.mean.extend(mean)  # last: whoever reads goes by the length of the means


class Series:
    """One metric, a value a row."""

    def __init__(self) -> None:
        self.raw: array[float] = array("f")
        self.levels: list[Level] = []

    def __len__(self) -> int:
        return len(self.raw)

    def append(self, value: float) -> None:
        """Add a row. What float32 cannot hold becomes infinite, and is no number to us."""
        self.raw.append(value if -3e38 < value < 3e38 else NAN)
        if len(self.raw) % FAN == 0:
            self._sum_up()

    def extend(self, values: Iterable[float]) -> bool:
        """Add rows, as if one by one, in a third of the time; gives whether all of them are numbers."""
        rows = values if isinstance(values, list | array) else list(values)
        new = array("f", rows)
        if not (whole := math.isfinite(sum(new))):
            new = array("f", [value if -3e38 < value < 3e38 else NAN for value in rows])
        self.raw.extend(new)
        self._sum_up()
        return whole

    def pad_to(self, rows: int) -> None:
        """Rows without a value, until there are `rows`."""
        self.extend([NAN] * (rows - len(self.raw)))

    def _sum_up(self) -> None:
        """Bring the levels up to the rows that there are."""
        lows = highs = means = self.raw
        for index in itertools.count():
            if len(means) < FAN:
                return
            if index == len(self.levels):
                self.levels.append(Level())
            level = self.levels[index]
            first, end = len(level.mean) * FAN, len(means) // FAN * FAN
            if end > first:
                level.sum_up(lows[first:end], highs[first:end], means[first:end])
            lows, highs, means = level.low, level.high, level.mean

    def cut(self, rows: int) -> Series:
        """A copy of the first `rows` rows; this one stays as it is, somebody may be reading it."""
        copy = Series()
        copy.raw = self.raw[:rows]
        for index, level in enumerate(self.levels):
            size = rows // FAN ** (index + 1)
            if size:
                copy.levels.append(Level(level.low[:size], level.high[:size], level.mean[:size]))
        return copy

    def part(self, first: int, end: int, *, level: int | None = None) -> Part | None:
        """What the rows [first, end) come to; None where none of them is a number.

        level: the coarsest to look at; by default as coarse as leaves some entries. `first` is then taken down to
        a whole entry of it.
        """
        level = coarseness(end - first) if level is None else level
        lows: list[float] = []
        highs: list[float] = []
        weighted = rows = 0.0
        for part in self._parts(first, min(end, len(self.raw)), level):
            if part.mean == part.mean:
                lows.append(part.low)
                highs.append(part.high)
                weighted += part.mean * part.count
                rows += part.count
        return Part(min(lows), max(highs), weighted / rows, int(rows)) if lows else None

    def _parts(self, first: int, end: int, level: int) -> Iterator[Part]:
        """Whole entries of `level`, then the rest from finer ones."""
        while first < end:
            if level == 0 or not self.levels:
                values = self.raw[first:end]
                if values:
                    yield _sum_of(values, values, values, len(values))
                return
            level = min(level, len(self.levels))
            summed = self.levels[level - 1]
            size: int = FAN**level
            begin, stop = first // size, min(end // size, len(summed.mean))
            if stop > begin:
                rows = (stop - begin) * size
                yield _sum_of(summed.low[begin:stop], summed.high[begin:stop], summed.mean[begin:stop], rows)
                first = stop * size
            level -= 1


def coarseness(rows: float) -> int:
    """The level whose entries are a quarter of `rows` rows or fewer."""
    return max(0, int(math.log(max(rows / 4, 1), FAN) + 1e-9))


def _sum_of(lows: Sequence[float], highs: Sequence[float], means: Sequence[float], rows: int) -> Part:
    total = math.fsum(means)
    if total == total:
        return Part(min(lows), max(highs), total / len(means), rows)
    kept = [index for index, mean in enumerate(means) if mean == mean]
    if not kept:
        return Part(NAN, NAN, NAN, rows)
    mean = sum(means[index] for index in kept) / len(kept)
    return Part(min(lows[i] for i in kept), max(highs[i] for i in kept), mean, rows)
