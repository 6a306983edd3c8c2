"""How our side trains in a measurement: peak rates, schedule, batch, and any field of the model, changed by name.

The rates are those found best in short races of the plain model at the default shape (recipes/LOG.md). `--set
KEY=VALUE` changes one, so that tuning is in the open; presets.py has names for what goes together.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch

from workbench.errors import BadInput
from workbench.learning_rate import Shape
from workbench.model.parametrization import Initializer
from workbench.model_config import ModelConfig
from workbench.train.parameter_groups import OptimizerSettings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a recipe's [pretrain] table says besides.

    0 means: for `batch_tokens` the workload's, for `micro_batch_tokens` the whole batch at once.
    """

    schedule: Shape = "linear"
    warmup_share: float = 0.02
    final_learning_rate_ratio: float = 0.0
    decay_ratio: float = 0.2
    batch_tokens: int = 0
    micro_batch_tokens: int = 0
    isolate_documents: bool = False
    weights_dtype: Literal["float32", "bfloat16"] = "float32"
    compiled: bool = False
    initializer: Initializer = "gpt2"
    max_grad_norm: float = 1.0


_OPTIMIZER: dict[str, Any] = {
    "optimizer": "muon",
    "learning_rate": 0.03,
    "matrix_learning_rate": 0.02,
    "weight_decay": 0.0,
    "momentum": 0.9,
    "beta1": 0.8,
    "beta2": 0.95,
}
_FIXED = {"vocab_size", "hidden_size", "num_hidden_layers", "max_position_embeddings", "matmul_dtype"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OurSettings:
    """Our side: changes to the model's fields, to the optimizer's, and the course."""

    model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    optimizer: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    course: Course = Course()

    def optimizer_settings(self, dtype: torch.dtype) -> OptimizerSettings:
        """What `Optimizers` takes; `dtype` is that of Muon's products."""
        return OptimizerSettings(**_OPTIMIZER | dict(self.optimizer), matmul_dtype=dtype)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> OurSettings:
        """What `to_json` gave."""
        return cls(**dict(fields) | {"course": Course(**fields["course"])})


def parse_settings(assignments: Sequence[str]) -> OurSettings:
    """Our settings with `KEY=VALUE` changed, a later one over an earlier.

    Raises BadInput naming the one that is not a key or not a value, or what contradicts another.
    """
    tables: dict[str, dict[str, Any]] = {"model": {}, "optimizer": {}, "course": {}}
    kinds: dict[str, type[Any]] = {"model": ModelConfig, "optimizer": OptimizerSettings, "course": Course}
    fields = {
        name: (table, wanted)
        for table, kind in kinds.items()
        for name, wanted in get_type_hints(kind).items()
        if name not in _FIXED
    }
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean {near[0]}" if near else f"keys are {', '.join(sorted(fields))}"
            raise BadInput(f"--set {assignment} is not KEY=VALUE of a key that can be set", fix=hint)
        table, wanted = fields[key]
        tables[table][key] = _value(assignment, text, wanted)
    if tables["course"].get("initializer") == "bigrams" and tables["model"].get("tie_word_embeddings", True):
        raise BadInput(
            "first weights from bigrams need a head of its own",
            fix="add --set tie_word_embeddings=false, or --set initializer=zero-residual",
        )
    return OurSettings(
        model=tables["model"], optimizer=tables["optimizer"], course=Course(**tables["course"])
    )


def _value(assignment: str, text: str, wanted: Any) -> Any:
    """`text` as a value of a field of type `wanted`."""
    words = {"true": True, "false": False, "none": None}
    value: Any = text
    if text.lower() in words:
        value = words[text.lower()]
    else:
        with contextlib.suppress(ValueError, SyntaxError):
            value = ast.literal_eval(text)
    if not _fits(value, wanted):
        choices = ", ".join(map(str, get_args(wanted))) or wanted.__name__
        raise BadInput(
            f"--set {assignment}: {text!r} is not a value of this key", fix=f"give one of: {choices}"
        )
    return value


def _fits(value: Any, wanted: Any) -> bool:
    if get_origin(wanted) is Literal:
        return value in get_args(wanted)
    if get_args(wanted):  # X | None
        return any(_fits(value, each) for each in get_args(wanted))
    return type(value) in ((int, float) if wanted is float else (wanted,))
