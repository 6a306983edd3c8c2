"""The model that computes a step, beside the one that is kept: same function, other ways to spend memory and time.

    kept        float32 weights, plain layers       stepped, saved, measured, published
    working     shares every weight it can with it  forward and backward

    bfloat16 weights            copies of all but the tables, and the stream between the layers is bfloat16 too
    float8 products             the same weights, rounded to 8 bits for every product (float8.py)
    compiled layers             the same operations, fused by torch into fewer passes over memory
    CUDA graphs                 the same kernels, recorded and launched all at once (graphed_layers.py)
    checkpointed layers         a layer keeps its input alone and computes the rest again in the backward pass

Whoever keeps the kept model keeps everything: the working one follows from it. A model in shards has no copy: there
both are one, and what computes a step is told from what measures by whether gradients are asked for (parallel.py
gathers its weights in bfloat16). Knows no optimizer, no loss, no step.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from workbench.layout import why_no_graphs
from workbench.train.float8 import use_float8
from workbench.train.graphed_layers import GraphedLayers
from workbench.train.parameter_groups import kind_of

Model = TypeVar("Model", bound=nn.Module)

BACKEND = "inductor"
MOST_SHAPES = 64
"""Shapes that are compiled; torch would stop at 8."""


class WorkingModel(Generic[Model]):
    """`model`, which computes, and what ties it to the model that is kept.

    Gradients arrive in the kept model's parameters, in float32, as they come: micro-batches add up there. After the
    kept weights have moved, `take_weights`.

    Without anything asked for it is the kept model itself.
    weights_dtype: narrower than float32 saves a cast of every matrix at every micro-batch, and half of the stream's
    memory traffic. The tables (embeddings, head) stay shared in float32: a token that occurs often adds up hundreds of
    gradients, of which bfloat16 with its 8 bits would lose most.
    """

    def __init__(
        self,
        kept: Model,
        *,
        weights_dtype: torch.dtype = torch.float32,
        float8: bool = False,
        checkpoint_layers: bool = False,
        in_place: bool = False,
    ) -> None:
        """in_place: the layers of the kept model itself are checkpointed and compiled.

        That its weights come narrow, and its products are float8, whoever placed it has seen to (parallel.py).
        """
        self.implementation = "plain"
        self.model = self.kept = kept
        self._in_place = in_place
        own: dict[int, nn.Parameter] = {}
        if weights_dtype != torch.float32 and not in_place:
            for name, parameter in kept.named_parameters():
                if kind_of(name, parameter) != "embeddings":
                    own[id(parameter)] = nn.Parameter(parameter.detach().to(weights_dtype))
        if not in_place and (own or float8 or checkpoint_layers):
            self.model = copy_with(kept, own)
        pairs = [(parameter, own[id(parameter)]) for parameter in kept.parameters() if id(parameter) in own]
        self._kept: list[Tensor] = [kept for kept, _ in pairs]
        self._own: list[Tensor] = [own for _, own in pairs]
        for kept_parameter, own_parameter in pairs:
            own_parameter.register_post_accumulate_grad_hook(functools.partial(_hand_over, kept_parameter))
        if own:
            narrow_stream(self.model, weights_dtype)
        if weights_dtype != torch.float32:
            self._is_also(f"{weights_dtype} weights".removeprefix("torch."))
        if float8:
            if not in_place:
                use_float8(self.model.get_submodule("layers"))
            self._is_also("float8 products")
        self._graphed: GraphedLayers | None = None
        self._checkpoint_layers = checkpoint_layers
        if checkpoint_layers:
            self._wrap_layers()
            self._is_also("checkpointed layers")

    @torch.no_grad()
    def take_weights(self) -> None:
        """Follow the kept model after its weights have moved."""
        if self._own:
            torch._foreach_copy_(self._own, self._kept)

    def compile_layers(self) -> None:
        """Let torch compile the layers, each by itself: all are one program, compiled at the first forward pass. On a
        GPU what a loss does with the logits is compiled too.

        The whole model as one program would take as many times longer to compile as it has layers. Every shape has a
        program of its own, so that the bits of a step do not depend on the shapes before it.
        """
        if self.model is self.kept and not self._in_place:
            self.model = copy_with(self.kept, {})
        torch._dynamo.config.recompile_limit = MOST_SHAPES
        self._wrap_layers(BACKEND)
        self._compile_loss(self._is_on_gpu)

    def leave_layers_uncompiled(self) -> None:
        """Take back what `compile_layers` and `use_graphs` did."""
        self.leave_graphs()
        self._wrap_layers()
        self._compile_loss(False)

    def _compile_loss(self, wanted: bool) -> None:
        """On a CPU chunks of logits stay in its cache, and operation by operation is as quick."""
        if self.model is not self.kept or self._in_place:
            vars(self.model)["loss_compiled"] = wanted

    @property
    def _is_on_gpu(self) -> bool:
        return next(self.kept.parameters()).device.type == "cuda"

    @property
    def why_no_graphs(self) -> str:
        """What keeps `use_graphs` from being called; empty where nothing does."""
        return why_no_graphs(
            on_gpu=self._is_on_gpu,
            devices=2 if self._in_place else 1,
            checkpointed=self._checkpoint_layers,
        )

    def use_graphs(self) -> None:
        """Let the layers, compiled before, be launched as CUDA graphs: recorded at the next forward pass."""
        assert self.model is not self.kept and self._graphed is None, "compiled before, once"
        layers = self.model.get_submodule("layers")
        handed_over = {id(own) for own in self._own}
        summed = [parameter for parameter in layers.parameters() if id(parameter) not in handed_over]
        self._graphed = GraphedLayers(list(layers.children()), summed=summed)
        self.model.through_layers = self._graphed  # type: ignore[assignment]

    @property
    def by_graphs(self) -> bool:
        """Whether `use_graphs` is in force."""
        return self._graphed is not None

    def leave_graphs(self) -> None:
        """Take back what `use_graphs` did."""
        if self._graphed is not None:
            self._graphed = None
            del self.model.through_layers

    def _wrap_layers(self, backend: str | None = None) -> None:
        for layer in self.model.get_submodule("layers").children():
            plain: Callable[..., Any] = type(layer).forward.__get__(layer)
            forward = plain
            if backend is not None:
                forward = torch.compile(plain, backend=backend, dynamic=False)
            if self._checkpoint_layers:
                forward = functools.partial(checkpoint, forward, use_reentrant=False)
            if self._in_place and backend is not None:  # measuring meets too many shapes to compile each
                forward = functools.partial(_one_of, forward, plain)
            layer.forward = forward

    def _is_also(self, trait: str) -> None:
        self.implementation = trait if self.implementation == "plain" else f"{self.implementation}, {trait}"


def narrow_stream(model: nn.Module, dtype: torch.dtype) -> None:
    """Let what the tables of `model` give be of `dtype` where gradients are asked for."""
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.register_forward_hook(functools.partial(_cast_output, dtype))


def copy_with(model: Model, instead: dict[int, nn.Parameter]) -> Model:
    """A copy of `model` that shares its parameters, but for those (by id) that others stand in for."""
    shared = {id(parameter): parameter for parameter in model.parameters()}
    return copy.deepcopy(model, {**shared, **instead})


def _hand_over(kept: nn.Parameter, own: Tensor) -> None:
    """Add the gradient of a copy to that of the parameter it is a copy of, and forget it."""
    assert own.grad is not None
    if kept.grad is None:
        kept.grad = own.grad.to(kept.dtype)
    else:
        kept.grad += own.grad
    own.grad = None


def _one_of(with_gradient: Callable[..., Any], without: Callable[..., Any], *inputs: Any) -> Any:
    return (with_gradient if torch.is_grad_enabled() else without)(*inputs)


def _cast_output(dtype: torch.dtype, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return output.to(dtype) if torch.is_grad_enabled() else output
