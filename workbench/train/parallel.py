"""A training shared by several processes, by PyTorch's own engine: FSDP2, HSDP and tensor parallelism.

    every rank    reads its rows of each micro-batch; holds a shard of the weights, gradients and moments
    all-gather    a layer's weights come together when it is their turn, forward and backward, and are let go
    reduce        gradients are *summed* over ranks, as the loop sums micro-batches: it divides once, by the
                  number of items of the whole batch, so uneven shares weigh what they should
    one leader    the first rank alone decides, answers requests and writes; the others are told
    a checkpoint  if it is large, is written by all, each what it holds (together.py)

(ZeRO-3, Rajbhandari et al. 2020; PyTorch FSDP, Zhao et al. 2023; slices of matrices: Megatron, Shoeybi et al.
2019.) Knows no recipe and no run. Imported only where there are several processes.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

from workbench.errors import BadInput, TrainingDiverged
from workbench.layout import Layout, Seat, check_slices, part_of
from workbench.model.stored_weights import Sliceable, StoredWeights
from workbench.model.transformer import Decoder
from workbench.train.float8 import use_float8
from workbench.train.optimizers import Optimizers
from workbench.train.parameter_groups import OptimizerSettings
from workbench.train.ranks import Ranks, Rows, Share
from workbench.train.sharded_optimizers import ShardedOptimizers, WholeState, as_alone
from workbench.train.shards import block_of, held, holders, whole
from workbench.train.working_model import narrow_stream

T = TypeVar("T")

RENDEZVOUS = "WORKBENCH_RENDEZVOUS"
"""Names the file by which the processes of one machine find each other; torchrun has its own way."""
PATIENCE = datetime.timedelta(days=365)
"""Of ranks that wait for the first one's word: it may be paused for long. Its death is noticed at once."""
MESSAGE_BYTES = 512

# A column of o_proj and down_proj meets a row of what stands before them: one sum over slices per part of a block.
SLICES: dict[str, Callable[[], ParallelStyle]] = {
    "self_attn.q_proj": ColwiseParallel,
    "self_attn.k_proj": ColwiseParallel,
    "self_attn.v_proj": ColwiseParallel,
    # One gain for all heads: every slice has some of the heads, and the gain's gradient is the sum over them.
    "self_attn.q_norm": lambda: SequenceParallel(sequence_dim=2, use_local_output=True),
    "self_attn.k_norm": lambda: SequenceParallel(sequence_dim=2, use_local_output=True),
    "self_attn.value_gate": ColwiseParallel,
    "self_attn.o_proj": RowwiseParallel,
    "mlp.gate_proj": ColwiseParallel,
    "mlp.up_proj": ColwiseParallel,
    "mlp.down_proj": RowwiseParallel,
}
NOT_SLICED = ("input_layernorm", "post_attention_layernorm")

_leader: dist.ProcessGroup | None = None  # the group over which the first rank is heard


def join() -> None:
    """Meet the other processes; returns once all are there. Does nothing the second time."""
    global _leader  # noqa: PLW0603  (torch keeps its group in a global too: a process belongs to one)
    if dist.is_initialized():
        return
    seat = Seat.here()
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(seat.local_rank)
    meeting = os.environ.get(RENDEZVOUS)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        init_method=f"file://{meeting}" if meeting else "env://",
        rank=seat.rank,
        world_size=seat.ranks,
    )
    _leader = dist.new_group(backend="gloo", timeout=PATIENCE)


def leave() -> None:
    """Part from the others, with all work in common done."""
    global _leader  # noqa: PLW0603
    if dist.is_initialized():
        dist.destroy_process_group()
    _leader = None


def hear_first(value: T) -> T:
    """The value of the first rank, plain data as JSON has it; the others wait for it, however long."""
    message = json.dumps(value).encode() if dist.get_rank() == 0 else b""
    # Nearly all messages are short and fit behind their own length: one broadcast.
    buffer = torch.zeros(MESSAGE_BYTES, dtype=torch.uint8)
    head = len(message).to_bytes(8, "little") + message[: MESSAGE_BYTES - 8]
    buffer[: len(head)] = torch.frombuffer(bytearray(head), dtype=torch.uint8)
    dist.broadcast(buffer, src=0, group=_leader)
    heard = bytes(buffer.numpy())
    length = int.from_bytes(heard[:8], "little")
    if length > MESSAGE_BYTES - 8:
        buffer = torch.frombuffer(bytearray(message or length), dtype=torch.uint8)
        dist.broadcast(buffer, src=0, group=_leader)
        heard = bytes(8) + bytes(buffer.numpy())
    told: T = json.loads(heard[8 : 8 + length])
    return told


def hear_all(value: T) -> list[T]:
    """The value of every rank in order, plain data as JSON has it; each waits for all, however long."""
    message = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    lengths = [torch.zeros((), dtype=torch.int64) for _ in range(dist.get_world_size())]
    dist.all_gather(lengths, torch.tensor(len(message)), group=_leader)
    longest = max(int(length) for length in lengths)
    padded = torch.nn.functional.pad(message, (0, longest - len(message)))
    heard = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(heard, padded, group=_leader)
    return [
        json.loads(bytes(each[: int(length)].numpy())) for each, length in zip(heard, lengths, strict=True)
    ]


class ManyRanks(Ranks):
    """This process among several that have joined, laid out as copies, shards and slices."""

    saves_blocks = True

    def __init__(self, layout: Layout) -> None:
        assert layout.ranks == dist.get_world_size(), "one rank per process"
        self._layout = layout
        shape = (layout.replicate, layout.shard, layout.tensor)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        mesh = init_device_mesh(device, shape, mesh_dim_names=("replicate", "shard", "tensor"))
        self._slices = mesh["tensor"]
        self._data = mesh["replicate", "shard"] if layout.replicate > 1 else mesh["shard"]
        self._part, self._slice = divmod(dist.get_rank(), layout.tensor)
        self.count = layout.ranks
        self.number = dist.get_rank()
        self.is_first = self.number == 0
        self.data_ranks = layout.data_ranks

    def __str__(self) -> str:
        return str(self._layout)

    # -- what the first one decides -------------------------------------------------------------------

    def agree(self, value: T) -> T:
        return hear_first(value)

    def smallest(self, value: int) -> int:
        values = torch.tensor(value)
        dist.all_reduce(values, op=dist.ReduceOp.MIN)
        return int(values)

    def first_does(self, action: Callable[[], T]) -> T | None:
        done: T | None = None
        problem = fix = None
        if self.is_first:
            try:
                done = action()
            except TrainingDiverged as diverged:
                problem, fix = diverged.message, diverged.fix
        problem, fix = hear_first([problem, fix])
        if problem is not None:
            raise TrainingDiverged(problem, fix=fix)
        return done

    def tell_all(self, value: T) -> list[T]:
        return hear_all(value)

    # -- batches --------------------------------------------------------------------------------------

    def share(self, rows: Rows) -> Share[Rows]:
        mine = part_of(len(rows), self._part, self.data_ranks)  # type: ignore[arg-type]
        if not mine:
            return Share(rows[:1], counts=False)  # type: ignore[index]
        return Share(rows[mine.start : mine.stop], mine.start)  # type: ignore[index]

    def add_up(self, figures: NDArray[np.float64]) -> NDArray[np.float64]:
        # Slices of one part have read the same rows: the first speaks for them.
        mine = torch.from_numpy(figures if self._slice == 0 else np.zeros_like(figures)).clone()
        dist.all_reduce(mine)
        return mine.numpy()

    # -- weights, gradients, moments ------------------------------------------------------------------

    def place(
        self,
        model: Decoder,
        device: torch.device,
        *,
        weights_dtype: torch.dtype = torch.float32,
        float8: bool = False,
    ) -> Decoder:
        if isinstance(model, FSDPModule):
            return model
        if self._layout.tensor > 1:
            self._slice_matrices(model)
        if float8:  # before the engine knows the matrices: it hands weights to the modules that it finds
            use_float8(model.layers, only_learning=True)
        # The embedding and the head are the model's own, in float32: of a token that occurs often the gradient is a
        # sum of hundreds. The rest comes together narrow where that is asked for, and is reduced in float32.
        narrow = weights_dtype != torch.float32
        policy = MixedPrecisionPolicy(
            param_dtype=weights_dtype if narrow else None,
            reduce_dtype=torch.float32 if narrow else None,
            cast_forward_inputs=False,
        )
        for module in (*model.layers, *((model.norm,) if narrow else ())):
            fully_shard(module, mesh=self._data, shard_placement_fn=_shard_where, mp_policy=policy)
        fully_shard(model, mesh=self._data, shard_placement_fn=_shard_where)
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)
        if narrow:
            narrow_stream(model, weights_dtype)
            norm = model.norm.forward
            model.norm.forward = lambda x_BTD: _no_view(norm(x_BTD))
        # What a loss calls is a forward pass too. Its result must not be a view: the engine's hooks hang on it.
        hidden = model.hidden

        def forward(*inputs: Any, **options: Any) -> Tensor:
            if not narrow or torch.is_grad_enabled():
                return _no_view(hidden(*inputs, **options))
            with torch.autocast(
                device.type, dtype=weights_dtype
            ):  # the stream is that of one process, float32
                return hidden(*inputs, **options).float()

        model.hidden = forward  # type: ignore[method-assign]
        register_fsdp_forward_method(model, "hidden")
        return model

    def open(
        self,
        folder: Path,
        device: torch.device,
        *,
        weights_dtype: torch.dtype = torch.float32,
        float8: bool = False,
    ) -> Decoder:
        """Cut up before it has memory: this rank then reads its part of one tensor after the other."""
        weights = StoredWeights(folder)
        model = self.place(weights.skeleton, device, weights_dtype=weights_dtype, float8=float8)
        model.to_empty(device=device)
        self.load(model, weights)
        return model

    def _slice_matrices(self, model: Decoder) -> None:
        check_slices(model.config, self._layout)
        for layer in model.layers:
            parts = {name.rpartition(".")[0] for name, _ in layer.named_parameters()}
            for part in sorted(parts - SLICES.keys() - set(NOT_SLICED)):
                raise BadInput(f"tensor_parallel does not know how to slice {part}", fix="leave it at 1")
            parallelize_module(
                layer, self._slices, {name: SLICES[name]() for name in SLICES if name in parts}
            )
        for table in model.value_embeds.values():  # of values a slice looks up those of its own heads
            parallelize_module(table, self._slices, ColwiseParallel())
        model.num_key_value_heads //= self._layout.tensor

    def settle(self, model: nn.Module) -> None:
        if isinstance(model, FSDPModule):
            model.reshard()

    def optimizer(
        self,
        model: nn.Module,
        settings: OptimizerSettings,
        *,
        rate_factors: Mapping[str, float] | None = None,
    ) -> Optimizers:
        self.settle(model)
        return ShardedOptimizers(model, settings, rate_factors=rate_factors)

    def held(self, tensors: Iterable[Tensor]) -> list[Tensor]:
        return [held(tensor) for tensor in tensors]

    def norm(self, gradients: Iterable[Tensor]) -> float:
        """One sum over all ranks: of squares, each divided by the number of ranks that hold the same numbers."""
        by_holders: dict[int, list[Tensor]] = {}
        for gradient in gradients:
            by_holders.setdefault(holders(gradient), []).append(held(gradient))
        squares = [float(nn.utils.get_total_norm(parts)) ** 2 / count for count, parts in by_holders.items()]
        mine = torch.tensor(sum(squares), dtype=torch.float64)
        dist.all_reduce(mine)
        return float(mine.sqrt())

    def whole(self, tensor: Tensor) -> Tensor:
        return whole(tensor)

    def gather(self, model: Decoder, optimizer: Optimizers) -> tuple[Decoder, Optimizers]:
        """Tensor by tensor: no device ever holds more than one whole one; the first rank keeps them in its memory."""
        assert isinstance(optimizer, ShardedOptimizers)
        self.settle(model)

        def collect(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            kept = {}
            for name, tensor in tensors.items():
                together = whole(tensor)
                if self.is_first:
                    # What every rank holds whole is no copy yet.
                    kept[name] = together.detach().to("cpu", copy=True)
            return kept

        weights, placed = collect(model.state_dict()), collect(optimizer.placed_state())
        state = {key: as_alone(key, tensor) for key, tensor in placed.items()}
        with torch.device("meta"):
            alone = Decoder(model.config)
        if self.is_first:
            alone.load_state_dict(weights, assign=True)
        return alone, WholeState(state)

    def load(self, model: Decoder, weights: Mapping[str, Sliceable]) -> None:
        self.settle(model)
        for name, placed in model.state_dict().items():
            mine = block_of(placed)
            mine.part.copy_(weights[name][mine.index])


def _no_view(tensor: Tensor) -> Tensor:
    return tensor.clone() if tensor._is_view() else tensor


def _shard_where(parameter: nn.Parameter) -> Shard | None:
    """Along rows, but along columns what is sliced by rows: shards of one tensor are then plain blocks of it."""
    if isinstance(parameter, DTensor) and parameter.ndim == 2 and parameter.placements[0].is_shard(0):
        return Shard(1)
    return None


def open_ranks(layout: Layout) -> Ranks:
    """This process's place in a training of that layout, once it has met the others."""
    join()
    return ManyRanks(layout)
