"""Both ways of each thing that a training step may use, ready to be timed: ours, and what it stands in the place of.

Shapes are small, of one layer, larger on a GPU, which small ones do not fill. Numbers are drawn from a generator of
their own. Knows no clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from workbench.data.loader import Batch
from workbench.model.attention import attend, attend_written_out
from workbench.model.initialise import initialise
from workbench.model.memory import Seen, visible
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.train.device import Machine
from workbench.train.float8 import use_float8
from workbench.train.losses import next_token_loss, summed_cross_entropy
from workbench.train.working_model import WorkingModel

PARAMETERS = (2 << 20, 16)
"""Numbers in each of so many parameters that AdamW moves."""
DOCUMENTS_A_ROW = 4


@dataclasses.dataclass(frozen=True)
class Shapes:
    """Of what is timed."""

    rows: int
    context: int
    heads: int
    head_dim: int
    width: int
    vocab_size: int

    @property
    def tokens(self) -> int:
        """Of all rows."""
        return self.rows * self.context


SHAPES = {
    "cpu": Shapes(rows=4, context=256, heads=4, head_dim=64, width=256, vocab_size=4096),
    "cuda": Shapes(rows=8, context=1024, heads=12, head_dim=64, width=768, vocab_size=32768),
}


class Ways(NamedTuple):
    """Two that compute the same."""

    ours: Callable[[], Any]
    other: Callable[[], Any]


def shapes_of(machine: Machine) -> Shapes:
    """The shapes for this kind of device."""
    return SHAPES.get(machine.device.type, SHAPES["cpu"])


def products(machine: Machine, ours: torch.dtype, other: torch.dtype) -> Ways:
    """A product of a layer in two types."""
    return Ways(_product(machine, ours), _product(machine, other))


def products_by_precision(machine: Machine) -> Ways:
    """A float32 product, in TF32 inside and in full; what torch was told stays told."""
    multiply = _product(machine, torch.float32)

    def told(precision: str) -> Callable[[], Any]:
        def way() -> None:
            before = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision(precision)
            try:
                multiply()
            finally:
                torch.set_float32_matmul_precision(before)

        return way

    return Ways(told("high"), told("highest"))


def products_in_float8(machine: Machine, *, emulate: bool = False) -> Ways:
    """A linear layer forward and backward with its products in float8, and as they are. Raises BadInput without
    torchao."""
    shapes = shapes_of(machine)
    x_ND = _drawn(machine, shapes.tokens, 4 * shapes.width).requires_grad_()

    def linear() -> nn.ModuleList:
        layer = nn.Linear(
            4 * shapes.width, 4 * shapes.width, bias=False, device=machine.device, dtype=x_ND.dtype
        )
        return nn.ModuleList([layer])

    plain, narrow = linear(), linear()
    use_float8(narrow, emulate=emulate)
    return Ways(lambda: narrow[0](x_ND).sum().backward(), lambda: plain[0](x_ND).sum().backward())


def attention_written_out(machine: Machine) -> Ways:
    """Attention with its scores written out, and by torch's kernel."""
    q, k, v = (x.transpose(1, 2) for x in _heads(machine))
    multiplier = shapes_of(machine).head_dim ** -0.5

    def written_out() -> None:
        attend_written_out(q, k, v, multiplier=multiplier).sum().backward()

    def kernel() -> None:
        F.scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward()

    return Ways(written_out, kernel)


def attention_by_rows(machine: Machine) -> Ways:
    """Attention over whole rows as a step does it, and by torch's plain operations."""
    q, k, v = _heads(machine)
    multiplier = shapes_of(machine).head_dim ** -0.5

    def ours() -> None:
        attend(q, Seen(k, v), multiplier=multiplier).sum().backward()

    def plain() -> None:
        with sdpa_kernel(SDPBackend.MATH):
            ours()

    return Ways(ours, plain)


def attention_by_documents(machine: Machine) -> Ways:
    """Attention inside the documents of rows as a step does it, and under a mask over every pair of positions."""
    shapes = shapes_of(machine)
    q, k, v = _heads(machine)
    place_T = torch.arange(shapes.context, device=machine.device)
    documents_BT = (place_T * DOCUMENTS_A_ROW // shapes.context).expand(shapes.rows, -1)
    config = _config(shapes)
    as_segments = visible(q, documents_BT, config)
    in_float32 = visible(q.float(), documents_BT, config)  # which no kernel for segments takes
    seen = Seen(k, v, in_float32) if isinstance(in_float32, Tensor) else Seen(k, v)
    ours = Seen(k, v, segments=as_segments) if isinstance(as_segments, tuple) else seen
    multiplier = shapes.head_dim**-0.5
    return Ways(
        lambda: attend(q, ours, multiplier=multiplier).sum().backward(),
        lambda: attend(q, seen, multiplier=multiplier).sum().backward(),
    )


def losses(machine: Machine) -> Ways:
    """Cross-entropy in chunks of logits, and of all logits at once."""
    shapes = shapes_of(machine)
    x_ND = _drawn(machine, shapes.tokens, shapes.width).requires_grad_()
    head_VD = _drawn(machine, shapes.vocab_size, shapes.width).requires_grad_()
    targets_N = torch.arange(shapes.tokens, device=machine.device) % shapes.vocab_size

    def chunked() -> None:
        summed_cross_entropy(x_ND, head_VD, targets_N).total.backward()

    def whole() -> None:
        F.cross_entropy(F.linear(x_ND, head_VD).float(), targets_N, reduction="sum").backward()

    return Ways(chunked, whole)


def adamws(machine: Machine) -> Ways:
    """A step of AdamW in one pass over memory, and one operation after the other."""
    size, count = PARAMETERS
    ways = []
    for fused in (True, False):
        parameters = [nn.Parameter(_drawn(machine, size // count, dtype=torch.float32)) for _ in range(count)]
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        ways.append(torch.optim.AdamW(parameters, fused=fused, foreach=False).step)
    return Ways(*ways)


class Checkpointed(NamedTuple):
    """Two ways, and the share of memory that the first one keeps for its way back."""

    ways: Ways
    kept_share: float


def checkpointed_layers(machine: Machine) -> Checkpointed:
    """Forward and backward of a small model whose layers compute again what they need, and of one that keeps it."""
    shapes = shapes_of(machine)
    with torch.random.fork_rng(devices=[machine.device] if machine.device.type == "cuda" else []):
        model = initialise(Decoder(_config(shapes)), seed=0).to(machine.device)
    # Few logits: what is told is about layers.
    targets_BT = torch.zeros(shapes.rows, shapes.context, dtype=torch.int64)
    batch = Batch(inputs_BT=torch.zeros_like(targets_BT), targets_BT=targets_BT)

    def way(computing: Decoder) -> Callable[[], Tensor]:
        def total() -> Tensor:
            with torch.autocast(
                machine.device.type, dtype=machine.autocast, enabled=machine.autocast is not None
            ):
                return next_token_loss(computing, batch).total

        return total

    ours, plain = way(WorkingModel(model, checkpoint_layers=True).model), way(model)
    return Checkpointed(
        Ways(lambda: ours().backward(), lambda: plain().backward()),
        _kept_bytes(ours, model) / _kept_bytes(plain, model),
    )


def _kept_bytes(forward: Callable[[], Tensor], model: nn.Module) -> int:
    """Memory that a forward pass keeps for the backward pass, weights aside."""
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        total = forward()
    del total
    return sum(kept.values())


def _config(shapes: Shapes) -> ModelConfig:
    return ModelConfig(
        vocab_size=64,
        hidden_size=shapes.width,
        num_hidden_layers=4,
        num_attention_heads=shapes.heads,
        num_key_value_heads=shapes.heads,
        intermediate_size=3 * shapes.width,
        max_position_embeddings=shapes.context,
        head_dim=shapes.head_dim,
    )


def _heads(machine: Machine) -> list[Tensor]:
    shapes = shapes_of(machine)
    return [
        _drawn(machine, shapes.rows, shapes.context, shapes.heads, shapes.head_dim).requires_grad_()
        for _ in range(3)
    ]


def _drawn(machine: Machine, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    own = torch.Generator(machine.device).manual_seed(0)
    return torch.randn(shape, device=machine.device, generator=own).to(dtype or machine.dtype)


def _product(machine: Machine, dtype: torch.dtype) -> Callable[[], Any]:
    shapes = shapes_of(machine)
    a = _drawn(machine, shapes.tokens, shapes.width, dtype=dtype)
    b = _drawn(machine, shapes.width, 3 * shapes.width, dtype=dtype)
    return lambda: a @ b
