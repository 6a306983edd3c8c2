"""Two tokens in a row: which one stood before each, and the row of a table that a pair is given by a hash.

Knows no weights. Shapes: B rows, T positions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

NO_TOKEN = -1
"""Stands before the first token of a row, and of a document that is kept apart from the one before it."""
# Odd and without a common pattern, so that both tokens stir every bit of the row's number (modded-nanogpt's).
THIS, BEFORE = 36313, 27191


def tokens_before(ids_BT: Tensor, documents_BT: Tensor | None = None) -> Tensor:
    """before_BT: the id that stands before each; NO_TOKEN where a row begins, or a document if they are told apart."""
    before_BT = F.pad(ids_BT[:, :-1], (1, 0), value=NO_TOKEN)
    if documents_BT is None:
        return before_BT
    begins_BT = documents_BT != F.pad(documents_BT[:, :-1], (1, 0), value=NO_TOKEN)
    return before_BT.masked_fill(begins_BT, NO_TOKEN)


def rows_of_bigrams(before_BT: Tensor, ids_BT: Tensor, count: int) -> Tensor:
    """rows_BT: a number from 0 to `count` - 1 for every pair, always the same one; many pairs share a row.

    It does not depend on the size of the vocabulary: a model whose vocabulary grows finds its rows again.
    """
    return torch.remainder((THIS * ids_BT) ^ (BEFORE * before_BT), count)
