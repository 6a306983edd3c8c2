"""The arithmetic of memory against what autograd, the optimizers and the files really hold."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import pytest
import torch

from workbench.data.loader import Batch
from workbench.layout import lay_out
from workbench.model.initialise import initialise
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.step_memory import (
    StepShape,
    activation_bytes_per_token,
    checkpoint_bytes,
    gathered_bytes,
    held_parameters,
    narrow_copies_bytes,
    optimizer_bytes,
    training_memory,
)
from workbench.train.averaging import WeightAverage
from workbench.train.checkpoint import TrainingState, take_snapshot
from workbench.train.losses import next_token_loss
from workbench.train.optimizers import Optimizers
from workbench.train.parameter_groups import OptimizerSettings

GPT2 = {"norm": "layer", "positions": "learned", "feed_forward": "gelu", "bias": True, "qk_norm": False}


def shape(**changes: Any) -> ModelConfig:
    numbers: dict[str, Any] = {
        "vocab_size": 300,
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "intermediate_size": 128,
        "max_position_embeddings": 1024,
        "head_dim": 16,
    }
    return ModelConfig(**(numbers | changes))


def kept_by_autograd(step: StepShape) -> int:
    """Bytes of all storages, but the weights, that the graph of a forward pass keeps."""
    config = step.config
    model = initialise(Decoder(config), 0)
    if step.narrow_weights:
        model.to(torch.bfloat16)
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids_BT = torch.arange(step.tokens).reshape(step.rows, -1) % config.vocab_size
    documents_BT = torch.zeros_like(ids_BT) if step.masked else None
    casts = step.dtype == "bfloat16" and not step.narrow_weights
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=casts)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), autocast:
        loss = next_token_loss(model, Batch(ids_BT, ids_BT, documents_BT))
    assert loss.count == step.tokens
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize(
    ("changes", "rows", "context_length", "masked"),
    [
        ({}, 4, 64, False),
        ({}, 4, 64, True),
        ({"num_key_value_heads": 2}, 4, 64, False),
        ({"num_key_value_heads": 1, "head_dim": 32}, 4, 64, True),
        ({"qk_norm": False, "vocab_size": 2000}, 4, 64, False),
        ({"feed_forward": "relu2", "tie_word_embeddings": False}, 4, 64, False),
        (GPT2, 4, 64, False),
        ({"num_key_value_heads": 2}, 2, 640, False),
        ({}, 2, 640, True),
        ({}, 1, 1100, True),
    ],
)
def test_activations_are_what_autograd_keeps(
    dtype: Literal["bfloat16", "float32"],
    changes: dict[str, Any],
    rows: int,
    context_length: int,
    masked: bool,
) -> None:
    config = shape(**changes)
    step = StepShape(config=config, rows=rows, context_length=context_length, dtype=dtype, masked=masked)
    head_gradient = 4 * config.vocab_size * config.hidden_size  # counted as work
    counted = step.tokens * activation_bytes_per_token(step) + narrow_copies_bytes(step) + head_gradient
    assert counted == pytest.approx(kept_by_autograd(step), rel=0.03)


@pytest.mark.parametrize("changes", [{}, {"num_key_value_heads": 2, "norm": "layer"}])
def test_a_narrow_stream_is_counted_too(changes: dict[str, Any]) -> None:
    config = shape(**changes)
    step = StepShape(config=config, rows=4, context_length=64, dtype="bfloat16", narrow_weights=True)
    head_gradient = 2 * config.vocab_size * config.hidden_size
    counted = step.tokens * activation_bytes_per_token(step) + head_gradient
    assert counted == pytest.approx(kept_by_autograd(step), rel=0.03)


def test_checkpointed_layers_keep_their_inputs_and_one_of_them_the_rest() -> None:
    step = StepShape(config=shape(num_hidden_layers=30), rows=4, context_length=64)
    kept = activation_bytes_per_token(dataclasses.replace(step, checkpointed=True))
    assert kept < 0.2 * activation_bytes_per_token(step)


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "adafactor"])
def test_optimizers_remember_what_is_counted(optimizer: Any) -> None:
    config = shape(hidden_size=256, head_dim=64, intermediate_size=512, vocab_size=2000)
    settings = OptimizerSettings(optimizer=optimizer, learning_rate=1e-3, matrix_learning_rate=1e-3)
    held = Optimizers(Decoder(config), settings).state_bytes
    assert optimizer_bytes(config, optimizer) == pytest.approx(held, abs=0.02 * 4 * config.num_parameters)


def test_a_checkpoint_holds_what_is_counted() -> None:
    config = shape(hidden_size=256, head_dim=64, intermediate_size=512, vocab_size=2000)
    model = Decoder(config)
    settings = OptimizerSettings(optimizer="muon", learning_rate=1e-3, matrix_learning_rate=1e-3)
    state = TrainingState(seed=0, environment={}, step=1)
    for average in (None, WeightAverage(model, decay=0.9)):
        held = take_snapshot(model, Optimizers(model, settings), state, average=average).nbytes
        counted = checkpoint_bytes(config, "muon", averaged=average is not None)
        assert counted == pytest.approx(held, rel=0.01)


def test_a_byte_a_moment() -> None:
    config = shape(hidden_size=512)
    assert optimizer_bytes(config, "adamw") / optimizer_bytes(config, "adamw8bit") == pytest.approx(
        3.94, abs=0.01
    )


def test_small_batches_peak_in_the_update_and_large_ones_in_the_backward_pass() -> None:
    step = StepShape(config=shape(hidden_size=512, intermediate_size=2048), rows=1, context_length=1)
    step = dataclasses.replace(step, optimizer="muon")
    small = training_memory(step)
    assert small.gradients == small.weights == 4 * step.config.num_parameters and not small.activations
    large = training_memory(dataclasses.replace(step, rows=4096))
    assert large.activations > large.weights and not large.gradients
    several = training_memory(dataclasses.replace(step, rows=4096, micro_batches=2))
    assert several.total - large.total == several.gradients == small.gradients


def test_narrow_copies_are_there_at_the_update_too() -> None:
    wide = StepShape(config=shape(hidden_size=2048, intermediate_size=8192), rows=1, context_length=1)
    narrow = dataclasses.replace(wide, dtype="bfloat16")
    more = training_memory(narrow).weights - training_memory(wide).weights
    assert more == narrow_copies_bytes(narrow) == 2 * 3 * wide.config.block_matrices
    on_gpu = dataclasses.replace(narrow, device="cuda")
    assert training_memory(on_gpu).weights == training_memory(wide).weights
    narrow_model = training_memory(dataclasses.replace(on_gpu, narrow_weights=True))
    assert narrow_model.weights == training_memory(narrow).weights


def test_an_average_is_a_model_more() -> None:
    step = StepShape(config=shape(hidden_size=256), rows=1, context_length=8)
    averaged, plain = training_memory(dataclasses.replace(step, averaged=True)), training_memory(step)
    more = averaged.optimizer - plain.optimizer
    assert more == averaged.snapshot - plain.snapshot == 4 * step.config.num_parameters
    assert (
        checkpoint_bytes(step.config, "muon", averaged=True) - checkpoint_bytes(step.config, "muon") == more
    )


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "adafactor"])
def test_shards_and_slices_hold_their_part(optimizer: str) -> None:
    config = shape(hidden_size=256, head_dim=64, num_hidden_layers=20)
    step = StepShape(config=config, rows=64, context_length=64, micro_batches=2, optimizer=optimizer)
    alone = training_memory(step)
    shared = training_memory(dataclasses.replace(step, layout=lay_out(4)))
    assert shared.weights == pytest.approx(alone.weights / 4, rel=0.01)
    assert shared.gradients == shared.weights
    assert shared.optimizer == pytest.approx(alone.optimizer / 4, rel=0.01)
    assert shared.activations == alone.activations and shared.gathered > 0 == alone.gathered
    matrices = config.num_hidden_layers * config.block_matrices
    sliced = held_parameters(config, lay_out(4, tensor_parallel=4))
    assert sliced == pytest.approx(matrices / 4 + config.num_parameters - matrices, abs=4)
    copies = held_parameters(config, lay_out(4, replicate=4))
    assert copies == config.num_parameters


def test_layers_come_together_whole_whatever_number_of_devices() -> None:
    step = StepShape(config=shape(), rows=1, context_length=8, dtype="bfloat16", layout=lay_out(8))
    assert gathered_bytes(step) == gathered_bytes(dataclasses.replace(step, layout=lay_out(2)))
    narrow = dataclasses.replace(step, narrow_weights=True)
    assert gathered_bytes(narrow) < gathered_bytes(step)
    # autocast's copies of all matrices live until the backward pass; narrow weights come together anew
    assert narrow_copies_bytes(step) > 0 == narrow_copies_bytes(narrow)


def test_what_needs_no_mask_has_none_in_memory() -> None:
    """A GPU that attends by segments keeps as much a token for long rows as for short ones, and works in more."""
    short = StepShape(
        config=shape(),
        rows=4,
        context_length=64,
        dtype="bfloat16",
        device="cuda",
        masked=True,
        by_segments=True,
    )
    long = dataclasses.replace(short, context_length=4096)
    assert activation_bytes_per_token(long) == activation_bytes_per_token(short)
    unmasked = dataclasses.replace(long, masked=False)
    assert training_memory(long).activations == training_memory(unmasked).activations
    assert training_memory(long).work > training_memory(unmasked).work
    for otherwise in (
        {"by_segments": False},
        {"dtype": "float32"},
        {"config": shape(head_dim=12)},
        {"config": shape(attn_logit_softcapping=30.0)},
    ):
        changed = dataclasses.replace(long, **otherwise)  # type: ignore[arg-type]
        layers, element = 3, 4 if changed.dtype == "float32" else 2
        without = dataclasses.replace(changed, masked=False)
        mask = activation_bytes_per_token(changed) - activation_bytes_per_token(without)
        assert mask == layers * 4096 * element
