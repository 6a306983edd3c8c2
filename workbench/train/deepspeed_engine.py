"""A training shared by several processes by DeepSpeed's ZeRO-3, for those who have it: an engine beside parallel.py.

    every rank    reads its rows; holds a part of each parameter, its gradient and its moments
    the loss      is a module of DeepSpeed's engine: parameters come together for the layers that it runs
    gradients     are averages over ranks there, and sums here: they are multiplied back

(ZeRO-3, Rajbhandari et al. 2020.) What is saved is what one process saves: whole tensors, AdamW's names. Any engine, or
one process without it, goes on from there. Loads DeepSpeed, which is not a dependency: `pip install deepspeed`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from workbench.errors import BadInput, Damaged
from workbench.layout import Layout
from workbench.model.folder import load_model
from workbench.model.stored_weights import Sliceable
from workbench.model.transformer import Decoder
from workbench.train.adaptive import EPSILON
from workbench.train.losses import LossSum
from workbench.train.optimizers import Optimizers
from workbench.train.parallel import ManyRanks, join
from workbench.train.parameter_groups import OptimizerSettings, parameter_groups
from workbench.train.ranks import Ranks
from workbench.train.sharded_optimizers import WholeState

KEPT_WHOLE = 1000
"""Parameters of fewer numbers, such as gains, are not worth a message each time."""
MEASURING = -1
"""Stands among the numbers of the modules that need a parameter for a measurement, which needs all."""
MOMENTS = ("exp_avg", "exp_avg_sq")


def open_deepspeed(layout: Layout) -> Ranks:
    """This process in a training by DeepSpeed, once it has met the others. Raises BadInput without DeepSpeed."""
    if find_spec("deepspeed") is None:
        raise BadInput(
            'engine = "deepspeed" needs DeepSpeed, which is not installed', fix="pip install deepspeed"
        )
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    join()
    return DeepSpeedRanks(layout)


class _Loss(nn.Module):
    """The loss function as a module, which is what the engine can run; what else it tells is in `part`."""

    def __init__(self, model: Decoder) -> None:
        super().__init__()
        self.decoder = model
        self.part: LossSum | None = None

    def forward(
        self, loss_fn: Callable[[Any, Any], LossSum], rows: Any, autocast: torch.dtype | None
    ) -> Tensor:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        with torch.autocast(device, dtype=autocast, enabled=autocast is not None):
            self.part = loss_fn(self.decoder, rows)
        return self.part.total


class DeepSpeedRanks(ManyRanks):
    """This process among several whose parameters, gradients and moments DeepSpeed holds."""

    saves_blocks = False

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._engines: dict[int, Any] = {}  # by the model they run

    def __str__(self) -> str:
        return f"{self.count} (DeepSpeed ZeRO-3)"

    def place(
        self,
        model: Decoder,
        device: torch.device,
        *,
        weights_dtype: torch.dtype = torch.float32,
        float8: bool = False,
    ) -> Decoder:
        return model.to(device)  # whole until there is an optimizer: the engine is made of both

    def open(
        self,
        folder: Path,
        device: torch.device,
        *,
        weights_dtype: torch.dtype = torch.float32,
        float8: bool = False,
    ) -> Decoder:
        return self.place(load_model(folder), device)

    def settle(self, model: nn.Module) -> None:
        pass

    def optimizer(
        self,
        model: nn.Module,
        settings: OptimizerSettings,
        *,
        rate_factors: Mapping[str, float] | None = None,
    ) -> Optimizers:
        optimizer = ZeroOptimizers(model, settings, rate_factors=rate_factors)
        self._engines[id(model)] = optimizer.engine
        return optimizer

    # -- what a step asks of the engine ---------------------------------------------------------------

    def loss(self, loss_fn: Callable[[Any, Any], LossSum], model: Any, rows: Any) -> LossSum:
        engine = self._engines[id(model)]
        device = "cuda" if torch.cuda.is_available() else "cpu"
        autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        with torch.autocast(device, enabled=False):  # the engine would refuse to know of it
            total = engine(loss_fn, rows, autocast)
        part = engine.module.part
        engine.module.part = None
        return LossSum(total=total, count=part.count, tokens=part.tokens, extras=part.extras)

    def backward(self, total: Tensor) -> None:
        (engine,) = self._engines.values()
        engine.backward(total)

    def gradients(self, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
        """Of every parameter the part that this rank holds, as a sum over ranks; once a step."""
        from deepspeed.utils import safe_get_local_grad

        found = []
        for parameter in parameters:
            part = safe_get_local_grad(parameter).view(-1)
            found.append(part[: _held_numel(parameter)].mul_(self.count))
        return found

    def norm(self, gradients: Any) -> float:
        squares = sum(float(gradient.double().square().sum()) for gradient in gradients)
        added = torch.tensor(squares, dtype=torch.float64)
        dist.all_reduce(added)
        return float(added.sqrt())

    @contextlib.contextmanager
    def measuring(self, model: nn.Module) -> Iterator[None]:
        """For the block all parameters are whole on every rank."""
        if id(model) not in self._engines:
            yield
            return
        from deepspeed.runtime.zero import GatheredParameters

        parameters: list[Any] = list(model.parameters())
        with torch.no_grad(), GatheredParameters(parameters):
            for parameter in parameters:  # or the first module that is done with it lets it go
                parameter.ds_active_sub_modules.add(MEASURING)
            try:
                yield
            finally:
                for parameter in parameters:
                    parameter.ds_active_sub_modules.discard(MEASURING)

    # -- checkpoints ----------------------------------------------------------------------------------

    def gather(self, model: Decoder, optimizer: Optimizers) -> tuple[Decoder, Optimizers]:
        assert isinstance(optimizer, ZeroOptimizers)
        from deepspeed.utils import safe_get_full_fp32_param

        weights = {
            name: safe_get_full_fp32_param(parameter).detach().to("cpu", copy=True)
            for name, parameter in model.named_parameters()
        }
        state = optimizer.whole_state()
        with torch.device("meta"):
            alone = Decoder(model.config)
        if self.is_first:
            alone.load_state_dict(weights, assign=True)
        return alone, WholeState(state if self.is_first else {})

    def load(self, model: Decoder, weights: Mapping[str, Sliceable]) -> None:
        from deepspeed.runtime.zero import GatheredParameters
        from deepspeed.utils import safe_set_full_fp32_param

        for name, parameter in model.named_parameters():
            value = weights[name][()].detach().to(parameter.device)
            with GatheredParameters([parameter], modifier_rank=0):
                if self.is_first:
                    parameter.data.copy_(value)
            safe_set_full_fp32_param(parameter, value)


class ZeroOptimizers(Optimizers):
    """AdamW of torch over the parts that DeepSpeed's engine gives it."""

    def __init__(
        self,
        model: nn.Module,
        settings: OptimizerSettings,
        *,
        rate_factors: Mapping[str, float] | None = None,
    ) -> None:
        import deepspeed

        assert settings.optimizer == "adamw", "the engine's step goes number by number"
        self._peak_rate = settings.learning_rate
        self._parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        groups = parameter_groups(self._parameters, settings, rate_factors)
        self._peak_rates = [settings.learning_rate * group.rate_factor for group in groups]
        # Should the engine take a first step of nothing, its rate of 0 moves nothing.
        self._torchs = torch.optim.AdamW(
            [
                {"params": list(group.parameters.values()), "weight_decay": group.weight_decay}
                for group in groups
            ],
            lr=0.0,
            betas=(settings.beta1, settings.beta2),
            eps=EPSILON,
        )
        loss = _Loss(model)  # type: ignore[arg-type]
        for name, table in model.named_parameters():
            if name in ("embed_tokens.weight", "lm_head.weight"):  # read outside of their own modules
                deepspeed.zero.register_external_parameter(loss, table)
        self.engine, *_ = deepspeed.initialize(
            model=loss,
            optimizer=self._torchs,
            config={
                "train_micro_batch_size_per_gpu": 1,  # how batches are cut is the loop's, which divides once
                "gradient_accumulation_steps": 1,
                "gradient_clipping": 0.0,
                "zero_allow_untested_optimizer": True,
                "zero_force_ds_cpu_optimizer": False,
                "zero_optimization": {
                    "stage": 3,
                    "stage3_param_persistence_threshold": KEPT_WHOLE,
                    "memory_efficient_linear": False,  # would put itself in the place of torch's, for good
                },
            },
            dist_init_required=False,
        )
        for flat in self.engine.optimizer.fp32_partitioned_groups_flat:
            self._torchs.state[flat] = {
                "step": torch.zeros(()),
                **{moment: torch.zeros_like(flat) for moment in MOMENTS},
            }
        self.set_learning_rate(1.0)

    @property
    def implementation(self) -> str:
        return "adamw-deepspeed"

    @property
    def state_bytes(self) -> int:
        return sum(state[name].nbytes for state in self._torchs.state.values() for name in MOMENTS)

    def set_learning_rate(self, factor: float) -> None:
        self._learning_rate = factor * self._peak_rate
        for group, peak in zip(self._torchs.param_groups, self._peak_rates, strict=True):
            group["lr"] = factor * peak

    def step(self) -> None:
        self.engine.optimizer.step()

    def zero_grad(self) -> None:
        self.engine.optimizer.zero_grad()

    def whole_state(self) -> dict[str, Tensor]:
        """`state_tensors` of one process alone; all ranks must ask."""
        from deepspeed.utils import safe_get_full_optimizer_state

        steps = self._steps()
        found: dict[str, Tensor] = {}
        for name, parameter in self._parameters.items():
            found[f"adamw.{name}.step"] = torch.tensor(steps)
            for moment in MOMENTS:
                whole = safe_get_full_optimizer_state(parameter, moment)
                found[f"adamw.{name}.{moment}"] = whole.detach().to("cpu", copy=True)
        return found

    def load_state_tensors(self, tensors: Mapping[str, Sliceable]) -> None:
        from deepspeed.utils import safe_set_full_optimizer_state

        mine = {f"adamw.{name}.{key}" for name in self._parameters for key in ("step", *MOMENTS)}
        for key in sorted(mine ^ tensors.keys()):
            raise Damaged(f"the optimizer state {'lacks' if key in mine else 'has an unknown'} {key}")
        for name, parameter in self._parameters.items():
            for moment in MOMENTS:
                value = tensors[f"adamw.{name}.{moment}"][()]
                if value.shape != _whole_shape(parameter):
                    shapes = f"{list(value.shape)}, the model {list(_whole_shape(parameter))}"
                    raise Damaged(f"the optimizer state adamw.{name}.{moment} has shape {shapes}")
                safe_set_full_optimizer_state(parameter, value.to(parameter.device), moment)
        self._set_steps(float(tensors[f"adamw.{name}.step"][()]))

    def _steps(self) -> float:
        return float(next(iter(self._torchs.state.values()))["step"])

    def _set_steps(self, steps: float) -> None:
        for state in self._torchs.state.values():
            state["step"].fill_(steps)


def _held_numel(parameter: nn.Parameter) -> int:
    """Of the part of a parameter that this rank holds, the numbers that are no padding."""
    part, whole = parameter.partition_numel(), parameter.ds_numel  # type: ignore[attr-defined]
    return max(0, min(int(part), int(whole) - dist.get_rank() * int(part)))


def _whole_shape(parameter: nn.Parameter) -> torch.Size:
    return torch.Size(parameter.ds_shape)  # type: ignore[attr-defined]
