"""All layers of a micro-batch as two CUDA graphs, one forward and one backward, each launched at once.

    stream, rotation, sight, values ─ copied in ─ forward graph ── stream after the last layer
    gradients of all of them ──────── backward graph ─ copied in ─ its gradient

The kernels of a small model are done sooner than Python launches the next ones. A graph has them all recorded, with the
places in memory that they read and write: it costs one launch, is of one shape, and keeps its memory for good. What
lies before and after the layers stays outside, because how many positions are learned from differs between batches.

torch records (`torch.cuda.make_graphed_callables`); two things are to be minded. The gradients of the parameters lie
where the next replay writes, and autograd keeps them there when it begins a sum. And documents differ in number, so
their bounds are filled up to a power of two with empty ones, which kernels skip (as modded-nanogpt does).

Shapes: B rows, T positions, D width, G key/value heads, E width of one head; N bounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.model.memory import Memory
from workbench.model.rotation import Rotation
from workbench.model.segments import Segments

MOST_GRAPHS = 16
"""Shapes that are recorded: each keeps gradients of its own. What has another shape is launched as ever."""
LEAST_BOUNDS = 16


class GraphedLayers:
    """Stands in for `Decoder.through_layers` where gradients are asked for; recorded for a shape when first met.

    Between a forward pass and its backward pass there must be no other forward pass: it would write over what the
    backward pass reads.
    """

    def __init__(self, layers: Sequence[nn.Module], *, summed: Iterable[nn.Parameter]) -> None:
        """summed: those parameters of the layers whose gradients autograd itself adds up."""
        self._layers = layers
        self._graphed: dict[object, nn.Module | None] = {}  # by shape; None: it cannot be recorded
        self._pool = torch.cuda.graph_pool_handle()
        self._summed = list(summed)
        self._first_of_a_sum = True

    def __call__(
        self,
        x_BTD: Tensor,
        rotation: Rotation | None,
        memories: Sequence[Memory],
        values: Iterable[Tensor | None],
    ) -> Tensor:
        """x_BTD after the last layer. Raises what torch raises when not even the first shape can be recorded."""
        given = list(values)
        sight = memories[0].sight
        assert all(memory.cache is None for memory in memories), "with a cache nothing is learned"
        form = Form(
            rotation is not None,
            sight._replace(bounds_N=None) if isinstance(sight, Segments) else sight is not None,  # type: ignore[arg-type]
            tuple(each is not None for each in given),
        )
        tensors = [x_BTD, *(rotation or ())]
        if isinstance(sight, Segments):
            tensors.append(filled_up(sight.bounds_N, end=x_BTD.shape[0] * x_BTD.shape[1]))
        elif sight is not None:
            tensors.append(sight)
        tensors += [each for each in given if each is not None]
        if not torch.is_grad_enabled():
            return cast(Tensor, _Stack(self._layers, form)(*tensors))
        self._take_sums_apart()
        key = (form, *((each.shape, each.dtype, each.requires_grad) for each in tensors))
        if key not in self._graphed and len(self._graphed) < MOST_GRAPHS:
            self._graphed[key] = self._record(_Stack(self._layers, form), tensors)
        graphed = self._graphed.get(key) or _Stack(self._layers, form)
        return cast(Tensor, graphed(*tensors))

    def _take_sums_apart(self) -> None:
        """Copy the gradients of the first of several micro-batches, which the next replay would write over."""
        sums = [parameter.grad for parameter in self._summed if parameter.grad is not None]
        if sums and self._first_of_a_sum:
            copies = iter(torch._foreach_mul(sums, 1))  # all in one launch
            for parameter in self._summed:
                if parameter.grad is not None:
                    parameter.grad = next(copies)
        self._first_of_a_sum = not sums

    def _record(self, stack: _Stack, tensors: Sequence[Tensor]) -> nn.Module | None:
        kind = tensors[0].device.type
        samples = tuple(each.detach().clone().requires_grad_(each.requires_grad) for each in tensors)
        for sample in samples:
            if sample.dtype == torch.int32:  # bounds: compiled for any number of them, as in segments.py
                torch._dynamo.maybe_mark_dynamic(sample, 0)
        try:
            with torch.autocast(
                kind,
                dtype=torch.get_autocast_dtype(kind),
                enabled=torch.is_autocast_enabled(kind),
                cache_enabled=False,  # what it had cast before would not be cast in the graph
            ):
                return cast(nn.Module, torch.cuda.make_graphed_callables(stack, samples, pool=self._pool))
        except RuntimeError:
            if not any(self._graphed.values()):
                raise
            return None  # most likely for memory: all that was recorded before goes on


class Form(NamedTuple):
    """What a pass is given besides the stream. sight: a mask (True), nothing (False), or segments without bounds."""

    rotates: bool
    sight: Segments | bool
    values: tuple[bool, ...]


class _Stack(nn.Module):
    """The layers one after another, as a function of tensors alone."""

    def __init__(self, layers: Sequence[nn.Module], form: Form) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self._form = form

    def forward(self, x_BTD: Tensor, *tensors: Tensor) -> Tensor:
        given: Iterator[Tensor] = iter(tensors)
        rotation = Rotation(next(given), next(given)) if self._form.rotates else None
        sight: Tensor | Segments | None = None
        if isinstance(self._form.sight, Segments):
            sight = self._form.sight._replace(bounds_N=next(given))
        elif self._form.sight:
            sight = next(given)
        for layer, takes_values in zip(self.layers, self._form.values, strict=True):
            x_BTD = layer(x_BTD, rotation, Memory(sight), next(given) if takes_values else None)
        return x_BTD


def filled_up(bounds_N: Tensor, *, end: int) -> Tensor:
    """The bounds of segments, and as many empty segments at their `end` as make the bounds a power of two."""
    wanted = max(LEAST_BOUNDS, 1 << (len(bounds_N) - 1).bit_length())
    return F.pad(bounds_N, (0, wanted - len(bounds_N)), value=end)
