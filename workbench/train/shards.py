"""Tensors that lie on several ranks in parts: the part, the whole, and where a part belongs.

The engine's `DTensor` says how a tensor is placed on the mesh of ranks; a plain one is everybody's own. Imported only
where there are several processes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from workbench.layout import MOMENT_BLOCK


@dataclass(frozen=True, slots=True)
class Block:
    """What a rank holds of a tensor: `part`, which begins at row, column… `start` of a whole of that `shape`."""

    part: Tensor
    shape: torch.Size
    start: tuple[int, ...]

    @property
    def index(self) -> tuple[slice, ...]:
        """Where it lies in the whole."""
        ends = (first + size for first, size in zip(self.start, self.part.shape, strict=True))
        return tuple(slice(first, end) for first, end in zip(self.start, ends, strict=True))

    def flattened(self) -> Block:
        """Of a block of whole rows of a matrix, the same of the matrix as a vector."""
        rows, columns = self.shape
        assert self.part.shape[1] == columns
        return Block(self.part.flatten(), torch.Size((rows * columns,)), (self.start[0] * columns,))


def block_of(tensor: Tensor) -> Block:
    """What this rank holds of `tensor`, and where it lies in it; of a plain one that is all."""
    part = held(tensor)
    if not isinstance(tensor, DTensor):
        return Block(part, part.shape, (0,) * part.ndim)
    shape, start = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
    assert tuple(part.shape) == tuple(shape), "a block as the engine cuts it"
    return Block(part, tensor.shape, tuple(start))


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


def placed_like(part: Tensor, like: Tensor, *, summed: int | None = None) -> Tensor:
    """What this rank holds of a tensor that is placed as `like` is, as that tensor.

    summed: the dimension of `like`, from its end, that the tensor was summed over and has but one of.
    """
    if not isinstance(like, DTensor) or part.ndim == 0:  # a count of steps is everybody's
        return part
    size, placements = list(like.shape), list(like.placements)
    if summed is not None:
        size[summed] = 1
        placements = [Replicate() if p.is_shard(like.ndim + summed) else p for p in placements]
    return DTensor.from_local(
        part, like.device_mesh, placements, run_check=False, shape=torch.Size(size), stride=stride_of(size)
    )


def placed_block_scales(part: Tensor, like: Tensor) -> Tensor:
    """What this rank holds of one scale for every block of `like`, as a matrix, placed as that is.

    A row of it is of as few rows of `like` as make whole blocks: so it is cut where `like` is, however unevenly, and
    flattened it has the order of the blocks.
    """
    if not isinstance(like, DTensor):
        return part
    row = math.prod(like.shape[1:])
    rows_together = MOMENT_BLOCK // math.gcd(row, MOMENT_BLOCK)
    size = torch.Size((like.shape[0] // rows_together, rows_together * row // MOMENT_BLOCK))
    return DTensor.from_local(
        part.view(-1, size[1]),
        like.device_mesh,
        like.placements,
        run_check=False,
        shape=size,
        stride=stride_of(size),
    )


def shards_of(tensor: Tensor) -> int:
    """Into how many parts this tensor is cut."""
    assert isinstance(tensor, DTensor)
    shards = 1
    for size, placement in zip(tensor.device_mesh.shape, tensor.placements, strict=True):
        # A vector that is sliced and sharded is strided to the engine, which is no shard in its words.
        shards *= 1 if placement.is_replicate() else size
    return shards


def holders(tensor: Tensor) -> int:
    """How many ranks hold the same numbers of this tensor."""
    return dist.get_world_size() // shards_of(tensor)


def stride_of(size: Sequence[int]) -> tuple[int, ...]:
    """Of a plain tensor of that shape."""
    return torch.empty(tuple(size), device="meta").stride()
