"""Rows of tokens to learn from, and what every way of packing documents into them promises.

    Rows ─┬─ StreamRows    (stream_rows.py)     all documents end to end, cut into rows
          └─ BestFitRows   (best_fit_rows.py)   documents whole where they fit, with some padding

What row n holds is a function of n and the seed alone. Rows 0 to rows_per_epoch - 1 read every document once, the
next as many read them again in another order, without end.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

NOT_LEARNED = -100
"""The target of a position with nothing to predict (PyTorch's `ignore_index`)."""


class Row(NamedTuple):
    """targets_T[t] is the token after inputs_T[t]; documents_T numbers the document of each input. int64."""

    inputs_T: npt.NDArray[np.int64]
    targets_T: npt.NDArray[np.int64]
    documents_T: npt.NDArray[np.int64]


class RowReader(Protocol):
    """Rows by number, without end."""

    @property
    def num_tokens(self) -> int:
        """The tokens of all documents together, before any is read again."""

    def row(self, number: int) -> Row:
        """Row `number`, counted from the first of the training. Quick where neighbours are asked for in order."""


class Rows(RowReader, Protocol):
    """Rows of one set of documents, epoch after epoch."""

    @property
    def rows_per_epoch(self) -> int:
        """How many rows read every document once."""
