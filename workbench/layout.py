"""How the processes of one training share it: copies of the model, shards of each copy, slices of each matrix.

    8 processes, replicate = 2, tensor_parallel = 2:

        copy 0   [0 1] [2 3]        copy 1   [4 5] [6 7]
                  │ └ slices of every matrix: they read the same rows (Megatron, Shoeybi et al. 2019)
                  └── shards of the weights, gradients and moments (ZeRO-3, Rajbhandari et al. 2020)

Copies and shards read different rows of a batch; a slice reads what its neighbours read. Arithmetic: it knows
no torch, no process and no recipe.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import BadInput
from workbench.model_config import ModelConfig

ON_SEVERAL_DEVICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("muon", "adamw"),  # their state is numbers of the weights' own shapes: sharded as those are
    "weights_dtype": ("float32",),  # no copy is made of a model in shards
    "dtype": ("auto", "bfloat16", "float32"),
    "compile": ("never",),
    "average_last": (),
    "ema_decay": (),
}
"""Keys of a training that have values for one device alone, and the values for several."""
NVIDIA = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True, slots=True)
class Layout:
    """`replicate` copies of the model, each in `shard` shards, each matrix of the blocks in `tensor` slices."""

    replicate: int = 1
    shard: int = 1
    tensor: int = 1

    @property
    def ranks(self) -> int:
        """Processes in all, one per device."""
        return self.replicate * self.shard * self.tensor

    @property
    def data_ranks(self) -> int:
        """Into how many parts a batch is cut."""
        return self.replicate * self.shard

    def __str__(self) -> str:
        if self.ranks == 1:
            return "1"
        return f"{self.ranks} ({self.replicate} x {self.shard} x {self.tensor})"


@dataclass(frozen=True, slots=True)
class Seat:
    """Which of how many processes this is: of all, and of those on this machine."""

    rank: int = 0
    ranks: int = 1
    local_rank: int = 0
    local_ranks: int = 1

    @classmethod
    def here(cls) -> Seat:
        """As the environment says, in torchrun's words; one process alone where it says nothing."""
        rank, ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        return cls(
            rank,
            ranks,
            int(os.environ.get("LOCAL_RANK", rank)),
            int(os.environ.get("LOCAL_WORLD_SIZE", ranks)),
        )


def lay_out(ranks: int, *, tensor_parallel: int = 1, replicate: int = 1) -> Layout:
    """The layout of `ranks` processes: what slices and copies leave is sharded. Raises BadInput when it does not fit.

    One process is a layout of its own: the keys for several then say nothing.
    """
    if ranks < 1:
        raise BadInput(f"--nproc {ranks} is no number of processes", fix="give 1 or more")
    if ranks == 1:
        return Layout()
    if ranks % (tensor_parallel * replicate):
        keys = f"tensor_parallel = {tensor_parallel} x replicate = {replicate}"
        raise BadInput(
            f"{ranks} processes cannot be dealt out to {keys}", fix="change --nproc or one of the two keys"
        )
    return Layout(replicate, ranks // (tensor_parallel * replicate), tensor_parallel)


def part_of(count: int, part: int, parts: int) -> range:
    """The numbers below `count` that are part number `part` of `parts`: in order, none twice, about equally many."""
    return range(part * count // parts, (part + 1) * count // parts)


def check_slices(model: ModelConfig, layout: Layout) -> None:
    """Raise BadInput when the heads or the feed-forward of `model` cannot be cut into the layout's slices."""
    for key in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
        if getattr(model, key) % layout.tensor:
            raise BadInput(
                f"tensor_parallel = {layout.tensor} does not divide {key} = {getattr(model, key)}",
                fix="change one of them",
            )


def check_rows(rows: int, layout: Layout, *, what: str) -> None:
    """Raise BadInput when a step has fewer `rows` than there are processes to cut them over."""
    if rows < layout.data_ranks:
        raise BadInput(
            f"{layout.data_ranks} processes share a batch of {rows} {what}: some would have none",
            fix="lower --nproc, or make the batch larger",
        )


def check_value(key: str, value: object, layout: Layout) -> None:
    """Raise BadInput when `key`, if it is there, has a value for one device alone and there are several."""
    allowed = ON_SEVERAL_DEVICES[key]
    if layout.ranks > 1 and value is not None and value not in allowed:
        raise BadInput(
            f"{key} = {value!r} works on one device only",
            fix=f"{'choose ' + ' or '.join(allowed) if allowed else 'leave it out'}, or leave --nproc out",
        )


def check_devices(ranks: int) -> None:
    """Raise BadInput when there are GPUs in this machine, but fewer than processes."""
    gpus = count_gpus()
    if 0 < gpus < ranks:
        raise BadInput(
            f"--nproc {ranks} is more than the {gpus} GPU{'s' * (gpus > 1)} of this machine",
            fix=f"give at most {gpus}",
        )


def count_gpus() -> int:
    """The NVIDIA GPUs that this process may use, told without loading a driver; 0 where there is none."""
    if not NVIDIA.is_dir():
        return 0
    there = sum(1 for _ in NVIDIA.iterdir())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (
        there if visible is None else min(there, len([each for each in visible.split(",") if each.strip()]))
    )
