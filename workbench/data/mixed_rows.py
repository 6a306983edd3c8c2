"""Rows of several sources, drawn by weight: which source row n is from, and which of its rows.

Rows come in blocks of about BLOCK. In every block each source has its share, to the row; who comes when is drawn
from (seed, phase, block). A source's own rows follow each other without a gap, through blocks, phases and epochs, so
that each of its documents is read once before any is read again. Finding row n takes arithmetic and one block, however
far on it is. Knows no tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from workbench.data.order import shuffled
from workbench.data.packed_rows import Row, Rows
from workbench.mixing import Phase, ends_of_phases, share_of_rows

BLOCK = 256
"""Small enough that a short training keeps to the weights, large enough that the order is no pattern."""
_BLOCK_DRAW = 2  # a key of its own beside those of an epoch's documents (0) and rows (1)


class MixedRows:
    """The rows of `sources`, mixed by the weights of each phase. `num_rows`: how many the phases are shares of."""

    def __init__(
        self, sources: Mapping[str, Rows], phases: Sequence[Phase], *, num_rows: int, seed: int
    ) -> None:
        self._sources = list(sources.values())
        rows_per_epoch = {name: rows.rows_per_epoch for name, rows in sources.items()}
        self._phases: list[_Mixing] = []
        self._starts = [0, *ends_of_phases(phases, num_rows)]
        read = [0] * len(sources)  # of each source, before the phase begins
        for number, phase in enumerate(phases):
            if number:
                read = self._phases[-1].read_before(self._starts[number] - self._starts[number - 1])
            shares = list(share_of_rows(phase.weights, rows_per_epoch).values())
            self._phases.append(_Mixing(shares, read, key=(seed, number)))

    @property
    def num_tokens(self) -> int:
        """The tokens of all sources together."""
        return sum(rows.num_tokens for rows in self._sources)

    def row(self, number: int) -> Row:
        """Row `number`, counted from the first of the training."""
        phase = sum(start <= number for start in self._starts) - 1
        source, own = self._phases[phase].place_of(number - self._starts[phase])
        return self._sources[source].row(own)


class _Mixing:
    """One phase: the share of each source, and how many rows of it were read before."""

    def __init__(self, shares: Sequence[Fraction], read: Sequence[int], *, key: tuple[int, int]) -> None:
        self._per_block = [BLOCK * share for share in shares]
        self._read = read
        self._key = key
        self._block: _Block | None = None

    def place_of(self, row: int) -> tuple[int, int]:
        """The source of the phase's row `row`, and the number of that row within the source."""
        block = self._block_with(row)
        source = int(block.sources[row - block.start])
        return source, self._read[source] + block.before[source] + int(block.ranks[row - block.start])

    def read_before(self, row: int) -> list[int]:
        """How many rows of each source come before the phase's row `row`, those of earlier phases included."""
        block = self._block_with(row)
        inside = np.bincount(block.sources[: row - block.start], minlength=len(self._read)).tolist()
        return [sum(each) for each in zip(self._read, block.before, inside, strict=True)]

    def _before(self, block: int) -> list[int]:
        return [int(block * share) for share in self._per_block]

    def _block_with(self, row: int) -> _Block:
        if self._block is None or not self._block.start <= row < self._block.end:
            number = (
                row // BLOCK
            )  # at least: a block has less than BLOCK rows while fractions of a row add up
            while sum(self._before(number + 1)) <= row:
                number += 1
            before, behind = self._before(number), self._before(number + 1)
            self._block = _Block(before, behind, key=(*self._key, _BLOCK_DRAW, number))
        return self._block


class _Block:
    """Which source each row of a block is from, and its rank among the rows of that source in the block.

    before, behind: how many rows of each source come before the block and before the next one.
    """

    def __init__(self, before: Sequence[int], behind: Sequence[int], *, key: tuple[int, ...]) -> None:
        self.before = before
        self.start, self.end = sum(before), sum(behind)
        order = shuffled(self.end - self.start, key=key)
        counts = np.subtract(behind, before)
        self.sources: npt.NDArray[np.int64] = np.repeat(np.arange(len(counts)), counts)[order]
        self.ranks = np.empty_like(self.sources)
        for source, count in enumerate(counts):
            self.ranks[self.sources == source] = np.arange(count)
