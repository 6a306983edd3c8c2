"""The optimizers: AdamW for what is looked up or scales, Muon (or AdamW) for the matrices of the blocks.

    matrices of the blocks    Muon, or AdamW      weight decay
    embedding, head           AdamW               none: a rare token's vector would only ever shrink
    norm gains                AdamW               none: their natural value is 1, not 0

`Optimizers` is one object per training: one step, one learning-rate factor, one flat dictionary of state
named by parameter, which is what a checkpoint stores. Knows no schedule, no loss and no files.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from workbench.errors import Damaged

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
OUTSIDE_THE_BLOCKS = ("embed_tokens", "embed_positions", "lm_head")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSettings:
    """Peak rates and decays, named as in the recipe's training tables (which say when to change them).

    matmul_dtype: the type Muon multiplies in; bfloat16 is enough where the device is fast at it.
    """

    optimizer: Literal["muon", "adamw"]
    learning_rate: float
    matrix_learning_rate: float = 0.0
    weight_decay: float = 0.0
    momentum: float = 0.95
    beta1: float = 0.9
    beta2: float = 0.95
    matmul_dtype: torch.dtype = torch.float32


class Optimizers:
    """AdamW, with Muon beside it if asked for, over all trainable parameters of a model, as one optimizer."""

    def __init__(
        self,
        model: nn.Module,
        settings: OptimizerSettings,
        *,
        rate_factors: Mapping[str, float] | None = None,
    ) -> None:
        """rate_factors: by what the rate of a parameter is multiplied, by its name; 1 for those not named."""
        self._settings = settings
        self._parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        factors = dict.fromkeys(self._parameters, 1.0) | dict(rate_factors or {})
        assert factors.keys() == self._parameters.keys(), "a rate factor for a parameter that is not trained"
        matrices = {name: p for name, p in self._parameters.items() if is_block_matrix(name, p)}
        others = {name: p for name, p in self._parameters.items() if name not in matrices}
        groups = _groups(others, factors, weight_decay=0.0)
        self._muon: Muon | None = None
        if settings.optimizer == "muon":
            self._muon = Muon(matrices, settings, factors)
        else:
            groups += _groups(matrices, factors, weight_decay=settings.weight_decay)
        self._adamw = _adamw(groups, settings)
        self.set_learning_rate(1.0)

    @property
    def implementation(self) -> str:
        """What computes the step; another implementation rounds differently."""
        return "muon-polar-express+adamw-fused" if self._muon else "adamw-fused"

    @property
    def learning_rate(self) -> float:
        """The rate AdamW uses now, where no factor multiplies it."""
        return self._learning_rate

    def set_learning_rate(self, factor: float) -> None:
        """Use `factor` times the peak rate, in every group, from the next step on."""
        self._learning_rate = factor * self._settings.learning_rate
        for group in self._adamw.param_groups:
            group["lr"] = self._learning_rate * group["rate_factor"]
        if self._muon:
            self._muon.learning_rate = factor * self._settings.matrix_learning_rate

    def step(self) -> None:
        """Move every parameter by its gradient."""
        self._adamw.step()
        if self._muon:
            self._muon.step()

    def zero_grad(self) -> None:
        """Forget the gradients and free their memory."""
        for parameter in self._parameters.values():
            parameter.grad = None

    def state_tensors(self) -> dict[str, Tensor]:
        """All the next step depends on besides weights, gradients and rate: `adamw.PARAMETER.exp_avg`…

        The tensors are the live ones: copy or write them before the next step.
        """
        tensors = {
            f"adamw.{name}.{quantity}": tensor
            for name, parameter in self._parameters.items()
            for quantity, tensor in self._adamw.state.get(parameter, {}).items()
        }
        momenta = self._muon.momenta if self._muon else {}
        return tensors | {f"muon.{name}.momentum": tensor for name, tensor in momenta.items()}

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state_tensors` gave. Raises Damaged when names or shapes are not this model's."""
        mine = self.state_tensors()
        for key in sorted(mine.keys() ^ tensors.keys()):
            raise Damaged(f"the optimizer state {'lacks' if key in mine else 'has an unknown'} {key}")
        for key, tensor in tensors.items():
            if tensor.shape != mine[key].shape:
                shapes = f"{list(tensor.shape)}, the model {list(mine[key].shape)}"
                raise Damaged(f"the optimizer state {key} has shape {shapes}")
        for key, tensor in tensors.items():
            mine[key].copy_(tensor)


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
        self.learning_rate = settings.matrix_learning_rate
        self._settings = settings
        factors = dict.fromkeys(matrices, 1.0) | dict(rate_factors or {})
        by_kind: dict[tuple[torch.Size, float], list[str]] = defaultdict(list)
        for name, matrix in matrices.items():
            by_kind[matrix.shape, factors[name]].append(name)
        self._rate_factors = [factor for _, factor in by_kind]
        self._stacks: list[list[Tensor]] = [[matrices[name] for name in names] for names in by_kind.values()]
        # NRC: N matrices of R rows and C columns
        self._momenta_NRC = [
            torch.zeros_like(torch.stack([p.detach() for p in stack])) for stack in self._stacks
        ]
        self.momenta: dict[str, Tensor] = {}
        for names, momenta_NRC in zip(by_kind.values(), self._momenta_NRC, strict=True):
            self.momenta |= dict(zip(names, momenta_NRC.unbind(), strict=True))

    @torch.no_grad()
    def step(self) -> None:
        """Move every matrix. All must have gradients."""
        momentum = self._settings.momentum
        for matrices, momenta_NRC, factor in zip(
            self._stacks, self._momenta_NRC, self._rate_factors, strict=True
        ):
            gradients_NRC = torch.stack([matrix.grad for matrix in matrices if matrix.grad is not None])
            momenta_NRC.lerp_(gradients_NRC, 1 - momentum)
            updates_NRC = orthogonalise(
                gradients_NRC.lerp_(momenta_NRC, momentum), dtype=self._settings.matmul_dtype
            )
            rows, columns = momenta_NRC.shape[1:]
            rate = self.learning_rate * factor
            distance, decay = rate * max(1.0, rows / columns) ** 0.5, 1 - rate * self._settings.weight_decay
            if decay != 1:
                torch._foreach_mul_(matrices, decay)
            torch._foreach_add_(matrices, list(updates_NRC.float().unbind()), alpha=-distance)


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


def is_block_matrix(name: str, parameter: Tensor) -> bool:
    """Whether this is a matrix that mixes features, as against a table of token vectors or a gain."""
    return parameter.ndim == 2 and not any(part in OUTSIDE_THE_BLOCKS for part in name.split("."))


def _groups(
    parameters: Mapping[str, nn.Parameter], rate_factors: Mapping[str, float], *, weight_decay: float
) -> list[dict[str, Any]]:
    """AdamW's groups: one for every rate factor that occurs."""
    by_factor: dict[float, list[nn.Parameter]] = defaultdict(list)
    for name, parameter in parameters.items():
        by_factor[rate_factors[name]].append(parameter)
    return [
        {"params": members, "weight_decay": weight_decay, "rate_factor": factor}
        for factor, members in by_factor.items()
    ]


def _adamw(groups: list[dict[str, Any]], settings: OptimizerSettings) -> torch.optim.AdamW:
    # fused: one pass over memory per parameter. On 2 CPU cores 2.5 ms for 4.9 M parameters, foreach 14 ms.
    adamw = torch.optim.AdamW(
        groups, lr=settings.learning_rate, betas=(settings.beta1, settings.beta2), eps=1e-8, fused=True
    )
    # torch makes the state at the first step; made here, a checkpoint has the same names at every step.
    for group in adamw.param_groups:
        for parameter in group["params"]:
            adamw.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
    return adamw
