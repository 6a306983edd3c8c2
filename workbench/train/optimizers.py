"""One optimizer per training, whatever it is made of: Muon beside AdamW, or one that takes all parameters.

    muon         matrices of the blocks by Muon, the rest by AdamW
    adamw, adamw8bit, adafactor        everything

`Optimizers` is one object: one step, one learning-rate factor, one flat dictionary of state named by parameter, which
is what a checkpoint stores. Who gets which decay and rate: parameter_groups.py. Knows no schedule, no loss, no files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from workbench.errors import Damaged
from workbench.model.stored_weights import Sliceable
from workbench.train.adaptive import AdamW, adafactor, adamw8bit
from workbench.train.parameter_groups import OptimizerSettings, ParameterGroup, parameter_groups

# Quintics a x + b x^3 + c x^5, one a round. Each is the best there is for what the rounds before it leave (Polar
# Express, Amsel et al. 2025), where Jordan et al. 2024 repeat one five times. A matrix of norm 1 has singular values
# of about 1 / sqrt(width), so a wider one has smaller ones, which take more rounds.
# From 0.01 on to 0.73 … 1.27; smaller ones are lifted 78-fold. In training as good as the five rounds of one quintic.
NEWTON_SCHULZ_NARROW = (
    (8.0934, -23.6204, 17.4462),
    (3.6366, -2.7219, 0.5365),
    (2.6613, -1.9772, 0.4526),
)
# From 0.001 on to 0.88 … 1.12.
NEWTON_SCHULZ_WIDE = (
    (8.4703, -25.1081, 18.6293),
    (4.1828, -3.1087, 0.5806),
    (3.9619, -2.9541, 0.5630),
    (3.2866, -2.4647, 0.5074),
    (2.2737, -1.6447, 0.4162),
)
NARROW = 512
"""The largest smaller side of a matrix for which three rounds do."""
NORM_MARGIN = 1.01
"""A value that rounding lifted over 1 would not converge; the division leaves room for it."""


class Part(Protocol):
    """What moves some of the parameters."""

    @property
    def implementation(self) -> str:
        """What computes the step; another implementation rounds differently."""

    def set_learning_rate(self, factor: float) -> None:
        """Use `factor` times the peak rate from the next step on."""

    def step(self) -> None:
        """Move the parameters by their gradients."""

    def state_tensors(self) -> dict[str, Tensor]:
        """The live tensors that the next step depends on, under names that no other part has."""


EVERYTHING: Mapping[str, Callable[[Sequence[ParameterGroup], OptimizerSettings], Part]] = {
    "adamw": AdamW,
    "adamw8bit": adamw8bit,
    "adafactor": adafactor,
}
"""Those that take every parameter."""


class Optimizers:
    """What moves all trainable parameters of a model, as one optimizer."""

    def __init__(
        self,
        model: nn.Module,
        settings: OptimizerSettings,
        *,
        rate_factors: Mapping[str, float] | None = None,
    ) -> None:
        """rate_factors: by what the rate of a parameter is multiplied, by its name; 1 for those not named."""
        self._peak_rate = settings.learning_rate
        self._parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        groups = parameter_groups(self._parameters, settings, rate_factors)
        self._parts: list[Part] = []
        if settings.optimizer == "muon":
            matrices = [group for group in groups if group.kind == "matrices"]
            groups = [group for group in groups if group.kind != "matrices"]
            factors = {name: group.rate_factor for group in matrices for name in group.parameters}
            by_name = {name: parameter for name, parameter in self._parameters.items() if name in factors}
            self._parts.append(self._make_muon(by_name, settings, factors))
        if groups:
            self._parts.append(self._make_adaptive(groups, settings))
        self.set_learning_rate(1.0)

    def _make_muon(
        self, matrices: Mapping[str, nn.Parameter], settings: OptimizerSettings, factors: Mapping[str, float]
    ) -> Part:
        return Muon(matrices, settings, factors)

    def _make_adaptive(self, groups: Sequence[ParameterGroup], settings: OptimizerSettings) -> Part:
        return EVERYTHING.get(settings.optimizer, AdamW)(groups, settings)

    @property
    def implementation(self) -> str:
        """What computes the step; another implementation rounds differently."""
        return "+".join(part.implementation for part in self._parts)

    @property
    def learning_rate(self) -> float:
        """The rate now of all that is not Muon's, where no factor multiplies it."""
        return self._learning_rate

    @property
    def state_bytes(self) -> int:
        """Memory of the state."""
        return sum(tensor.nbytes for tensor in self.state_tensors().values())

    def set_learning_rate(self, factor: float) -> None:
        """Use `factor` times the peak rate, in every group, from the next step on."""
        self._learning_rate = factor * self._peak_rate
        for part in self._parts:
            part.set_learning_rate(factor)

    def step(self) -> None:
        """Move every parameter by its gradient."""
        for part in self._parts:
            part.step()

    def zero_grad(self) -> None:
        """Forget the gradients and free their memory."""
        for parameter in self._parameters.values():
            parameter.grad = None

    def state_tensors(self) -> dict[str, Tensor]:
        """All the next step depends on besides weights, gradients and rate: `adamw.PARAMETER.exp_avg`…

        The tensors are plain and live: copy or write them before the next step.
        """
        return {name: tensor for part in self._parts for name, tensor in part.state_tensors().items()}

    def load_state_tensors(self, tensors: Mapping[str, Sliceable]) -> None:
        """Put back what `state_tensors` gave, one tensor after the other.

        Raises Damaged when names, shapes or types are not this model's.
        """
        mine = self.state_tensors()
        for key in sorted(mine.keys() ^ tensors.keys()):
            raise Damaged(f"the optimizer state {'lacks' if key in mine else 'has an unknown'} {key}")
        for key, tensor in tensors.items():
            if tensor.shape != mine[key].shape:
                shapes = f"{list(tensor.shape)}, the model {list(mine[key].shape)}"
                raise Damaged(f"the optimizer state {key} has shape {shapes}")
            if tensor.dtype != mine[key].dtype:
                raise Damaged(f"the optimizer state {key} is of {tensor.dtype}, not {mine[key].dtype}")
        for key, tensor in tensors.items():
            mine[key].copy_(tensor[()])


class Muon:
    """Momentum, orthogonalised: every matrix moves equally far in all directions (Jordan et al. 2024).

    A gradient matrix is dominated by few directions. Muon keeps its singular vectors and sets its singular
    values to about 1, so rare directions are learned as fast as common ones. Nesterov momentum.

    The update of a (rows, columns) matrix is scaled by sqrt(max(1, rows / columns)): its effect on the output
    is then of one size for tall and wide matrices. Weight decay is decoupled.

    Matrices of one shape are one stack, so a step is a few batched products instead of fifteen per matrix.

    rate_factors: by what the rate of a matrix is multiplied; of one shape, those with one factor are a stack.
    """

    def __init__(
        self,
        matrices: Mapping[str, nn.Parameter],
        settings: OptimizerSettings,
        rate_factors: Mapping[str, float] | None = None,
    ) -> None:
        self.implementation = "muon-polar-express"
        self.learning_rate = settings.matrix_learning_rate
        self._settings = settings
        factors = dict.fromkeys(matrices, 1.0) | dict(rate_factors or {})
        by_kind: dict[tuple[Hashable, float], list[str]] = defaultdict(list)
        for name, matrix in matrices.items():
            by_kind[self._kind(name, matrix), factors[name]].append(name)
        self._names = list(by_kind.values())
        self._shapes = {name: matrix.shape for name, matrix in matrices.items()}
        self._rate_factors = [factor for _, factor in by_kind]
        self._stacks: list[list[Tensor]] = [[matrices[name] for name in names] for names in by_kind.values()]
        # NRC: N matrices of R rows and C columns
        self._momenta_NRC = [
            torch.zeros_like(torch.stack([p.detach() for p in stack])) for stack in self._stacks
        ]
        self.momenta: dict[str, Tensor] = {}
        for names, momenta_NRC in zip(by_kind.values(), self._momenta_NRC, strict=True):
            self.momenta |= dict(zip(names, momenta_NRC.unbind(), strict=True))

    def set_learning_rate(self, factor: float) -> None:
        """Use `factor` times the peak rate from the next step on."""
        self.learning_rate = factor * self._settings.matrix_learning_rate

    def state_tensors(self) -> dict[str, Tensor]:
        """The live momenta, as `muon.PARAMETER.momentum`."""
        return {f"muon.{name}.momentum": tensor for name, tensor in self.momenta.items()}

    @torch.no_grad()
    def step(self) -> None:
        """Move every matrix. All must have gradients."""
        momentum, decay = self._settings.momentum, 1 - self.learning_rate * self._settings.weight_decay
        for names, matrices, momenta_NRC, factor in zip(
            self._names, self._stacks, self._momenta_NRC, self._rate_factors, strict=True
        ):
            gradients_NRC = torch.stack([matrix.grad for matrix in matrices if matrix.grad is not None])
            momenta_NRC.lerp_(gradients_NRC, 1 - momentum)
            updates_NRC = self._orthogonalised(gradients_NRC.lerp_(momenta_NRC, momentum), names)
            rows, columns = self._whole_shape(names)
            distance = self.learning_rate * factor * max(1.0, rows / columns) ** 0.5
            if decay != 1:
                torch._foreach_mul_(matrices, decay)
            torch._foreach_add_(matrices, list(updates_NRC.float().unbind()), alpha=-distance)

    # What is different where a process holds parts of matrices: sharded_optimizers.py.

    def _kind(self, name: str, matrix: Tensor) -> Hashable:
        """What the matrices of one stack have in common."""
        return matrix.shape

    def _whole_shape(self, names: Sequence[str]) -> torch.Size:
        """Rows and columns of each of these matrices."""
        return self._shapes[names[0]]

    def _orthogonalised(self, updates_NRC: Tensor, names: Sequence[str]) -> Tensor:
        """`orthogonalise` of the stack of these matrices."""
        return orthogonalise(updates_NRC, dtype=self._settings.matmul_dtype)


def orthogonalise(x_NRC: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """U V^T of every matrix U S V^T in the stack, roughly: singular values between 0.7 and 1.3, in `dtype`.

    Newton-Schulz: an odd polynomial of a matrix acts on its singular values and leaves its vectors alone, and
    needs only products. The division by the Frobenius norm brings the values into (0, 1], where it converges.
    """
    tall = x_NRC.shape[-2] > x_NRC.shape[-1]
    if tall:  # the square matrix below is then the smaller of the two possible
        x_NRC = x_NRC.mT
    x_NRC = (x_NRC / (x_NRC.norm(dim=(-2, -1), keepdim=True) * NORM_MARGIN + 1e-7)).to(dtype)
    for a, b, c in NEWTON_SCHULZ_NARROW if x_NRC.shape[-2] <= NARROW else NEWTON_SCHULZ_WIDE:
        gram_NRR = x_NRC @ x_NRC.mT
        quadratic_NRR = torch.baddbmm(gram_NRR, gram_NRR, gram_NRR, beta=b, alpha=c)
        x_NRC = torch.baddbmm(x_NRC, quadratic_NRR, x_NRC, beta=a)
    return x_NRC.mT if tall else x_NRC
