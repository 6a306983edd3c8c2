"""The optimizers that give every number its own rate: AdamW of torch, its 8-bit sister of torchao, Adafactor.

    adamw        two moments a parameter, 8 bytes      Loshchilov & Hutter 2019
    adamw8bit    two moments of a byte each            Dettmers et al. 2021: blocks of 256 share a scale
    adafactor    sums of rows and of columns           Shazeer & Stern 2018: no first moment, almost no memory

Their state exists from the start, so that a checkpoint has the same names at every step.
Knows no schedule, no model and no files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw as step_by_torch

from workbench.errors import BadInput
from workbench.layout import MOMENT_BLOCK, is_quantised
from workbench.train.parameter_groups import OptimizerSettings, ParameterGroup

EPSILON = 1e-8


class Adaptive:
    """An optimizer of torch's kind over named groups.

    name: begins the names of its state tensors. implementation: what computes the step.
    eager: do not let it compile its step.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        groups: Sequence[ParameterGroup],
        settings: OptimizerSettings,
        *,
        name: str,
        implementation: str,
        eager: bool = False,
    ) -> None:
        self.implementation = implementation
        self._optimizer = optimizer
        self._peak_rates = [settings.learning_rate * group.rate_factor for group in groups]
        self._parameters = {
            f"{name}.{each}": parameter for group in groups for each, parameter in group.parameters.items()
        }
        self._eager = eager

    def set_learning_rate(self, factor: float) -> None:
        """Use `factor` times the peak rate, in every group, from the next step on."""
        for group, peak in zip(self._optimizer.param_groups, self._peak_rates, strict=True):
            if isinstance(group["lr"], Tensor):  # a compiled step would take a number for a constant
                group["lr"].fill_(factor * peak)
            else:
                group["lr"] = factor * peak

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        with torch.compiler.set_stance("force_eager") if self._eager else contextlib.nullcontext():
            self._optimizer.step()

    def state_tensors(self) -> dict[str, Tensor]:
        """The live tensors, as `adamw.PARAMETER.exp_avg`; a quantised one is two, `….codes` and `….scale`."""
        return {
            f"{name}.{quantity}{suffix}": tensor
            for name, parameter in self._parameters.items()
            for quantity, state in self._optimizer.state[parameter].items()
            for suffix, tensor in _plain(state)
        }


class AdamW:
    """AdamW in one pass over memory per parameter: 2.5 ms for 4.9 M parameters on 2 CPU cores, `foreach` 14 ms.

    By torch's function, not its class: that brings torch's compiler into the process at its first use, 1.4 s and
    120 MB which a training without compiled layers has no use for.
    """

    implementation = "adamw-fused"

    def __init__(self, groups: Sequence[ParameterGroup], settings: OptimizerSettings) -> None:
        self._groups, self._settings = groups, settings
        self._peak_rates = [settings.learning_rate * group.rate_factor for group in groups]
        self._factor = 1.0
        self._state = {
            name: {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
            for group in groups
            for name, parameter in group.parameters.items()
        }

    def set_learning_rate(self, factor: float) -> None:
        """Use `factor` times the peak rate, in every group, from the next step on."""
        self._factor = factor

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group, peak_rate in zip(self._groups, self._peak_rates, strict=True):
            moving = {name: each for name, each in group.parameters.items() if each.grad is not None}
            state = [self._state[name] for name in moving]
            step_by_torch(
                list(moving.values()),
                [each.grad for each in moving.values() if each.grad is not None],
                [each["exp_avg"] for each in state],
                [each["exp_avg_sq"] for each in state],
                [],
                [each["step"] for each in state],
                fused=True,
                amsgrad=False,
                beta1=self._settings.beta1,
                beta2=self._settings.beta2,
                lr=self._factor * peak_rate,
                weight_decay=group.weight_decay,
                eps=EPSILON,
                maximize=False,
            )

    def state_tensors(self) -> dict[str, Tensor]:
        """The live tensors, as `adamw.PARAMETER.exp_avg`."""
        return {
            f"adamw.{name}.{quantity}": tensor
            for name, state in self._state.items()
            for quantity, tensor in state.items()
        }


def adafactor(groups: Sequence[ParameterGroup], settings: OptimizerSettings) -> Adaptive:
    """Adafactor: a matrix's second moment is told by its row and column sums alone, and there is no first.

    Its rate is a share of the parameter's own root mean square (at least 1e-3), and never above 1 / sqrt(step). The
    second moment forgets ever less, as 1 - step^-0.8, so `beta1` and `beta2` mean nothing here.
    """
    optimizer = torch.optim.Adafactor(_as_torchs(groups), lr=settings.learning_rate, foreach=False)
    for parameter in _members(groups):
        state = {"step": torch.zeros(())}
        if parameter.ndim > 1:
            state["row_var"] = parameter.new_zeros((*parameter.shape[:-1], 1))
            state["col_var"] = parameter.new_zeros((*parameter.shape[:-2], 1, parameter.shape[-1]))
        else:
            state["variance"] = torch.zeros_like(parameter)
        optimizer.state[parameter] = state
    return Adaptive(optimizer, groups, settings, name="adafactor", implementation="adafactor")


def adamw8bit(
    groups: Sequence[ParameterGroup],
    settings: OptimizerSettings,
    *,
    shapes: Mapping[str, torch.Size] | None = None,
) -> Adaptive:
    """AdamW with moments of 8 bits, from 4,096 numbers a parameter on; raises BadInput without torchao.

    shapes: by name, of the tensors that the parameters are parts of, where they are: these decide what is quantised.
    torchao compiles its step, which takes a minute on a CPU and gains nothing there: on a CPU it runs as written.
    """
    try:
        from torchao.optim import AdamW8bit
    except ImportError:
        raise BadInput(
            'optimizer = "adamw8bit" needs torchao, which is not installed',
            fix="pip install 'torchao>=0.18,<0.19', or choose another optimizer",
        ) from None
    optimizer = AdamW8bit(
        _as_torchs(groups),
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=EPSILON,
        block_size=MOMENT_BLOCK,
    )
    for name, parameter in {name: p for group in groups for name, p in group.parameters.items()}.items():
        like = parameter.detach()
        if is_quantised(like.shape if shapes is None else shapes[name]):
            first, second = (
                optimizer._subclass_zeros(like, signed, MOMENT_BLOCK) for signed in (True, False)
            )
        else:
            first, second = torch.zeros_like(like), torch.zeros_like(like)
        optimizer.state[parameter] = {"step": torch.zeros(()), "exp_avg": first, "exp_avg_sq": second}
    on_cpu = all(parameter.is_cpu for parameter in _members(groups))
    kind = "eager" if on_cpu else "compiled"
    return Adaptive(
        optimizer, groups, settings, name="adamw8bit", implementation=f"adamw8bit-{kind}", eager=on_cpu
    )


def _as_torchs(groups: Sequence[ParameterGroup]) -> list[dict[str, Any]]:
    return [
        {"params": list(group.parameters.values()), "weight_decay": group.weight_decay} for group in groups
    ]


def _members(groups: Sequence[ParameterGroup]) -> Iterator[nn.Parameter]:
    for group in groups:
        yield from group.parameters.values()


def _plain(state: Tensor) -> list[tuple[str, Tensor]]:
    """The plain tensors that a state tensor consists of, each with what its name ends with."""
    if not hasattr(state, "codes"):
        return [("", state)]
    # torchao's. Its third tensor, the table of the 256 values that a code can mean, is a constant.
    return [(f".{part}", getattr(state, part)) for part in ("codes", "scale")]
