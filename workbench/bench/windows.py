"""Held-out text in windows, the same for every system: how many bits each needs per byte of it.

A window is a context full of tokens and the next one; every position is predicted from those before it in the
window. Starts of documents stand for no byte and are not counted.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.data.shards import TokenShards

WINDOWS = 512
CURVE_WINDOWS = 128
"""For the points of a curve: every fourth of them."""
AT_ONCE = 8
TOKEN_BYTES_FILE = "token-bytes.npy"


@dataclasses.dataclass(frozen=True, slots=True)
class HeldOut:
    """windows_NT1: the first whole windows of the held-out stream. bytes_V: bytes each id stands for."""

    windows_NT1: Tensor
    bytes_V: Tensor

    @classmethod
    def open(cls, folder: Path, *, context_length: int) -> HeldOut:
        """The windows of the shards in `folder`, with the token sizes that lie beside them."""
        tokens = TokenShards.open(folder)
        count = min(WINDOWS, (tokens.num_tokens - 1) // context_length)
        starts = range(0, count * context_length, context_length)
        windows = np.stack([tokens.read(at, at + context_length + 1) for at in starts]).astype(np.int64)
        sizes = np.load(folder / TOKEN_BYTES_FILE, allow_pickle=False)
        return cls(torch.from_numpy(windows), torch.from_numpy(sizes.astype(np.int64)))

    def bits_per_byte(
        self, logits: Callable[[Tensor], Tensor], *, device: torch.device, all_windows: bool
    ) -> float:
        """Bits a byte of all windows, or of the curve's."""
        every = 1 if all_windows else max(1, len(self.windows_NT1) // CURVE_WINDOWS)
        nats, num_bytes = 0.0, 0
        for windows_BT1 in self.windows_NT1[::every].split(AT_ONCE):
            targets_N = windows_BT1[:, 1:].flatten()
            logits_NV = logits(windows_BT1[:, :-1].contiguous().to(device)).float().flatten(0, 1)
            nats_N = F.cross_entropy(logits_NV, targets_N.to(device), reduction="none").cpu().double()
            bytes_N = self.bytes_V[targets_N]
            nats += float(nats_N[bytes_N > 0].sum())
            num_bytes += int(bytes_N.sum())
        return nats / math.log(2) / num_bytes
