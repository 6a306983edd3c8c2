"""The [start] table: a model to go on from instead of random weights. Part of the vocabulary in recipe.py."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from workbench.errors import BadInput
from workbench.model_config import ModelConfig, RopeScaling
from workbench.recipe_fields import COSMETIC, PositiveInt, Table, Text


class Start(Table):
    """A model to go on from: its weights, shape and tokenizer stand where [model] and [tokenizer] would be. With
    [pretrain] it reads on, with [sft] alone it learns to answer."""

    model: Annotated[Text, Field(json_schema_extra=COSMETIC)]
    """A folder in Hugging Face format (Llama, Mistral, Qwen2, Qwen3, Granite or GPT-2; safetensors, one file or
    several, of any float type), relative to the recipe, or a model of yours: RUN, RUN/STAGE, RUN/STAGE@STEP, @best or
    @latest. What counts is the content: the same files elsewhere are the same start."""
    state: Literal["weights", "training"] = "weights"
    """`weights`: a new training that begins with these weights. `training`: a branch of that training; optimizer,
    random numbers, step and place in the data are taken along, so `tokens` and schedule count from its first step."""
    max_position_embeddings: PositiveInt | None = None
    """Another longest context than the model's own. Rotary positions go on beyond what was learned, but are only
    understood after training there: raise context_length with it."""
    rope_theta: Annotated[float, Field(gt=1, le=1e9, allow_inf_nan=False, strict=True)] | None = None
    """Another base of the rotary wavelengths. Raised with the context, so that far positions look like near ones did
    (Xiong et al. 2023)."""
    rope_scaling: Literal["linear", "dynamic", "llama3", "yarn"] | None = None
    """Stretch the positions over a longer context, as in [model]; of what the model had itself nothing is left. Without
    max_position_embeddings the context is rope_scaling_factor times the model's."""
    rope_scaling_factor: Annotated[float, Field(ge=1, le=1e4, allow_inf_nan=False, strict=True)] | None = None
    """How many times as long. Needed by rope_scaling."""

    @model_validator(mode="after")
    def _scaling_has_a_factor(self) -> Self:
        if (self.rope_scaling is None) != (self.rope_scaling_factor is None):
            given, missing = "rope_scaling", "rope_scaling_factor"
            if self.rope_scaling is None:
                given, missing = missing, given
            raise ValueError(f"{given} needs {missing}; give both or none")
        return self

    def shape(self, there: ModelConfig) -> ModelConfig:
        """The model's numbers, which its folder says are `there`, with what this table changes. Raises BadInput."""
        changes: dict[str, Any] = {}
        if self.rope_scaling is not None and self.rope_scaling_factor is not None:
            longer = round(self.rope_scaling_factor * there.max_position_embeddings)
            original = there.max_position_embeddings if self.rope_scaling in ("llama3", "yarn") else None
            changes["rope_scaling"] = RopeScaling(
                rope_type=self.rope_scaling,
                factor=self.rope_scaling_factor,
                original_max_position_embeddings=original,
            )
            # The dynamic kind begins where the model's own context ends.
            changes["max_position_embeddings"] = (
                there.max_position_embeddings if self.rope_scaling == "dynamic" else longer
            )
        for key in ("max_position_embeddings", "rope_theta"):
            if (value := getattr(self, key)) is not None:
                changes[key] = value
        changed = dataclasses.replace(there, **changes) if there.positions != "learned" else there
        if there.positions == "learned" and any(
            getattr(there, key) != value for key, value in changes.items()
        ):
            raise BadInput(
                f"[start] {next(iter(changes))}: the model has learned a vector for each of its "
                f"{there.max_position_embeddings} positions and knows no others",
                fix="leave the key out, or start from a model with rotary positions",
            )
        return changed
