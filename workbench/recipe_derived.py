"""Keys that a recipe leaves out because they follow from one that it has: filled in before it is checked."""

from __future__ import annotations

from typing import Any

from workbench.depth import shape_of_depth, training_of_depth
from workbench.model_config import ModelConfig
from workbench.recipe import Pretrain, Tokenizer
from workbench.recipe_fields import Table
from workbench.recipe_model import Model


def derive_from_depth(values: dict[str, Any]) -> dict[str, str]:
    """Fill in what [model] depth stands for and nobody wrote; `TABLE.KEY` -> "depth" for each.

    Values that are no good are left to the check of the whole, which tells of them; until then a usual one
    stands for them.
    """
    model = values.get("model")
    if not isinstance(model, dict) or "depth" not in model:
        return {}
    depth = model["depth"] if _is_good(Model, depth=model["depth"]) else 1
    derived: dict[str, Any] = {
        f"model.{key}": value for key, value in shape_of_depth(depth).items() if key not in model
    }
    if "size" not in model:
        derived["model.size"] = None  # else the plan would show the default, which is not in force
    pretrain = values.get("pretrain")
    if isinstance(pretrain, dict):
        shape = _shape({**shape_of_depth(depth), **model}, values.get("tokenizer"))
        context_length: Any = pretrain.get("context_length")
        if not _is_good(Pretrain, tokens=2**40, context_length=context_length, batch_tokens=context_length):
            context_length = Pretrain.model_fields["context_length"].default
        training = training_of_depth(
            hidden_size=shape.hidden_size,
            num_parameters=shape.num_parameters,
            context_length=context_length,
        )
        derived |= {f"pretrain.{key}": value for key, value in training.items() if key not in pretrain}
    for name, value in derived.items():
        table, key = name.split(".")
        values[table][key] = value
    return dict.fromkeys(derived, "depth")


def _shape(model: dict[str, Any], tokenizer: Any) -> ModelConfig:
    """The model's numbers, as far as what is written makes sense."""
    table = Model(**model) if _is_good(Model, **model) else Model()
    written = tokenizer if isinstance(tokenizer, dict) and _is_good(Tokenizer, **tokenizer) else {}
    return table.shape(vocab_size=Tokenizer(**written).vocab_size)


def _is_good(table: type[Table], **values: Any) -> bool:
    try:
        table(**values)
    except (TypeError, ValueError):  # pydantic's errors are ValueErrors
        return False
    return True
