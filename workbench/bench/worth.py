"""What the training step uses on this machine, and what each is worth here: a few tenths of a second apiece.

Both ways of a thing (ways.py) take turns, and the quickest of each counts: others use the machine too. Small shapes, so
these are orders of magnitude; `workbench bench train` measures whole steps. Compiled layers take a minute to try: what
a training was told of them stands here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from workbench.bench import ways
from workbench.bench.clocks import now, product_rate
from workbench.bench.ways import Ways
from workbench.errors import BadInput
from workbench.layout import why_no_graphs
from workbench.model.segments import why_no_flash_attention, why_no_segments
from workbench.train.compile_choice import CompileTimes, newest_times
from workbench.train.device import Machine, device_name
from workbench.train.float8 import require_float8

COPIED_BYTES = 128 << 20
SEGMENTS = "FlashAttention inside documents and windows (heads a multiple of 8 wide, no soft cap)"
FEWEST_ROUNDS = 8
"""So many turns, however long they take: on a busy machine a single one is anything."""


@dataclasses.dataclass(frozen=True)
class Worth:
    """One thing the step could use. times: how many times as quick as without it, None where not measured.

    why_not: why it is not in use, where that can be told without measuring: the machine has it not, or nobody asked.
    memory_share: of what a pass keeps in memory, where that is what it is for. active: None where every training
    decides by measuring. of: what it was measured with, if not here and now.
    """

    name: str
    active: bool | None
    instead_of: str
    times: float | None
    why_not: str = ""
    memory_share: float | None = None
    of: str = ""


def peaks(machine: Machine, *, seconds: float) -> dict[str, float]:
    """What the machine can do: FLOP/s of large products in float32 and bfloat16, bytes a second of a large copy."""
    rates = {
        f"{name}_flops": product_rate("wall", machine.device, dtype, seconds=seconds)
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
    }
    source = torch.ones(COPIED_BYTES, dtype=torch.uint8, device=machine.device)
    target = torch.empty_like(source)
    best = _quickest([lambda: target.copy_(source)], machine, seconds=seconds)[0]
    return {**rates, "memory_bytes_per_second": 2 * COPIED_BYTES / best}  # read and written


def worths(machine: Machine, *, seconds: float | None, compile_times: Path | None = None) -> Iterator[Worth]:
    """What the step uses here and what it gains; `seconds` is the time for each, None measures nothing.

    compile_times: where a home keeps what compiling gave on this machine.
    """
    on_cpu = machine.device.type == "cpu"
    narrow = machine.dtype == torch.bfloat16

    def measured(pair: Callable[[], Ways]) -> float | None:
        return None if seconds is None else times_as_quick(pair(), machine, seconds=seconds)

    bfloat16_and_float32 = (torch.bfloat16, torch.float32)
    times = measured(lambda: ways.products(machine, *bfloat16_and_float32))
    yield Worth("bfloat16 products", narrow, "float32", times)
    if on_cpu:
        by_onednn = machine.float32_products == "oneDNN"
        yield Worth("oneDNN's float32 products", by_onednn, "torch's choice", None)
        yield Worth(
            "attention with its scores written out (rows up to 1,024)",
            narrow,  # see `attend`
            "torch's kernel",
            measured(lambda: ways.attention_written_out(machine)),
        )
    else:
        yield from flash_attention(machine, measured)
    yield Worth(
        "loss in chunks of logits", True, "all logits at once", measured(lambda: ways.losses(machine))
    )
    yield Worth(
        "AdamW in one pass", True, "one operation after the other", measured(lambda: ways.adamws(machine))
    )
    if not on_cpu:
        exact = machine.float32_matmul_precision == "highest"
        asked = 'the recipe has to ask: float32_matmul_precision = "high"' if exact else ""
        times = measured(lambda: ways.products_by_precision(machine))
        yield Worth("TF32 products", not exact, "full float32", times, asked)
    why_not, times = _why_no_float8(machine), None
    if machine.float8 or why_not == ASK_FOR_FLOAT8:
        try:
            times = measured(lambda: ways.products_in_float8(machine))
        except BadInput as error:
            why_not = error.message
    yield Worth("float8 products", machine.float8, "bfloat16", times, why_not)
    yield checkpointing(machine, seconds=seconds)
    yield from compiled_layers(machine, compile_times)


def times_as_quick(pair: Ways, machine: Machine, *, seconds: float) -> float:
    """How many times as quick as the other way ours is, after turns of `seconds` in all."""
    ours, others = _quickest([*pair], machine, seconds=seconds)
    return others / ours


def flash_attention(
    machine: Machine, measured: Callable[[Callable[[], Ways]], float | None]
) -> Iterator[Worth]:
    """Where a GPU's attention is FlashAttention: for rows read as one text, and for those of several documents."""
    for_rows = why_no_flash_attention(machine.device, machine.dtype)
    times = None if for_rows else measured(lambda: ways.attention_by_rows(machine))
    yield Worth("FlashAttention over whole rows", not for_rows, "plain attention", times, for_rows)
    by_segments = why_no_segments(machine.device, machine.dtype)
    times = None if by_segments else measured(lambda: ways.attention_by_documents(machine))
    yield Worth(SEGMENTS, not by_segments, "a mask over every pair of positions", times, by_segments)


def checkpointing(machine: Machine, *, seconds: float | None) -> Worth:
    """What layers cost that compute again what they do not keep, and what they keep."""
    name, asked = "checkpointed layers", 'the recipe has to ask: activation_checkpointing = "layer"'
    if seconds is None:
        return Worth(name, False, "layers that keep everything", None, asked)
    found = ways.checkpointed_layers(machine)
    times = times_as_quick(found.ways, machine, seconds=seconds)
    return Worth(name, False, "layers that keep everything", times, asked, found.kept_share)


def compiled_layers(machine: Machine, compile_times: Path | None) -> Iterator[Worth]:
    """What compiled layers, and CUDA graphs of them, gave the training that measured them here last."""
    newest = None if compile_times is None else newest_times(compile_times, device_name(machine.device))
    on_gpu = machine.device.type == "cuda"
    no_graphs = why_no_graphs(on_gpu=on_gpu, devices=1, checkpointed=False)
    if newest is None:
        later = "measured at the first training that is long enough"
        yield Worth("compiled layers", None, "layers as they are written", None, later)
        yield Worth("CUDA graphs", None if on_gpu else False, "compiled layers", None, no_graphs or later)
        return
    of, times = newest
    yield Worth("compiled layers", None, "layers as they are written", times.eager / times.compiled, of=of)
    yield _graphs(times, no_graphs, of=of)


def _graphs(times: CompileTimes, no_graphs: str, *, of: str) -> Worth:
    if times.graphs is None:
        why_not = no_graphs or 'the training that measured did not use them: compile = "graphs" does'
        return Worth("CUDA graphs", False, "compiled layers", None, why_not)
    return Worth("CUDA graphs", None, "compiled layers", times.compiled / times.graphs, of=of)


ASK_FOR_FLOAT8 = 'the recipe has to ask: dtype = "float8"'


def _why_no_float8(machine: Machine) -> str:
    if machine.float8:
        return ""
    try:
        require_float8(machine.device)
    except BadInput:
        return "they need a GPU of Ada's or Hopper's generation or later"
    return ASK_FOR_FLOAT8


def _quickest(ways: list[Callable[[], Any]], machine: Machine, *, seconds: float) -> list[float]:
    """The shortest time of each way, taking turns for `seconds` in all, after one for warming up."""
    best = [math.inf] * len(ways)
    for way in ways:
        way()
    until, rounds = now("wall", machine.device) + seconds, 0
    while rounds < FEWEST_ROUNDS or now("wall", machine.device) < until:
        rounds += 1
        for place, way in enumerate(ways):
            began = now("wall", machine.device)
            way()
            best[place] = min(best[place], now("wall", machine.device) - began)
    return best
