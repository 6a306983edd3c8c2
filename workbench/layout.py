"""How the processes of one training share it: copies of the model, shards of each copy, slices of each matrix.

    8 processes, replicate = 2, tensor_parallel = 2:

        copy 0   [0 1] [2 3]        copy 1   [4 5] [6 7]
                  │ └ slices of every matrix: they read the same rows (Megatron, Shoeybi et al. 2019)
                  └── shards of the weights, gradients and moments (ZeRO-3, Rajbhandari et al. 2020)

Copies and shards read different rows of a batch; a slice reads what its neighbours read. Arithmetic: it knows
no torch, no process and no recipe.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import BadInput
from workbench.model_config import VALUE_GATE_INPUTS, ModelConfig

IN_WHOLE_MATRICES: dict[str, tuple[str, str]] = {
    "optimizer": ("adamw8bit", "its moments share scales in blocks that slices would cut"),
    "dtype": ("float8", "its scales are of whole matrices"),
}
"""Keys of a training that have a value for matrices that are not sliced, that value, and why."""
MOMENT_BLOCK = 256
"""Numbers in a row of a tensor whose 8-bit moments share a scale (torchao)."""
LEAST_QUANTISED = 4096
"""Numbers of the smallest tensor whose moments are of 8 bits (torchao, after bitsandbytes)."""
BY_DEEPSPEED: dict[str, tuple[object, ...]] = {
    "optimizer": ("adamw",),
    "dtype": ("auto", "bfloat16", "float32"),
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


def why_no_graphs(*, on_gpu: bool, devices: int, checkpointed: bool) -> str:
    """What keeps the layers of a training from being replayed as CUDA graphs; empty where nothing does.

    What is gathered or computed again in mid-pass is not recorded here.
    """
    if not on_gpu:
        return "they need a GPU"
    if devices > 1:
        return "they are for one device"
    return "they are not for checkpointed layers" if checkpointed else ""


def no_graphs(why_not: str) -> BadInput:
    """The refusal of a recipe that insists on them."""
    return BadInput(f'compile = "graphs" cannot be here: {why_not}', fix='write "always", or leave it out')


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
    """Raise BadInput when the heads or the feed-forward of `model` cannot be cut into the layout's slices.

    Nor can slices along rows be sharded but along columns, and these the engine cuts evenly only.
    """
    for key in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
        if getattr(model, key) % layout.tensor:
            raise BadInput(
                f"tensor_parallel = {layout.tensor} does not divide {key} = {getattr(model, key)}",
                fix="change one of them",
            )
    columns = {"hidden_size": model.hidden_size}
    if model.value_embeddings:
        columns["what a gate of value_embeddings reads"] = min(VALUE_GATE_INPUTS, model.hidden_size)
    for what, count in columns.items():
        if layout.tensor > 1 and count % layout.shard:
            raise BadInput(
                f"{layout.shard} shards of slices do not divide {what} = {count}",
                fix="change --nproc, or leave tensor_parallel at 1",
            )


def check_rows(rows: int, layout: Layout, *, what: str) -> None:
    """Raise BadInput when a step has fewer `rows` than there are processes to cut them over."""
    if rows < layout.data_ranks:
        raise BadInput(
            f"{layout.data_ranks} processes share a batch of {rows} {what}: some would have none",
            fix="lower --nproc, or make the batch larger",
        )


def check_value(key: str, value: object, layout: Layout) -> None:
    """Raise BadInput when `key` has a value for whole matrices alone and they are sliced."""
    whole_only, why = IN_WHOLE_MATRICES[key]
    if layout.tensor > 1 and value == whole_only:
        raise BadInput(
            f"{key} = {value!r} does not go with tensor_parallel: {why}",
            fix="choose another, or leave tensor_parallel out",
        )


def is_quantised(shape: Sequence[int]) -> bool:
    """Whether 8-bit AdamW keeps the moments of a tensor of that shape in 8 bits."""
    return math.prod(shape) >= LEAST_QUANTISED and math.prod(shape) % MOMENT_BLOCK == 0


def check_moment_blocks(shape: Sequence[int], shards: int) -> None:
    """Raise BadInput when shards along its rows cut a block of 8-bit moments of a tensor, or one gets no row."""
    rows, row = shape[0], math.prod(shape[1:])
    each = -(-rows // shards)
    if not is_quantised(shape) or shards == 1:
        return
    if each * row % MOMENT_BLOCK or each * (shards - 1) >= rows:
        size = " x ".join(map(str, shape))
        raise BadInput(
            f'optimizer = "adamw8bit" cannot cut {size} parameters into {shards} shards: '
            f"{MOMENT_BLOCK} moments in a row share a scale",
            fix="choose another optimizer or number of processes, or widths that are multiples of 256",
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
