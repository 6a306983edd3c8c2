"""Adafactor over shards: sums of rows and of columns are added up over the ranks that hold the rest of them.

The same arithmetic as `adaptive.adafactor`, which is torch's, on what a rank holds. A matrix takes a few hundred or
thousand numbers from the others, never itself. Imported only where there are several processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from workbench.train.parameter_groups import OptimizerSettings, ParameterGroup
from workbench.train.shards import holders

SUMMED = {"row_var": -1, "col_var": -2}
"""The dimension that a state tensor was summed over, by its name."""
FORGETTING = -0.8  # the share of the new in the second moment is step ** FORGETTING
LEAST = torch.finfo(torch.float32).eps
LEAST_SIZE = 1e-3
"""Of a parameter's root mean square, which its rate is a share of."""
LARGEST_UPDATE = 1.0
"""Root mean square above which an update is scaled down."""


class ShardedAdafactor:
    """`adafactor` over what this rank holds of every parameter."""

    def __init__(
        self,
        groups: Sequence[ParameterGroup],
        settings: OptimizerSettings,
        *,
        placed: Mapping[str, Tensor],
    ) -> None:
        """groups: of the parts. placed: by name, the tensors that they are parts of."""
        self.implementation = "adafactor"
        self._peak_rate = settings.learning_rate
        self._factor = 1.0
        self._groups = {name: group for group in groups for name in group.parameters}
        self._parts: dict[str, nn.Parameter] = {
            name: part for group in groups for name, part in group.parameters.items()
        }
        self._placed = placed
        self._state: dict[str, dict[str, Tensor]] = {}
        for name, part in self._parts.items():
            state = {"step": torch.zeros(())}
            if part.ndim > 1:
                state |= {
                    quantity: torch.zeros_like(part.detach().sum(dim, keepdim=True))
                    for quantity, dim in SUMMED.items()
                }
            else:
                state["variance"] = torch.zeros_like(part)
            self._state[name] = state

    def set_learning_rate(self, factor: float) -> None:
        """Use `factor` times the peak rate, in every group, from the next step on."""
        self._factor = factor

    def state_tensors(self) -> dict[str, Tensor]:
        """The live tensors, as `adafactor.PARAMETER.row_var`, of this rank's rows."""
        return {
            f"adafactor.{name}.{quantity}": tensor
            for name, state in self._state.items()
            for quantity, tensor in state.items()
        }

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient. All ranks must have gradients of the same ones."""
        parts = {name: part for name, part in self._parts.items() if part.grad is not None}
        sizes = self._root_mean_squares(parts)
        updates: dict[str, Tensor] = {}
        for name, part in parts.items():
            assert part.grad is not None
            self._state[name]["step"] += 1
            # The gradient is not needed any more: the update takes its place.
            updates[name] = part.grad.mul_(self._inverse_root(name, part.grad))
        roots = self._root_mean_squares(updates)
        for name, part in parts.items():
            rate = self._factor * self._peak_rate * self._groups[name].rate_factor
            step = float(self._state[name]["step"])
            distance = max(LEAST_SIZE, sizes[name]) * min(rate, step**-0.5)
            if decay := self._groups[name].weight_decay:
                part.mul_(1 - rate * decay)
            part.add_(updates[name], alpha=-distance / max(1.0, roots[name] / LARGEST_UPDATE))

    def _inverse_root(self, name: str, gradient: Tensor) -> Tensor:
        """1 / sqrt of the second moment, with this gradient taken in, of this rank's numbers."""
        state, like = self._state[name], self._placed[name]
        share = float(state["step"]) ** FORGETTING
        if gradient.ndim == 1:
            moment = state["variance"].lerp_(gradient.square(), share)
            return moment.clamp(min=LEAST**2).rsqrt_()
        squares = gradient.square()
        for quantity, dim in SUMMED.items():
            mean = self._summed(squares.sum(dim, keepdim=True), name, dim) / like.shape[dim]
            state[quantity].lerp_(mean, share)
        rows = state["row_var"]
        mean_row = self._summed(rows.sum(-2, keepdim=True), name, -2) / like.shape[-2]
        moment = rows @ state["col_var"] / mean_row.clamp_(min=LEAST)
        return moment.clamp_(min=LEAST**2).rsqrt_()

    def _summed(self, part: Tensor, name: str, dim: int) -> Tensor:
        """Sums over what a rank holds of a dimension of that parameter, summed over all of it."""
        like = self._placed[name]
        assert isinstance(like, DTensor)
        for axis, placement in enumerate(like.placements):
            if placement.is_shard(like.ndim + dim):
                dist.all_reduce(part, group=like.device_mesh.get_group(axis))
        return part

    def _root_mean_squares(self, parts: Mapping[str, Tensor]) -> dict[str, float]:
        """Of the whole tensors that these are parts of; one message for all."""
        norms = torch.stack(torch._foreach_norm(list(parts.values()))).double().cpu()
        summed = norms**2 / torch.tensor([holders(self._placed[name]) for name in parts])
        dist.all_reduce(summed)
        return {
            name: (square / self._placed[name].numel()) ** 0.5
            for name, square in zip(parts, summed.tolist(), strict=True)
        }
