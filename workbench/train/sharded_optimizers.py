"""The optimizers over shards: AdamW moves what a rank holds; Muon brings its matrices together first.

AdamW works number by number, so shards need nothing of each other. Orthogonalising mixes a whole matrix: the
matrices of a stack are gathered, dealt out over the ranks, and each rank's results are handed to all. Adafactor's sums
of rows and columns are added up over the ranks (sharded_adafactor.py). What one process alone would do comes out, up to
rounding. Imported only where there are several processes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Shard

from workbench.errors import Damaged
from workbench.layout import check_moment_blocks
from workbench.model.stored_weights import Sliceable
from workbench.step_memory import MATRICES_TOGETHER_BYTES
from workbench.train.adaptive import adamw8bit
from workbench.train.optimizers import Muon, Optimizers, Part, orthogonalise
from workbench.train.parameter_groups import OptimizerSettings, ParameterGroup
from workbench.train.sharded_adafactor import SUMMED, ShardedAdafactor
from workbench.train.shards import (
    Block,
    block_of,
    cut,
    held,
    placed_block_scales,
    placed_like,
    shards_of,
    stride_of,
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

    def _make_adaptive(self, groups: Sequence[ParameterGroup], settings: OptimizerSettings) -> Part:
        if settings.optimizer == "adafactor":
            return ShardedAdafactor(groups, settings, placed=self._placed)
        if settings.optimizer == "adamw8bit":
            for parameter in self._placed.values():
                check_moment_blocks(parameter.shape, shards_of(parameter))
            return adamw8bit(groups, settings, shapes={name: p.shape for name, p in self._placed.items()})
        return super()._make_adaptive(groups, settings)

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
        """`state_tensors`, each as the tensor that this rank holds a part of; scales of blocks as matrices."""
        return {key: self._placed_state_tensor(key, part) for key, part in self.state_tensors().items()}

    def _placed_state_tensor(self, key: str, part: Tensor) -> Tensor:
        name, quantity = _owner(key)
        if _is_scale(key):
            return placed_block_scales(part, self._placed[name])
        return placed_like(part, self._placed[name], summed=SUMMED.get(quantity))

    def blocks(self) -> dict[str, Block]:
        """`state_tensors`, each with where it lies in the tensor that one process alone would keep."""
        found = {key: block_of(placed) for key, placed in self.placed_state().items()}
        return {key: block.flattened() if _is_scale(key) else block for key, block in found.items()}

    def load_state_tensors(self, tensors: Mapping[str, Sliceable]) -> None:
        """Put back what `state_tensors` of one process, or of any number of them, gave as whole tensors.

        Of each this rank's block alone is read.
        """
        parts = dict(tensors)
        for key, mine in self.blocks().items():
            if key in tensors:
                if tensors[key].shape != mine.shape:
                    shapes = f"{list(tensors[key].shape)}, the model {list(mine.shape)}"
                    raise Damaged(f"the optimizer state {key} has shape {shapes}")
                parts[key] = _BlockOf(tensors[key], mine)
        super().load_state_tensors(parts)


class _BlockOf:
    """A block of a tensor as a tensor that is read when it is asked for."""

    def __init__(self, whole: Sliceable, block: Block) -> None:
        self._whole, self._index = whole, block.index
        self.shape, self.dtype = block.part.shape, whole.dtype

    def __getitem__(self, index: tuple[slice, ...]) -> Tensor:
        assert index == (), "it is taken whole"
        return self._whole[self._index]


def as_alone(key: str, whole: Tensor) -> Tensor:
    """A tensor of `placed_state` in the shape that one process alone keeps it in."""
    return whole.flatten() if _is_scale(key) else whole


def _is_scale(key: str) -> bool:
    return key.endswith(".scale")


def _owner(key: str) -> tuple[str, str]:
    """PARAMETER and quantity of `adamw.PARAMETER.exp_avg`, or of `adamw8bit.PARAMETER.exp_avg.codes`."""
    name, _, quantity = key.split(".", 1)[1].removesuffix(".codes").removesuffix(".scale").rpartition(".")
    return name, quantity


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
        ranks = dist.get_world_size()
        whole_bytes = like.numel() * parts_NRC.element_size()
        at_once = max(1, MATRICES_TOGETHER_BYTES // whole_bytes // ranks) * ranks
        return torch.cat([self._orthogonalised_together(some, like) for some in parts_NRC.split(at_once)])

    def _orthogonalised_together(self, parts_NRC: Tensor, like: Tensor) -> Tensor:
        """Every rank orthogonalises some of the matrices. Those of blocks lie on all ranks, however they are placed."""
        assert isinstance(like, DTensor)
        placements = [Shard(p.dim + 1) if isinstance(p, Shard) else p for p in like.placements]
        size = torch.Size((len(parts_NRC), *like.shape))
        stack = DTensor.from_local(
            parts_NRC, like.device_mesh, placements, run_check=False, shape=size, stride=stride_of(size)
        )
        full_NRC = stack.full_tensor()
        each = -(-len(full_NRC) // dist.get_world_size())
        first = min(dist.get_rank() * each, len(full_NRC))
        mine_NRC = full_NRC.new_zeros((each, *like.shape))
        if len(some_NRC := full_NRC[first : first + each]):
            mine_NRC[: len(some_NRC)] = orthogonalise(some_NRC, dtype=self._settings.matmul_dtype)
        parts = [torch.empty_like(mine_NRC) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, mine_NRC)
        return cut(torch.cat(parts)[: len(full_NRC)], like=stack)
