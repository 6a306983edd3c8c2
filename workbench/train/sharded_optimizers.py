"""The optimizers over shards: AdamW moves what a rank holds; Muon brings its matrices together first.

AdamW works number by number, so shards need nothing of each other. Orthogonalising mixes a whole matrix: the
matrices of a stack are gathered, dealt out over the ranks, and each rank's results are handed to all. What one
process alone would do comes out, up to rounding. Imported only where there are several processes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate, Shard

from workbench.errors import Damaged
from workbench.train.optimizers import Muon, Optimizers, Part, orthogonalise
from workbench.train.parameter_groups import OptimizerSettings


def held(tensor: Tensor) -> Tensor:
    """The part of `tensor` that this rank holds, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """The tensor of which every rank of its mesh holds a part; all of them must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def cut(full: Tensor, *, like: Tensor) -> Tensor:
    """The part of `full` that this rank holds when it is placed as `like` is. Asks nobody."""
    if not isinstance(like, DTensor):
        return full
    everywhere = [Replicate()] * like.device_mesh.ndim
    placed = DTensor.from_local(full.to(like.device), like.device_mesh, everywhere, run_check=False)
    return placed.redistribute(placements=like.placements).to_local()


def placed_like(part: Tensor, like: Tensor) -> Tensor:
    """What this rank holds of a tensor that is placed as `like` is, as that tensor."""
    if not isinstance(like, DTensor) or part.ndim == 0:  # a count of steps is everybody's
        return part
    return DTensor.from_local(
        part, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Held:
    """The parts a rank holds of a model's parameters, by the names of the whole ones."""

    parameters: Mapping[str, nn.Parameter]

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        yield from self.parameters.items()


class WholeState(Optimizers):
    """An optimizer's state in whole tensors, to be written into a checkpoint."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._tensors = tensors

    def state_tensors(self) -> dict[str, Tensor]:
        return self._tensors


class ShardedOptimizers(Optimizers):
    """`Optimizers` over what this rank holds of every parameter."""

    def __init__(
        self,
        model: nn.Module,
        settings: OptimizerSettings,
        *,
        rate_factors: Mapping[str, float] | None = None,
    ) -> None:
        self._placed = {name: p for name, p in model.named_parameters() if p.requires_grad}
        parts = _Held({name: nn.Parameter(held(p.detach())) for name, p in self._placed.items()})
        super().__init__(parts, settings, rate_factors=rate_factors)  # type: ignore[arg-type]

    def _make_muon(
        self, matrices: Mapping[str, nn.Parameter], settings: OptimizerSettings, factors: Mapping[str, float]
    ) -> Part:
        return ShardedMuon(matrices, settings, factors, placed=self._placed)

    def step(self) -> None:
        for name, part in self._parameters.items():
            gradient = self._placed[name].grad
            part.grad = None if gradient is None else held(gradient)
        super().step()

    def zero_grad(self) -> None:
        super().zero_grad()
        for parameter in self._placed.values():
            parameter.grad = None

    def placed_state(self) -> dict[str, Tensor]:
        """`state_tensors`, each as the tensor that this rank holds a part of."""
        return {key: placed_like(part, self._parameter_of(key)) for key, part in self.state_tensors().items()}

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state_tensors` of one process, or of any number of them, gave in whole tensors."""
        parts = dict(tensors)
        for key, mine in self.placed_state().items():
            if key in tensors:
                if tensors[key].shape != mine.shape:
                    shapes = f"{list(tensors[key].shape)}, the model {list(mine.shape)}"
                    raise Damaged(f"the optimizer state {key} has shape {shapes}")
                parts[key] = cut(tensors[key], like=mine)
        super().load_state_tensors(parts)

    def _parameter_of(self, key: str) -> Tensor:
        """The parameter that `adamw.PARAMETER.exp_avg` or the like belongs to."""
        return self._placed[key.split(".", 1)[1].rpartition(".")[0]]


class ShardedMuon(Muon):
    """`Muon` over what this rank holds of every matrix."""

    def __init__(
        self,
        matrices: Mapping[str, nn.Parameter],
        settings: OptimizerSettings,
        rate_factors: Mapping[str, float],
        *,
        placed: Mapping[str, Tensor],
    ) -> None:
        self._placed = placed
        super().__init__(matrices, settings, rate_factors)

    def _kind(self, name: str, matrix: Tensor) -> Hashable:
        like = self._placed[name]
        assert isinstance(like, DTensor)
        return like.shape, like.placements

    def _whole_shape(self, names: Sequence[str]) -> torch.Size:
        return self._placed[names[0]].shape

    def _orthogonalised(self, parts_NRC: Tensor, names: Sequence[str]) -> Tensor:
        like = self._placed[names[0]]
        assert isinstance(like, DTensor)
        placements = [Shard(p.dim + 1) if isinstance(p, Shard) else p for p in like.placements]
        size = torch.Size((len(names), *like.shape))
        stack = DTensor.from_local(
            parts_NRC,
            like.device_mesh,
            placements,
            run_check=False,
            shape=size,
            stride=torch.empty(size, device="meta").stride(),
        )
        # Every rank orthogonalises some of the matrices. Block matrices lie on all ranks, however they are placed.
        full_NRC = stack.full_tensor()
        each = -(-len(names) // dist.get_world_size())
        first = min(dist.get_rank() * each, len(names))
        mine_NRC = full_NRC.new_zeros((each, *like.shape))
        if len(some_NRC := full_NRC[first : first + each]):
            mine_NRC[: len(some_NRC)] = orthogonalise(some_NRC, dtype=self._settings.matmul_dtype)
        parts = [torch.empty_like(mine_NRC) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, mine_NRC)
        return cut(torch.cat(parts)[: len(names)], like=stack)
