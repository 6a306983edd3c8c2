"""What a position may look at: the new keys and values, those of a cache, and a mask over both.

Shapes: B rows, T new positions, S positions seen, D width, H query heads, G key/value heads, E width of one head.
L layers. Knows no weights and computes no attention.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from workbench.model_config import ModelConfig


class Seen(NamedTuple):
    """What the new positions may look at: keys, values, and a mask; no mask means causal, from position 0."""

    k_BSGE: Tensor
    v_BSGE: Tensor
    mask_B1TS: Tensor | None = None


class Memory(NamedTuple):
    """What a layer remembers besides the new positions: nothing (with or without a mask), or its cached past."""

    mask_B1TT: Tensor | None = None
    cache: KVCache | None = None
    layer: int = 0

    def with_new(self, k_BTGE: Tensor, v_BTGE: Tensor) -> Seen:
        """All there is to look at once the new keys and values are in."""
        if self.cache is None:
            return Seen(k_BTGE, v_BTGE, self.mask_B1TT)
        return self.cache.write(self.layer, k_BTGE, v_BTGE)


class KVCache:
    """Keys and values of the tokens read so far: a new token then costs one position of work, not all.

    Memory is taken once, for `capacity` positions of `rows` rows. Rows may be of different length: pad the
    prompts on the *right*, run them, and `trim` each row to its true length. Causality kept the padding from
    being seen, and the row's next tokens overwrite it. (Left padding would shift every position instead.)
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        rows: int,
        capacity: int,
        heads: int | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """heads: the key/value heads that this process holds; None: all of them."""
        heads = config.num_key_value_heads if heads is None else heads
        shape = (config.num_hidden_layers, rows, capacity, heads, config.head_dim)
        self.keys_LBSGE = torch.zeros(shape, device=device, dtype=dtype)
        self.values_LBSGE = torch.zeros(shape, device=device, dtype=dtype)
        self.lengths_B = torch.zeros(rows, dtype=torch.int64, device=device)
        self.longest = 0  # = lengths_B.max(), as an int so that no step waits for the device
        self._positions_BT = torch.zeros(rows, 0, dtype=torch.int64, device=device)
        self._mask_B1TS: Tensor | None = None
        self._window = config.sliding_window

    def grow(self, count: int) -> Tensor:
        """positions_BT of the next `count` tokens of every row; `write` then fills them, layer by layer."""
        assert self.longest + count <= self.keys_LBSGE.shape[2], "the cache is full"
        from_empty = self.longest == 0
        self._positions_BT = self.lengths_B[:, None] + torch.arange(count, device=self.lengths_B.device)
        self.lengths_B = self.lengths_B + count
        self.longest += count
        # A new token sees every position up to its own. From empty that is plain causal attention.
        self._mask_B1TS = None
        window = self.longest if self._window is None else self._window
        if not from_empty or window < self.longest:
            seen_S = torch.arange(self.longest, device=self.lengths_B.device)
            back_BTS = self._positions_BT[..., None] - seen_S
            self._mask_B1TS = ((back_BTS >= 0) & (back_BTS < window))[:, None]
        return self._positions_BT

    def write(self, layer: int, k_BTGE: Tensor, v_BTGE: Tensor) -> Seen:
        """Store one layer's keys and values at the positions of the last `grow`; gives all it has seen."""
        keys_BSGE, values_BSGE = self.keys_LBSGE[layer], self.values_LBSGE[layer]
        rows_B1 = torch.arange(len(self.lengths_B), device=self.lengths_B.device)[:, None]
        keys_BSGE[rows_B1, self._positions_BT] = k_BTGE.to(keys_BSGE.dtype)
        values_BSGE[rows_B1, self._positions_BT] = v_BTGE.to(values_BSGE.dtype)
        return Seen(keys_BSGE[:, : self.longest], values_BSGE[:, : self.longest], self._mask_B1TS)

    def trim(self, lengths_B: Tensor) -> None:
        """Say how long each row really is; what lies beyond is forgotten."""
        self.lengths_B = lengths_B.to(self.lengths_B)
        self.longest = int(lengths_B.max())

    def keep(self, rows_N: Tensor) -> None:
        """Keep only these rows, in this order."""
        self.keys_LBSGE = self.keys_LBSGE[:, rows_N]
        self.values_LBSGE = self.values_LBSGE[:, rows_N]
        self.trim(self.lengths_B[rows_N])


def visible(ids_BT: Tensor, documents_BT: Tensor | None, window: int | None) -> Tensor | None:
    """mask_B1TT: whether position t may look at position s; None when it may at every earlier one and itself.

    Only those of its own document, if documents_BT tells them apart, and only the last `window`, itself included
    (Beltagy et al. 2020): what lies further back reaches it through the layers, one window each.
    """
    T = ids_BT.shape[1]
    if documents_BT is None and (window is None or window >= T):
        return None
    mask_TT = torch.ones(T, T, dtype=torch.bool, device=ids_BT.device).tril()
    if window is not None and window < T:
        mask_TT = mask_TT.triu(1 - window)
    if documents_BT is None:
        return mask_TT[None, None]
    return (mask_TT & (documents_BT[:, :, None] == documents_BT[:, None, :]))[:, None]


def positions_in_documents(documents_BT: Tensor) -> Tensor:
    """positions_BT, counted from where the document of each token begins in its row."""
    place_T = torch.arange(documents_BT.shape[1], device=documents_BT.device)
    begins_BT = torch.ones_like(documents_BT, dtype=torch.bool)
    begins_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    return place_T - (place_T * begins_BT).cummax(dim=1).values
