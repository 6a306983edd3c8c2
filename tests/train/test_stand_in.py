"""What stands in for a process's part of a model keeps as much for the way back and holds one layer's weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from tests.train.conftest import TINY
from tests.train.test_working_model import saved_bytes
from workbench.data.loader import Batch
from workbench.model.transformer import Decoder
from workbench.train.stand_in import stand_in

CONFIG = dataclasses.replace(TINY, num_hidden_layers=5)
CPU = torch.device("cpu")


def a_batch() -> Batch:
    ids_BT = torch.randint(0, CONFIG.vocab_size, (3, 17), generator=torch.Generator().manual_seed(0))
    return Batch(inputs_BT=ids_BT[:, :-1].clone(), targets_BT=ids_BT[:, 1:].clone())


@pytest.mark.parametrize("parts", [{}, {"value_embeddings": True, "tie_word_embeddings": False}])
def test_it_keeps_as_much_as_the_model(parts: dict[str, Any]) -> None:
    config = dataclasses.replace(CONFIG, **parts)
    whole, alone = Decoder(config), stand_in(config, CPU).working.model
    assert saved_bytes(alone, a_batch()) == saved_bytes(whole, a_batch())
    sizes = {name: parameter.numel() for name, parameter in whole.named_parameters()}
    in_layers = sum(size for name, size in sizes.items() if name.startswith("layers."))
    tables = sum(sizes.values()) - in_layers
    layers = sum(parameter.numel() for parameter in alone.parameters()) - tables
    assert layers < 0.5 * in_layers, "two kinds of layer at most"


def test_a_slice_has_its_part_of_the_matrices() -> None:
    config = dataclasses.replace(CONFIG, num_key_value_heads=2)
    layer = stand_in(config, CPU, slices=2).working.model.layers[4]
    assert layer.self_attn.q_proj.weight.shape == (16, 32) and layer.mlp.down_proj.weight.shape == (32, 24)


def test_beside_it_the_next_layer_and_a_gradient_are_held() -> None:
    narrow = stand_in(CONFIG, CPU, weights_dtype=torch.bfloat16, checkpoint_layers=True)
    assert narrow.working.implementation == "bfloat16 weights, checkpointed layers"
    size = sum(parameter.numel() for parameter in narrow.working.kept.layers[0].parameters())
    assert narrow.held.nbytes == size * (2 + 4)
