"""The [start] table: a model to go on from instead of random weights. Part of the vocabulary in recipe.py."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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
