"""What computes beside what is kept: the same function and gradient, in less memory or in bfloat16."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from workbench.data.loader import Batch
from workbench.model.initialise import initialise
from workbench.model.transformer import Decoder
from workbench.model_config import ModelConfig
from workbench.train.loop import train
from workbench.train.losses import next_token_loss
from workbench.train.optimizers import Optimizers
from workbench.train.parameter_groups import OptimizerSettings
from workbench.train.schedule import make_schedule
from workbench.train.working_model import WorkingModel

SETTINGS = OptimizerSettings(optimizer="muon", learning_rate=0.01, matrix_learning_rate=0.02)


def gradients(kept: nn.Module, computing: nn.Module, *batches: Batch) -> tuple[float, dict[str, Tensor]]:
    """The loss of the last batch, and the gradient that all of them leave in the kept model, which is then cleared."""
    computing.train()
    for batch in batches:
        loss = next_token_loss(computing, batch).total  # type: ignore[arg-type]
        loss.backward()
    left = {name: parameter.grad for name, parameter in kept.named_parameters()}
    kept.zero_grad()
    assert all(gradient is not None for gradient in left.values())
    return float(loss.detach()), left  # type: ignore[return-value]


def saved_bytes(computing: nn.Module, batch: Batch) -> int:
    """Memory that a forward pass keeps for the backward pass, weights aside."""
    weights = {parameter.data_ptr() for parameter in computing.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    computing.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = next_token_loss(computing, batch).total  # type: ignore[arg-type]
    assert loss.requires_grad
    return sum(kept.values())


def test_without_a_wish_it_is_the_kept_model(make_model: Callable) -> None:
    kept = make_model()
    working = WorkingModel(kept)
    assert working.model is kept and working.implementation == "plain"


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
def test_checkpointed_layers_give_the_same_bits(
    make_model: Callable, make_batch: Callable, autocast: torch.dtype | None
) -> None:
    kept = make_model()
    working = WorkingModel(kept, checkpoint_layers=True)
    assert working.implementation == "checkpointed layers"
    with torch.autocast("cpu", dtype=autocast, enabled=autocast is not None):
        plain, ours = gradients(kept, kept, make_batch(0)), gradients(kept, working.model, make_batch(0))
    assert plain[0] == ours[0]
    assert all(torch.equal(gradient, ours[1][name]) for name, gradient in plain[1].items())


def test_checkpointed_layers_keep_their_inputs_alone() -> None:
    """Of 4 layers on 2 x 64 tokens of width 32: 4 inputs of 16 kB instead of some 20 tensors each."""
    config = ModelConfig(
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=96,
        max_position_embeddings=64,
        head_dim=16,
    )
    kept = initialise(Decoder(config), seed=0)
    rows_BT = torch.randint(0, 64, (2, 65), generator=torch.Generator().manual_seed(0))
    batch = Batch(inputs_BT=rows_BT[:, :-1].clone(), targets_BT=rows_BT[:, 1:].clone())
    plain = saved_bytes(kept, batch)
    ours = saved_bytes(WorkingModel(kept, checkpoint_layers=True).model, batch)
    layer_inputs = 4 * 2 * 64 * 32 * 4
    assert layer_inputs < ours < 0.25 * plain


@pytest.mark.parametrize("parts", [{}, {"norm": "layer", "positions": "learned", "bias": True}])
def test_bfloat16_weights_leave_nearly_the_float32_gradient_in_float32(
    make_model: Callable, make_batch: Callable, parts: dict[str, Any]
) -> None:
    kept = make_model()
    if parts:
        kept = initialise(Decoder(dataclasses.replace(kept.config, **parts)), seed=0)
    working = WorkingModel(kept, weights_dtype=torch.bfloat16)
    assert working.implementation == "bfloat16 weights"
    streams: list[torch.dtype] = []
    working.model.norm.register_forward_hook(lambda module, inputs, output: streams.append(output.dtype))
    loss, wanted = gradients(kept, kept, make_batch(0))
    ours, got = gradients(kept, working.model, make_batch(0))
    assert ours == pytest.approx(loss, rel=0.01)
    assert streams == [torch.bfloat16]
    for name, gradient in got.items():
        assert gradient.dtype == torch.float32
        assert nn.functional.cosine_similarity(gradient.flatten(), wanted[name].flatten(), dim=0) > 0.99, name
    assert all(p.grad is None for p in working.model.parameters())


def test_micro_batches_add_up_in_float32(make_model: Callable, make_batch: Callable) -> None:
    kept = make_model()
    working = WorkingModel(kept, weights_dtype=torch.bfloat16)
    parts = [gradients(kept, working.model, make_batch(number))[1] for number in range(3)]
    _, whole = gradients(kept, working.model, *(make_batch(number) for number in range(3)))
    for name, gradient in whole.items():
        assert torch.equal(gradient, parts[0][name] + parts[1][name] + parts[2][name]), name


def test_a_token_that_occurs_often_gets_its_whole_gradient(make_model: Callable) -> None:
    """One token 256 times: sums of so many in bfloat16 stop growing."""
    kept = make_model()
    ids_BT = torch.full((8, 32), 7)
    batch = Batch(inputs_BT=ids_BT, targets_BT=torch.arange(256).view(8, 32))
    _, wanted = gradients(kept, kept, batch)
    _, got = gradients(kept, WorkingModel(kept, weights_dtype=torch.bfloat16).model, batch)
    row, reference = got["embed_tokens.weight"][7], wanted["embed_tokens.weight"][7]
    assert (row - reference).norm() < 0.03 * reference.norm()


def test_training_moves_the_kept_weights_and_the_copies_follow(
    make_model: Callable, make_batch: Callable
) -> None:
    kept = make_model()
    working = WorkingModel(kept, weights_dtype=torch.bfloat16, checkpoint_layers=True)
    assert working.implementation == "bfloat16 weights, checkpointed layers"
    batches: Iterator[list[Batch]] = ([make_batch(0), make_batch(1)] for _ in iter(int, 1))
    reports = list(
        train(
            kept,
            batches,
            Optimizers(kept, SETTINGS),
            loss_fn=next_token_loss,
            learning_rate_at=make_schedule("linear", num_steps=12, warmup_steps=2),
            num_steps=12,
            working=working,
        )
    )
    assert reports[-1].loss < 0.8 * reports[0].loss
    theirs = dict(kept.named_parameters())
    for name, parameter in working.model.named_parameters():
        if name == "embed_tokens.weight":
            assert parameter is theirs[name]
        else:
            assert parameter.dtype == torch.bfloat16 and theirs[name].dtype == torch.float32
            assert torch.equal(parameter, theirs[name].bfloat16())
            assert not torch.equal(parameter.float(), theirs[name])  # no bits were lost in what is kept
