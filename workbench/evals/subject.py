"""The model being measured, its tokenizer, and how much of it runs at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from workbench.evals.likelihood import Passage, token_log_likelihoods
from workbench.model.folder import load_model
from workbench.model.transformer import Decoder
from workbench.tokenizer import Tokenizer
from workbench.train.device import prepare_machine


@dataclass(frozen=True, slots=True)
class Subject:
    """Who sits the exam. `batch_size` and `batch_tokens` bound memory and change no score.

    `context_length` is the longest window the model reads (at most what it was trained for); `chats` whether
    it has learned the chat format; `dtype` that of the matrix products, None leaving the weights' own.
    """

    model: Decoder
    tokenizer: Tokenizer
    context_length: int
    chats: bool = True
    batch_size: int | None = None
    batch_tokens: int | None = None
    dtype: torch.dtype | None = None

    def log_likelihoods(self, passages: Sequence[Passage]) -> NDArray[np.float64]:
        """ln p of the scored tokens of each passage, summed: one figure per passage."""
        scores = token_log_likelihoods(
            self.model,
            passages,
            context_length=self.context_length,
            batch_tokens=self.batch_tokens,
            batch_size=self.batch_size,
            dtype=self.dtype,
        )
        return np.array([part.sum() for part in scores])


def load_subject(
    folder: Path, *, context_length: int | None = None, chats: bool = True, batch_size: int | None = None
) -> Subject:
    """The model in `folder` on the device at hand, ready to be measured. Raises what loading raises.

    Arithmetic is chosen so that no batch size changes a score. CPUs that are fast at bfloat16 compute each row
    of a product by itself: the same bits in any company, 1.8 times as fast as float32, and 1e-4 nats a token
    beside it. GPUs choose their kernels by shape, where float32 keeps the difference below notice.
    """
    machine = prepare_machine()
    model = load_model(folder, device=machine.device)
    longest = model.config.max_position_embeddings
    return Subject(
        model,
        Tokenizer.load(folder),
        context_length=min(context_length or longest, longest),
        chats=chats,
        batch_size=batch_size,
        dtype=machine.autocast if machine.device.type == "cpu" else None,
    )
