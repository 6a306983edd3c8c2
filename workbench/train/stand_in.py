"""What one process computes of a model that several share, for it to try out alone how much its device bears.

A process that runs out of memory in the midst of a step leaves the others waiting for it for good. So each tries by
itself, with a model that takes the memory of its part: slices of all matrices, and one layer's weights in the place of
every layer's, because no more than that is gathered at a time. What a pass keeps for its way back is all there.
Knows no other process.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.train.working_model import WorkingModel


@dataclasses.dataclass(frozen=True)
class StandIn:
    """working: computes a pass. held: what the engine has beside it: the next layer's weights, a layer's gradient."""

    working: WorkingModel[Decoder]
    held: Tensor


def stand_in(
    config: ModelConfig,
    device: torch.device,
    *,
    slices: int = 1,
    weights_dtype: torch.dtype = torch.float32,
    float8: bool = False,
    checkpoint_layers: bool = False,
) -> StandIn:
    """A model of zeros with the shape of this process's part of `config`. slices: of every matrix of the blocks.

    The tables are whole, as the engine has them in a step.
    """
    part = dataclasses.replace(
        config,
        num_attention_heads=config.num_attention_heads // slices,
        num_key_value_heads=config.num_key_value_heads // slices,
        intermediate_size=config.intermediate_size // slices,
    )
    with torch.device("meta"):
        model = Decoder(part)
    one_of_each: dict[bool, nn.Module] = {}  # with values of its own to look up, and without
    for place, layer in enumerate(model.layers):
        model.layers[place] = one_of_each.setdefault(place in part.layers_with_value_embeddings, layer)
    model.to_empty(device=device)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    largest = max(sum(each.numel() for each in layer.parameters()) for layer in one_of_each.values())
    gathered_and_reduced = largest * (weights_dtype.itemsize + torch.float32.itemsize)
    return StandIn(
        WorkingModel(model, weights_dtype=weights_dtype, float8=float8, checkpoint_layers=checkpoint_layers),
        torch.empty(gathered_and_reduced, dtype=torch.uint8, device=device),
    )
