"""What the training step uses on this machine, and what each is worth here: a few tenths of a second apiece.

Both ways of a thing take turns, and the quickest of each counts: others use the machine too. Small shapes (rows of
256, a vocabulary of 4,096), so these are orders of magnitude; `workbench bench train` measures whole steps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn import functional as F

from workbench.bench.clocks import now, product_rate
from workbench.errors import BadInput
from workbench.model.attention import attend_written_out
from workbench.model.segments import why_no_flash_attention, why_no_segments
from workbench.train.device import Machine
from workbench.train.float8 import require_float8
from workbench.train.losses import summed_cross_entropy

HEADS, HEAD_DIM, CONTEXT, ROWS = 4, 64, 256, 4
WIDTH, VOCABULARY, TOKENS = 256, 4096, 1024
PARAMETERS = (2 << 20, 16)
"""Numbers in each of so many parameters that AdamW moves."""
COPIED_BYTES = 128 << 20
SEGMENTS = "FlashAttention inside documents and windows (heads a multiple of 8 wide, no soft cap)"
FEWEST_ROUNDS = 8
"""So many turns, however long they take: on a busy machine a single one is anything."""


@dataclasses.dataclass(frozen=True)
class Worth:
    """One thing the step could use. times: how many times as quick as without it, None where not measured.

    why_not: why it is not in use, where that can be told without measuring: the machine has it not, or nobody asked.
    """

    name: str
    active: bool
    instead_of: str
    times: float | None
    why_not: str = ""


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


def worths(machine: Machine, *, seconds: float | None) -> Iterator[Worth]:
    """What the step uses here and what it gains; `seconds` is the time for each, None measures nothing."""
    on_cpu = machine.device.type == "cpu"
    narrow = machine.dtype == torch.bfloat16

    def measured(ours: Callable[[], Any], others: Callable[[], Any]) -> float | None:
        if seconds is None:
            return None
        mine, theirs = _quickest([ours, others], machine, seconds=seconds)
        return theirs / mine

    products = [_product(machine, dtype) for dtype in (torch.bfloat16, torch.float32)]
    yield Worth("bfloat16 products", narrow, "float32", measured(*products))
    if on_cpu:
        by_onednn = machine.float32_products == "oneDNN"
        yield Worth("oneDNN's float32 products", by_onednn, "torch's choice", None)
        written = narrow  # see `attend`
        yield Worth(
            "attention with its scores written out (rows up to 1,024)",
            written,
            "torch's kernel",
            measured(*_attentions(machine)),
        )
    else:
        yield from flash_attention(machine)
    yield Worth("loss in chunks of logits", True, "all logits at once", measured(*_losses(machine)))
    yield Worth("AdamW in one pass", True, "one operation after the other", measured(*_adamws(machine)))
    if not on_cpu:
        exact = machine.float32_matmul_precision == "highest"
        asked = 'the recipe has to ask: float32_matmul_precision = "high"' if exact else ""
        yield Worth("TF32 products", not exact, "full float32", None, asked)
    yield Worth("float8 products", machine.float8, "bfloat16", None, _why_no_float8(machine))


def flash_attention(machine: Machine) -> Iterator[Worth]:
    """Where a GPU's attention is FlashAttention: for rows read as one text, and for those of several documents."""
    for_rows = why_no_flash_attention(machine.device, machine.dtype)
    yield Worth("FlashAttention over whole rows", not for_rows, "plain attention", None, for_rows)
    by_segments = why_no_segments(machine.device, machine.dtype)
    yield Worth(SEGMENTS, not by_segments, "a mask over every pair of positions", None, by_segments)


def _why_no_float8(machine: Machine) -> str:
    if machine.float8:
        return ""
    try:
        require_float8(machine.device)
    except BadInput:
        return "they need a GPU of Ada's or Hopper's generation or later"
    return 'the recipe has to ask: dtype = "float8"'


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


def _drawn(machine: Machine, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    own = torch.Generator(machine.device).manual_seed(0)
    return torch.randn(shape, device=machine.device, generator=own).to(dtype or machine.dtype)


def _product(machine: Machine, dtype: torch.dtype) -> Callable[[], Any]:
    a, b = _drawn(machine, TOKENS, WIDTH, dtype=dtype), _drawn(machine, WIDTH, 3 * WIDTH, dtype=dtype)
    return lambda: a @ b


def _attentions(machine: Machine) -> tuple[Callable[[], Any], Callable[[], Any]]:
    q, k, v = (_drawn(machine, ROWS, HEADS, CONTEXT, HEAD_DIM).requires_grad_() for _ in range(3))

    def written_out() -> None:
        attend_written_out(q, k, v, multiplier=HEAD_DIM**-0.5).sum().backward()

    def kernel() -> None:
        F.scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward()

    return written_out, kernel


def _losses(machine: Machine) -> tuple[Callable[[], Any], Callable[[], Any]]:
    x_ND = _drawn(machine, TOKENS, WIDTH).requires_grad_()
    head_VD = _drawn(machine, VOCABULARY, WIDTH).requires_grad_()
    targets_N = torch.arange(TOKENS, device=machine.device)

    def chunked() -> None:
        summed_cross_entropy(x_ND, head_VD, targets_N).total.backward()

    def whole() -> None:
        F.cross_entropy(F.linear(x_ND, head_VD).float(), targets_N, reduction="sum").backward()

    return chunked, whole


def _adamws(machine: Machine) -> tuple[Callable[[], Any], Callable[[], Any]]:
    size, count = PARAMETERS
    ways = []
    for fused in (True, False):
        parameters = [
            torch.nn.Parameter(_drawn(machine, size // count, dtype=torch.float32)) for _ in range(count)
        ]
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        ways.append(torch.optim.AdamW(parameters, fused=fused, foreach=False).step)
    return ways[0], ways[1]
