"""The mean of many weights instead of the last: an average over steps has less of the noise that each batch leaves.

    exponential    average += (weights - average) (1 - decay_t)       from the first step on
    of the tail    average += (weights - average) / n                 of the n steps since it began

A decaying rate does the same while training goes on; at a constant rate an average stands in for the decay (Izmailov et
al. 2018 of the tail; Sanyal et al. 2023 and Hägele et al. 2024 for language models). Nothing but the average itself has
to be remembered: how many steps are in it follows from the step. Where several processes share the training, each
averages what it holds. Knows no files and no schedule.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from workbench.train.ranks import ALONE, Ranks


class WeightAverage:
    """An average of the parameters of `model`, in their own type and place; `update` after every step.

    decay: of the exponential average. first_step: of the tail instead, the step after which it begins.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        decay: float | None = None,
        first_step: int = 0,
        ranks: Ranks = ALONE,
        averages: list[Tensor] | None = None,
    ) -> None:
        """averages: to begin with, of the parameters in order; None: the weights as they are."""
        self.first_step = first_step
        self._decay = decay
        self._model = model
        self._ranks = ranks
        ranks.settle(model)
        self._averages = averages or [parameter.detach().clone() for parameter in model.parameters()]

    def holds(self, step: int) -> bool:
        """Whether the average after `step` steps is of any weights yet."""
        return step > self.first_step

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` steps."""
        if self.holds(step):
            torch._foreach_lerp_(self._held_averages(), self._weights(), self._share_of_newest(step))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """For the block the model has the average for its weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def named(self) -> dict[str, Tensor]:
        """The average of every parameter, by the parameter's name."""
        names = [name for name, _ in self._model.named_parameters()]
        return dict(zip(names, self._averages, strict=True))

    @torch.no_grad()
    def begin_at_weights(self) -> None:
        """Forget what was averaged: the average is what the weights are."""
        torch._foreach_copy_(self._held_averages(), self._weights())

    @torch.no_grad()
    def whole(self, model: nn.Module) -> WeightAverage:
        """The same average of whole tensors, for a `model` that has the whole weights; all ranks must ask.

        Only the first may look at it.
        """
        averages = []
        for average in self._averages:
            together = self._ranks.whole(average)
            averages.append(together.to("cpu" if self._ranks.is_first else "meta", copy=True))
        return WeightAverage(model, decay=self._decay, first_step=self.first_step, averages=averages)

    def _share_of_newest(self, step: int) -> float:
        """How far the average moves to the newest weights. At first all the way: what it began with was no average."""
        taken_in = step - self.first_step
        if self._decay is None:
            return 1 / taken_in
        # A young average over 1 / (1 - decay) steps would be of the random weights it began with.
        return 1 - min(self._decay, (taken_in - 1) / (taken_in + 9))

    def _weights(self) -> list[Tensor]:
        """The parts of the weights that this rank holds, to be read and written."""
        self._ranks.settle(self._model)
        return self._ranks.held(parameter.detach() for parameter in self._model.parameters())

    def _held_averages(self) -> list[Tensor]:
        return self._ranks.held(self._averages)

    @torch.no_grad()
    def _swap(self) -> None:
        """Values change places, not tensors: an engine that shards weights keeps hold of theirs."""
        for weight, average in zip(self._weights(), self._held_averages(), strict=True):
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)
