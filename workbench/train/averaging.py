"""The mean of many weights instead of the last: an average over steps has less of the noise that each batch leaves.

    exponential    average += (weights - average) (1 - decay_t)       from the first step on
    of the tail    average += (weights - average) / n                 of the n steps since it began

A decaying rate does the same while training goes on; at a constant rate an average stands in for the decay (Izmailov et
al. 2018 of the tail; Sanyal et al. 2023 and Hägele et al. 2024 for language models). Nothing but the average itself has
to be remembered: how many steps are in it follows from the step. Knows no files and no schedule.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class WeightAverage:
    """An average of the parameters of `model`, in their own type and place; `update` after every step.

    decay: of the exponential average. first_step: of the tail instead, the step after which it begins.
    """

    def __init__(self, model: nn.Module, *, decay: float | None = None, first_step: int = 0) -> None:
        self.first_step = first_step
        self._decay = decay
        self._model = model
        self._averages = [parameter.detach().clone() for parameter in model.parameters()]

    def holds(self, step: int) -> bool:
        """Whether the average after `step` steps is of any weights yet."""
        return step > self.first_step

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` steps."""
        if self.holds(step):
            torch._foreach_lerp_(self._averages, self._weights(), self._share_of_newest(step))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """For the block the model has the average for its weights; nothing is copied."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def begin_at_weights(self) -> None:
        """Forget what was averaged: the average is what the weights are."""
        torch._foreach_copy_(self._averages, self._weights())

    def _share_of_newest(self, step: int) -> float:
        """How far the average moves to the newest weights. At first all the way: what it began with was no average."""
        taken_in = step - self.first_step
        if self._decay is None:
            return 1 / taken_in
        # A young average over 1 / (1 - decay) steps would be of the random weights it began with.
        return 1 - min(self._decay, (taken_in - 1) / (taken_in + 9))

    def _weights(self) -> list[Tensor]:
        return [parameter.detach() for parameter in self._model.parameters()]

    def _swap(self) -> None:
        for place, parameter in enumerate(self._model.parameters()):
            parameter.data, self._averages[place] = self._averages[place], parameter.data
