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

ON_ONE_DEVICE: dict[str, tuple[str, str]] = {
    "optimizer": ("adamw8bit", "its moments are quantised in blocks that shards would cut through"),
    "dtype": ("float8", "its products were never tried on weights in shards"),
}
"""Keys of a training that have a value for one device alone, that value, and why."""
BY_DEEPSPEED: dict[str, tuple[object, ...]] = {
    "optimizer": ("adamw",),
    "weights_dtype": ("float32",),
    "compile": ("auto", "never"),  # and auto is never there
    "activation_checkpointing": ("none",),
    "average_last": (None,),
    "ema_decay": (None,),
    "tensor_parallel": (1,),
    "replicate": (1,),
}
"""What a training by DeepSpeed's engine is: the values that each of these keys has there."""
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


ONE_DEVICE = Layout()


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


def local_processes(ranks: int) -> int:
    """How many of so many processes run on this machine: all, unless torchrun says otherwise."""
    seat = Seat.here()
    return min(ranks, seat.local_ranks) if seat.ranks > 1 else ranks


def lay_out(ranks: int, *, tensor_parallel: int = 1, replicate: int = 1) -> Layout:
    """The layout of `ranks` processes: what slices and copies leave is sharded. Raises BadInput when it does not fit.

    One process is a layout of its own: the keys for several then say nothing.
    """
    if ranks < 1:
        raise BadInput(f"--nproc {ranks} is no number of processes", fix="give 1 or more")
    if ranks == 1:
        return ONE_DEVICE
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
    """Raise BadInput when `key` has a value for one device alone and there are several."""
    on_one, why = ON_ONE_DEVICE[key]
    if layout.ranks > 1 and value == on_one:
        raise BadInput(
            f"{key} = {value!r} works on one device only: {why}", fix="choose another, or leave --nproc out"
        )


def check_engine(settings: object, layout: Layout) -> None:
    """Raise BadInput when `settings` ask DeepSpeed's engine, for several devices, for what only PyTorch's does."""
    if layout.ranks == 1 or getattr(settings, "engine", "fsdp") != "deepspeed":
        return
    for key, allowed in BY_DEEPSPEED.items():
        value = getattr(settings, key, allowed[0])
        if value not in allowed:
            instead = "leave it out" if allowed == (None,) else f"choose {allowed[0]!r}"
            raise BadInput(
                f'engine = "deepspeed" has no {key} = {value!r}', fix=f'{instead}, or take engine = "fsdp"'
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
