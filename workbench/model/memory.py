"""What a position may look at: the new keys and values, those of a cache, and a mask over both, or segments.

Shapes: B rows, T new positions, S positions seen, D width, H query heads, G key/value heads, E width of one head.
L layers. Knows no weights and computes no attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from workbench.model.bigrams import NO_TOKEN
from workbench.model.segments import Segments, segments_of, takes_segments
from workbench.model_config import ModelConfig


class Seen(NamedTuple):
    """What the new positions may look at: keys, values, and a mask or segments; without either all up to themselves."""

    k_BSGE: Tensor
    v_BSGE: Tensor
    mask_B1TS: Tensor | None = None
    segments: Segments | None = None


class Memory(NamedTuple):
    """What a layer remembers besides the new positions: nothing, or its cached past.

    sight: what new positions may see of each other where there is no cache, as `visible` gives it.
    """

    sight: Tensor | Segments | None = None
    cache: KVCache | None = None
    layer: int = 0

    def with_new(self, k_BTGE: Tensor, v_BTGE: Tensor) -> Seen:
        """All there is to look at once the new keys and values are in."""
        if self.cache is not None:
            return self.cache.write(self.layer, k_BTGE, v_BTGE)
        if isinstance(self.sight, Segments):
            return Seen(k_BTGE, v_BTGE, segments=self.sight)
        return Seen(k_BTGE, v_BTGE, self.sight)


class KVCache:
    """Keys and values of the tokens read so far: a new token then costs one position of work, not all.

    Memory is taken once, for `capacity` positions of `rows` rows; with a sliding window for no more than the window,
    however long the text becomes: position p lies in slot p mod slots, where it takes the place of one that is out of
    sight by then. Rows may be of different length: pad the prompts on the *right* and say with `expect` how long each
    really is. Causality keeps the padding from being seen, and it is never stored. (Left padding would shift
    every position instead.)
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
        self._window = config.sliding_window
        self._slots = capacity if self._window is None else min(capacity, self._window)
        shape = (config.num_hidden_layers, rows, self._slots, heads, config.head_dim)
        self.keys_LBSGE = torch.zeros(shape, device=device, dtype=dtype)
        self.values_LBSGE = torch.zeros(shape, device=device, dtype=dtype)
        self.capacity = capacity
        self.lengths_B = torch.zeros(rows, dtype=torch.int64, device=device)
        self._last_B = torch.full_like(self.lengths_B, NO_TOKEN)
        self.longest = 0  # = lengths_B.max(), as an int so that no step waits for the device
        self._expected: list[int] | None = None
        # Of the last `grow`: how many slots were filled before it, how many of the new positions are each row's own,
        # what they see, and where they go.
        self._past = 0
        self._own_B = self.lengths_B
        self._mask_B1TS: Tensor | None = None
        self._stored: Stored | None = None

    def expect(self, counts: Sequence[int]) -> None:
        """Say how many of the tokens that come next are each row's own, at least one; the rest is padding."""
        assert len(counts) == len(self.lengths_B) and min(counts) >= 1
        self._expected = list(counts)

    def grow(self, count: int) -> Tensor:
        """positions_BT of the next `count` tokens of every row; `write` then fills them, layer by layer."""
        counts, self._expected = self._expected, None
        longest = count if counts is None else max(counts)
        assert longest <= count and self.longest + longest <= self.capacity, "the cache is full"
        before_B, device = self.lengths_B, self.lengths_B.device
        own_B = torch.full_like(before_B, count) if counts is None else torch.tensor(counts, device=device)
        positions_BT = before_B[:, None] + torch.arange(count, device=device)
        self._past = min(self.longest, self._slots)
        self._own_B = own_B
        self._stored = self._places(positions_BT, own_B, padded=counts is not None)
        self.longest += longest
        self.lengths_B = before_B + own_B
        self._mask_B1TS = self._seen_from(positions_BT, before_B)
        return positions_BT

    def write(self, layer: int, k_BTGE: Tensor, v_BTGE: Tensor) -> Seen:
        """Store one layer's keys and values at the positions of the last `grow`; gives all they may look at."""
        keys_BSGE, values_BSGE = self.keys_LBSGE[layer], self.values_LBSGE[layer]
        if k_BTGE.shape[1] == 1:  # what its slot held is out of sight, so the slots are all there is to see
            self._store(keys_BSGE, k_BTGE)
            self._store(values_BSGE, v_BTGE)
            filled = min(self.longest, self._slots)
            return Seen(keys_BSGE[:, :filled], values_BSGE[:, :filled], self._mask_B1TS)
        # The first of several still sees what the last of them replaces.
        seen = Seen(
            torch.cat((keys_BSGE[:, : self._past].to(k_BTGE.dtype), k_BTGE), dim=1),
            torch.cat((values_BSGE[:, : self._past].to(v_BTGE.dtype), v_BTGE), dim=1),
            self._mask_B1TS,
        )
        self._store(keys_BSGE, k_BTGE)
        self._store(values_BSGE, v_BTGE)
        return seen

    def tokens_before(self, ids_BT: Tensor) -> Tensor:
        """before_BT of the tokens of the last `grow`, of which the last ones are noted for the next: ask once."""
        before_BT = torch.cat((self._last_B[:, None], ids_BT[:, :-1]), dim=1)
        self._last_B = ids_BT.gather(1, self._own_B[:, None] - 1)[:, 0]
        return before_BT

    def keep(self, rows_N: Tensor) -> None:
        """Keep only these rows, in this order."""
        self.keys_LBSGE = self.keys_LBSGE[:, rows_N]
        self.values_LBSGE = self.values_LBSGE[:, rows_N]
        self.lengths_B, self._last_B = self.lengths_B[rows_N], self._last_B[rows_N]
        self.longest = int(self.lengths_B.max())

    def _seen_from(self, positions_BT: Tensor, before_B: Tensor) -> Tensor | None:
        """mask_B1TS over the keys that `write` gives; None where the new tokens are all there is to see."""
        count, window = positions_BT.shape[1], self._window
        if count == 1:
            held_BS = self._held(positions_BT[:, 0])[:, : min(self.longest, self._slots)]
            return (held_BS >= 0)[:, None, None]
        if self._past == 0 and (window is None or window >= count):
            return None
        held_BS = torch.cat((self._held(before_B - 1)[:, : self._past], positions_BT), dim=1)
        back_BTS = positions_BT[..., None] - held_BS[:, None]
        near_BTS = back_BTS >= 0 if window is None else (back_BTS >= 0) & (back_BTS < window)
        return (near_BTS & (held_BS >= 0)[:, None])[:, None]

    def _held(self, last_B: Tensor) -> Tensor:
        """held_BS: the position that each slot holds in a row whose last one is `last`; negative in an empty slot."""
        slots_S = torch.arange(self._slots, device=last_B.device)
        return last_B[:, None] - (last_B[:, None] - slots_S) % self._slots

    def _places(self, positions_BT: Tensor, own_B: Tensor, *, padded: bool) -> Stored:
        """Where the new tokens go: each row's own, and of those the last as many as there are slots."""
        rows, count = positions_BT.shape
        slots_BT = positions_BT % self._slots
        if not padded:
            kept = min(count, self._slots)
            rows_B1 = torch.arange(rows, device=positions_BT.device)[:, None]
            columns_T = torch.arange(count - kept, count, device=positions_BT.device)
            return Stored(rows_B1, columns_T, slots_BT[:, count - kept :])
        column_T = torch.arange(count, device=positions_BT.device)
        stays_BT = (column_T < own_B[:, None]) & (column_T >= own_B[:, None] - self._slots)
        rows_N, columns_N = stays_BT.nonzero(as_tuple=True)
        return Stored(rows_N, columns_N, slots_BT[rows_N, columns_N])

    def _store(self, held_BSGE: Tensor, new_BTGE: Tensor) -> None:
        assert self._stored is not None, "grow comes first"
        rows, columns, slots = self._stored
        held_BSGE[rows, slots] = new_BTGE[rows, columns].to(held_BSGE.dtype)


class Stored(NamedTuple):
    """Which of the new tokens a cache stores, and where: three indices that stand side by side."""

    rows: Tensor
    columns: Tensor
    slots: Tensor


def visible(x_BTD: Tensor, documents_BT: Tensor | None, config: ModelConfig) -> Tensor | Segments | None:
    """What position t may look at in x_BTD, which the layers read; None when it may at every earlier one and itself.

    Only those of its own document, if documents_BT tells them apart, and only the last `sliding_window`, itself
    included (Beltagy et al. 2020): what lies further back reaches it through the layers, one window each. As segments
    where attention takes them, else as mask_B1TT: whether t may look at position s.
    """
    T, window = x_BTD.shape[1], config.sliding_window
    if window is not None and window >= T:
        window = None
    if documents_BT is None and window is None:
        return None
    if takes_segments(x_BTD, config):
        return segments_of(x_BTD, documents_BT, window)
    mask_TT = torch.ones(T, T, dtype=torch.bool, device=x_BTD.device).tril()
    if window is not None:
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
