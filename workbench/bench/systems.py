"""What every trainable thing under test looks like, and the plain training loop around other people's models.

    for seconds in system.steps(tokens, progress): ...     one optimizer step each, as long as somebody asks

Shapes: B rows, T positions, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from workbench.bench.workload import Workload
from workbench.data.shards import TokenShards

Progress = Callable[[], float]
"""The share of the time allowed that has passed, 0 to 1: what schedules follow, as steps are not known before."""


class System(Protocol):
    """A model with its optimizer and schedule."""

    parameters: int
    flops_per_token: float

    def restart(self) -> None:
        """Back to the first weights and a fresh optimizer; what was compiled stays."""

    def steps(self, tokens: TokenShards, progress: Progress) -> Generator[int, None, None]:
        """Take one optimizer step after another; yields the number of tokens learned from."""

    def logits(self, ids_BT: Tensor) -> Tensor:
        """logits_BTV, without gradient, in the arithmetic of training."""


@dataclasses.dataclass
class Peer:
    """Somebody else's model in the plain loop of its authors: random windows, mean loss, clip, step.

    loss: (model, ids_BT, targets_BT) -> mean loss. set_rates: (optimizer, step, progress) sets what moves with time.
    max_grad_norm: 0 does not clip. autocast: none for a model that casts by itself.
    """

    workload: Workload
    model: nn.Module
    make_optimizer: Callable[[], torch.optim.Optimizer]
    loss: Callable[[Any, Tensor, Tensor], Tensor]
    raw_logits: Callable[[Any, Tensor], Tensor]
    set_rates: Callable[[torch.optim.Optimizer, int, float], None]
    max_grad_norm: float = 1.0
    autocast: bool = True

    def __post_init__(self) -> None:
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.flops_per_token = flops_per_token(self.model, self.workload)
        self._first = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self._run: Any = torch.compile(self.model) if self.workload.compiled else self.model
        self.optimizer = self.make_optimizer()

    def restart(self) -> None:
        """Back to the first weights and a fresh optimizer."""
        self.model.load_state_dict(self._first)
        self.optimizer = self.make_optimizer()

    def steps(self, tokens: TokenShards, progress: Progress) -> Generator[int, None, None]:
        """The loop of nanoGPT's train.py, without its extras."""
        self.model.train()
        windows = random_windows(tokens, self.workload)
        for step in itertools.count():
            ids_BT, targets_BT = (part.to(self.workload.device) for part in next(windows))
            self.set_rates(self.optimizer, step, progress())
            with self._arithmetic():
                loss = self.loss(self._run, ids_BT, targets_BT)
            loss.backward()
            if self.max_grad_norm:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            loss.item()  # every loop of theirs reads it for its log
            yield ids_BT.numel()

    @torch.no_grad()
    def logits(self, ids_BT: Tensor) -> Tensor:
        """logits_BTV, uncompiled: a compiled model would be compiled again for it."""
        self.model.eval()
        with self._arithmetic():
            logits_BTV = self.raw_logits(self.model, ids_BT)
        self.model.train()
        return logits_BTV

    def _arithmetic(self) -> torch.autocast:
        enabled = self.autocast and self.workload.dtype == "bfloat16"
        return torch.autocast(self.workload.device.type, dtype=torch.bfloat16, enabled=enabled)


def random_windows(tokens: TokenShards, workload: Workload) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of rows from anywhere in the stream, and the same a token later (nanoGPT's `get_batch`)."""
    length = workload.context_length
    anywhere = np.random.default_rng(workload.seed)
    while True:
        starts = anywhere.integers(0, tokens.num_tokens - length, size=workload.rows)
        windows = np.stack([tokens.read(at, at + length + 1) for at in starts.tolist()]).astype(np.int64)
        yield torch.from_numpy(windows[:, :-1].copy()), torch.from_numpy(windows[:, 1:].copy())


def flops_per_token(model: nn.Module, workload: Workload) -> float:
    """6 N + 6 L D T (PaLM, appendix B, causal), with N the weights of the linear layers, the head among them."""
    matrices = sum(each.weight.numel() for each in model.modules() if isinstance(each, nn.Linear))
    attention = workload.num_hidden_layers * workload.hidden_size * workload.context_length
    return 6.0 * matrices + 6.0 * attention
