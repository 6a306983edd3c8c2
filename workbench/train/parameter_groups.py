"""What an optimizer is asked for, and what each parameter gets of it: its weight decay and its share of the rate.

    matrices      of the blocks: they mix features             weight_decay
    embeddings    what is looked up, and the head              embedding_weight_decay, embedding_learning_rate_factor
    norms         gains and biases                             norm_weight_decay, norm_learning_rate_factor

By default only matrices decay: a rare token's vector would only ever shrink, and a gain's natural value is 1, not 0.
Knows no optimizer's arithmetic.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from workbench.model.parametrization import is_block_matrix

Kind = Literal["matrices", "embeddings", "norms"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSettings:
    """Peak rates and decays, named as in the recipe's training tables (which say when to change them).

    matmul_dtype: the type Muon multiplies in; bfloat16 is enough where the device is fast at it.
    """

    optimizer: Literal["muon", "adamw", "adafactor", "adamw8bit"]
    learning_rate: float
    matrix_learning_rate: float = 0.0
    weight_decay: float = 0.0
    embedding_weight_decay: float = 0.0
    norm_weight_decay: float = 0.0
    embedding_learning_rate_factor: float = 1.0
    norm_learning_rate_factor: float = 1.0
    momentum: float = 0.95
    beta1: float = 0.9
    beta2: float = 0.95
    matmul_dtype: torch.dtype = torch.float32


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ParameterGroup:
    """Parameters, by name, that are treated alike."""

    kind: Kind
    parameters: dict[str, nn.Parameter]
    weight_decay: float
    rate_factor: float


def parameter_groups(
    parameters: Mapping[str, nn.Parameter],
    settings: OptimizerSettings,
    rate_factors: Mapping[str, float] | None = None,
) -> list[ParameterGroup]:
    """All parameters, in as few groups as their kinds and rates allow.

    rate_factors: by what the rate of a parameter is multiplied besides its kind's factor, by its name; 1 for those
    that are not named. Its decay goes by the rate without that: what share of a weight is forgotten in a step does
    not depend on how fast it learns (muP asks for it, see `workbench/model/parametrization.py`).
    """
    rate_factors = rate_factors or {}
    assert rate_factors.keys() <= parameters.keys(), "a rate factor for a parameter that is not trained"
    of_kind: dict[Kind, tuple[float, float]] = {
        "embeddings": (settings.embedding_weight_decay, settings.embedding_learning_rate_factor),
        "norms": (settings.norm_weight_decay, settings.norm_learning_rate_factor),
        "matrices": (settings.weight_decay, 1.0),
    }
    groups: dict[tuple[Kind, float], ParameterGroup] = {}
    for name, parameter in parameters.items():
        kind = kind_of(name, parameter)
        weight_decay, kind_factor = of_kind[kind]
        own_factor = rate_factors.get(name, 1.0)
        group = ParameterGroup(
            kind=kind,
            parameters={},
            weight_decay=weight_decay / own_factor,
            rate_factor=kind_factor * own_factor,
        )
        groups.setdefault((kind, own_factor), group).parameters[name] = parameter
    return list(groups.values())


def kind_of(name: str, parameter: Tensor) -> Kind:
    """What a parameter is to an optimizer."""
    if is_block_matrix(name, parameter):
        return "matrices"
    return "embeddings" if parameter.ndim > 1 else "norms"
