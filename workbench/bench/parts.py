"""Where the time of a step goes: data, forward, backward, optimizer, and what is left, of the real training loop.

The loop is not changed for it: what it is given is wrapped. The end of a backward pass is the last gradient that
arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from torch import nn

from workbench.bench.clocks import Clock, now

Item = TypeVar("Item")
PARTS = ("data", "forward", "backward", "optimizer", "other")


class PartClock:
    """Adds up seconds by part over the steps it sees."""

    def __init__(self, clock: Clock, device: Any) -> None:
        self._clock, self._device = clock, device
        self.forget()

    def forget(self) -> None:
        """Count from nothing, from now on."""
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._began = self._forward_ended = now(self._clock, self._device)
        self._gradients_arrived: float | None = None

    def data(self, items: Iterator[Item]) -> Iterator[Item]:
        """`items`, timed."""
        while True:
            began = now(self._clock, self._device)
            item = next(items)
            self.seconds["data"] += now(self._clock, self._device) - began
            yield item

    def forward(self, loss_fn: Callable[..., Item]) -> Callable[..., Item]:
        """`loss_fn`, timed."""

        def timed(*arguments: Any) -> Item:
            self._end_backward()
            began = now(self._clock, self._device)
            loss = loss_fn(*arguments)
            self._forward_ended = now(self._clock, self._device)
            self.seconds["forward"] += self._forward_ended - began
            return loss

        return timed

    def watch(self, model: nn.Module, optimizer: Any) -> None:
        """Hear when gradients arrive and when the optimizer works."""

        def arrived(_: Any) -> None:
            self._gradients_arrived = now(self._clock, self._device)

        for parameter in model.parameters():
            parameter.register_post_accumulate_grad_hook(arrived)
        step = optimizer.step

        def timed() -> None:
            self._end_backward()
            began = now(self._clock, self._device)
            step()
            self.seconds["optimizer"] += now(self._clock, self._device) - began

        optimizer.step = timed

    def _end_backward(self) -> None:
        if self._gradients_arrived is not None:
            self.seconds["backward"] += self._gradients_arrived - self._forward_ended
            self._gradients_arrived = None

    def step_ended(self) -> None:
        """What no part took of the time since the last step is `other`."""
        ended = now(self._clock, self._device)
        known = sum(self.seconds[part] for part in PARTS if part != "other")
        self.seconds["other"] = ended - self._began - known

    def shares(self) -> dict[str, float]:
        """The share of each part in all the time."""
        total = sum(self.seconds.values())
        return {part: seconds / total for part, seconds in self.seconds.items()}
