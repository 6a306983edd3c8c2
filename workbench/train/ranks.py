"""The processes that share one training, each a rank. Here: one alone, for which every question answers itself.

The loop, the evaluations and the stages ask the same few questions of one process and of many: which rows are
mine, what does it come to over all of us, what did the first decide. Several processes: parallel.py, which is
imported for them only.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.model.folder import load_model
from workbench.model.stored_weights import Sliceable
from workbench.model.transformer import Decoder
from workbench.train.losses import LossSum
from workbench.train.optimizers import Optimizers
from workbench.train.parameter_groups import OptimizerSettings

T = TypeVar("T")
Rows = TypeVar("Rows")
Model = TypeVar("Model", bound=nn.Module)
MicroBatch = TypeVar("MicroBatch")


@dataclasses.dataclass(frozen=True, slots=True)
class Share(Generic[Rows]):
    """The rows of a batch that this rank works on, from number `start` on.

    Without `counts` they are somebody else's: there were fewer rows than ranks, and all must work in step.
    """

    rows: Rows
    start: int = 0
    counts: bool = True


class Ranks:
    """One process alone: all rows are its own, all tensors whole, and what it decides holds."""

    count = 1
    number = 0
    """Of this rank among them."""
    is_first = True
    data_ranks = 1
    """Into how many parts a batch is cut."""
    saves_blocks = False
    """Whether a checkpoint can be written by all ranks, each what it holds (together.py)."""

    def __str__(self) -> str:
        return "1"

    # -- what the first one decides -------------------------------------------------------------------

    def agree(self, value: T) -> T:
        """The value that the first rank gives, on every rank. Plain data, as JSON has it."""
        return value

    def smallest(self, value: int) -> int:
        """The smallest of the values that the ranks give, on every rank."""
        return value

    def first_does(self, action: Callable[[], T]) -> T | None:
        """What `action` gives on the first rank, while the others wait; None on those.

        TrainingDiverged is raised on every rank; whatever else stops the first ends them all.
        """
        return action()

    def tell_all(self, value: T) -> list[T]:
        """The value of every rank, on every rank. Plain data, as JSON has it."""
        return [value]

    # -- batches --------------------------------------------------------------------------------------

    def share(self, rows: Rows) -> Share[Rows]:
        """This rank's part of these rows: about equally many for each, in order."""
        return Share(rows)

    def add_up(self, figures: NDArray[np.float64]) -> NDArray[np.float64]:
        """Each figure summed over the parts of the batch, the same bits on every rank."""
        return figures

    # -- weights, gradients, moments ------------------------------------------------------------------

    def place(
        self,
        model: Decoder,
        device: torch.device,
        *,
        weights_dtype: torch.dtype = torch.float32,
        float8: bool = False,
    ) -> Decoder:
        """The same model on this rank's device, or what this rank holds of it. All its weights must be equal.

        weights_dtype, float8: of what computes a step, where that is no copy of the model (working_model.py).
        """
        return model.to(device)

    def open(
        self,
        folder: Path,
        device: torch.device,
        *,
        weights_dtype: torch.dtype = torch.float32,
        float8: bool = False,
    ) -> Decoder:
        """`place` of the model in a folder. Raises NotFound, BadInput or Damaged, one line each."""
        return self.place(load_model(folder), device, weights_dtype=weights_dtype, float8=float8)

    def settle(self, model: nn.Module) -> None:
        """Let go of what a forward pass without a backward one still holds of the others' weights."""

    def optimizer(
        self,
        model: nn.Module,
        settings: OptimizerSettings,
        *,
        rate_factors: Mapping[str, float] | None = None,
    ) -> Optimizers:
        """The optimizer of what this rank holds."""
        return Optimizers(model, settings, rate_factors=rate_factors)

    # -- a step ---------------------------------------------------------------------------------------

    def loss(
        self, loss_fn: Callable[[Model, MicroBatch], LossSum], model: Model, rows: MicroBatch
    ) -> LossSum:
        """`loss_fn` of this rank's rows."""
        return loss_fn(model, rows)

    def backward(self, total: Tensor) -> None:
        """Add the gradient of a loss to those of the parameters."""
        total.backward()

    def gradients(self, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
        """Those that there are, summed over ranks; the loop changes them in place, once a step."""
        return [parameter.grad for parameter in parameters if parameter.grad is not None]

    def measuring(self, model: nn.Module) -> contextlib.AbstractContextManager[None]:
        """For the block `model` can be computed with outside of a step."""
        return contextlib.nullcontext()

    def held(self, tensors: Iterable[Tensor]) -> list[Tensor]:
        """The parts of these tensors that this rank holds; writing into them writes the tensors."""
        return list(tensors)

    def norm(self, gradients: Iterable[Tensor]) -> float:
        """The norm of all these gradients together, over all ranks."""
        return float(nn.utils.get_total_norm(self.held(gradients)))

    def whole(self, tensor: Tensor) -> Tensor:
        """The tensor that this is, or that this is a part of."""
        return tensor

    def gather(self, model: Decoder, optimizer: Optimizers) -> tuple[Decoder, Optimizers]:
        """Both with whole tensors, for a checkpoint; on ranks other than the first nobody may look at them.

        Of one process alone they are the training's own; of several, copies in host memory.
        """
        return model, optimizer

    def load(self, model: Decoder, weights: Mapping[str, Sliceable]) -> None:
        """Put weights, by name, into a placed model; of each no more is read than this rank holds."""
        for name, tensor in model.state_dict().items():
            tensor.copy_(weights[name][()])


ALONE = Ranks()
"""The one process that most trainings are."""
