"""Layers recorded once and replayed: the same loss and gradients, whatever is added up, for every shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.train.conftest import TINY
from tests.train.recorded_graphs import RecordedGraph, stand_in_for_cuda
from workbench.data.loader import Batch
from workbench.model import attention, memory
from workbench.model.initialise import initialise
from workbench.model.segments import Segments
from workbench.model.transformer import Decoder
from workbench.train import graphed_layers
from workbench.train.graphed_layers import filled_up
from workbench.train.loop import train
from workbench.train.losses import next_token_loss
from workbench.train.optimizers import Optimizers
from workbench.train.parameter_groups import OptimizerSettings
from workbench.train.working_model import WorkingModel, copy_with


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> type[RecordedGraph]:
    return stand_in_for_cuda(monkeypatch)


def graphed(kept: Decoder, **how: Any) -> WorkingModel[Decoder]:
    """Layers that are recorded without being compiled."""
    working = WorkingModel(kept, **how)
    if working.model is kept:
        working.model = copy_with(kept, {})
    working.use_graphs()
    return working


def gradients(kept: Decoder, model: Decoder, batches: list[Batch]) -> tuple[list[float], dict[str, Tensor]]:
    losses = []
    for batch in batches:
        loss = next_token_loss(model, batch).total
        loss.backward()
        losses.append(float(loss.detach()))
    found = {
        name: parameter.grad for name, parameter in kept.named_parameters() if parameter.grad is not None
    }
    kept.zero_grad()
    return losses, found


def rows(*lengths: int, width: int = 8, seed: int = 0) -> Batch:
    """One row for each length, which is that of its first document."""
    ids_BT = torch.randint(
        0, TINY.vocab_size, (len(lengths), width + 1), generator=torch.Generator().manual_seed(seed)
    )
    begins_BT = torch.zeros(len(lengths), width, dtype=torch.int64)
    for row, length in enumerate(lengths):
        begins_BT[row, length:] = 1
    return Batch(ids_BT[:, :-1].clone(), ids_BT[:, 1:].clone(), begins_BT)


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"value_embeddings": True, "num_hidden_layers": 3},
        {"norm": "layer", "positions": "learned", "bias": True, "feed_forward": "gelu"},
    ],
    ids=["llama", "values", "gpt2"],
)
def test_micro_batches_add_up_to_the_gradient_of_layers_that_are_launched(
    graphs: type[RecordedGraph], make_batch: Callable, parts: dict[str, Any], weights: torch.dtype
) -> None:
    kept = initialise(Decoder(dataclasses.replace(TINY, **parts)), seed=0)
    plain, ours = WorkingModel(kept, weights_dtype=weights), graphed(kept, weights_dtype=weights)
    batches = [make_batch(number) for number in range(3)]
    for _ in range(2):  # the second time nothing is recorded
        wanted, got = gradients(kept, plain.model, batches), gradients(kept, ours.model, batches)
        assert got[0] == wanted[0]
        assert got[1].keys() == wanted[1].keys()
        for name, gradient in wanted[1].items():
            torch.testing.assert_close(got[1][name], gradient, rtol=1e-6, atol=1e-7, msg=name)
    assert (graphs.made, graphs.replays) == (2, 12)


def test_every_shape_has_graphs_of_its_own_up_to_a_number(
    graphs: type[RecordedGraph], make_model: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphed_layers, "MOST_GRAPHS", 2)
    kept = make_model()
    ours = graphed(kept)
    batches = [rows(3, 4), rows(3, width=6), rows(2, width=5), rows(5, 8)]
    wanted, got = gradients(kept, kept, batches), gradients(kept, ours.model, batches)
    assert graphs.made == 4, "of the third shape the layers are launched"
    assert got[0] == wanted[0]
    for name, gradient in wanted[1].items():
        torch.testing.assert_close(got[1][name], gradient, rtol=1e-6, atol=1e-7, msg=name)


def by_bounds(
    q_BTHE: Tensor, k_BTGE: Tensor, v_BTGE: Tensor, segments: Segments, *, multiplier: float
) -> Tensor:
    """What the kernel for segments computes, by operations that can be recorded."""
    B, T = q_BTHE.shape[:2]
    segment_BT = torch.searchsorted(segments.bounds_N, torch.arange(B * T), right=True).view(B, T)
    mask = (segment_BT[:, :, None] == segment_BT[:, None, :]).tril()[:, None]
    q, k, v = (x.transpose(1, 2) for x in (q_BTHE, k_BTGE, v_BTGE))
    y = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, scale=multiplier, enable_gqa=True
    )
    return y.transpose(1, 2)


def test_documents_of_any_number_share_a_graph(
    graphs: type[RecordedGraph], make_model: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = make_model()
    batches = [rows(3, 4), rows(8, 8), rows(1, 7)]  # 4, 2 and 4 documents
    wanted = gradients(kept, kept, batches)
    monkeypatch.setattr(memory, "takes_segments", lambda x_BTD, config: True)
    monkeypatch.setattr(attention, "attend_in_segments", by_bounds)
    got = gradients(kept, graphed(kept).model, batches)
    assert graphs.made == 2
    assert got[0] == pytest.approx(wanted[0], rel=1e-6)
    for name, gradient in wanted[1].items():
        torch.testing.assert_close(got[1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_bounds_are_filled_up_with_empty_segments() -> None:
    bounds_N = torch.tensor([0, 3, 10], dtype=torch.int32)
    assert filled_up(bounds_N, end=10).tolist() == [0, 3, *[10] * 14]
    many_N = torch.arange(18, dtype=torch.int32)
    assert filled_up(many_N, end=17).tolist() == [*range(18), *[17] * 14]
    assert filled_up(torch.arange(32), end=31).tolist() == list(range(32))


def test_what_cannot_be_recorded_first_is_told_and_later_is_launched(
    graphs: type[RecordedGraph], make_model: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    kept = make_model()
    ours = graphed(kept)
    record = torch.cuda.make_graphed_callables
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", full)
    with pytest.raises(torch.OutOfMemoryError):
        next_token_loss(ours.model, rows(3))
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    ours.leave_graphs()
    ours.use_graphs()
    next_token_loss(ours.model, rows(3)).total.backward()
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", full)
    kept.zero_grad()
    wanted, got = (gradients(kept, model, [rows(2, 2)]) for model in (kept, ours.model))
    assert got[0] == wanted[0] and graphs.made == 2


def test_a_training_takes_the_same_steps(
    graphs: type[RecordedGraph], make_model: Callable, make_batch: Callable
) -> None:
    def losses(graphed_layers: bool) -> list[float]:
        kept = make_model()
        working = graphed(kept) if graphed_layers else WorkingModel(kept)
        reports = train(
            kept,
            ([make_batch(2 * step), make_batch(2 * step + 1)] for step in range(6)),
            Optimizers(
                kept, OptimizerSettings(optimizer="muon", learning_rate=0.01, matrix_learning_rate=0.02)
            ),
            loss_fn=next_token_loss,
            learning_rate_at=lambda step: 1.0,
            num_steps=6,
            working=working,
        )
        return [report.loss for report in reports]

    assert losses(True) == pytest.approx(losses(False), rel=1e-6)
    assert graphs.made == 2


def test_who_leaves_them_is_as_before(
    graphs: type[RecordedGraph], make_model: Callable, make_batch: Callable
) -> None:
    kept = make_model()
    ours = graphed(kept)
    next_token_loss(ours.model, make_batch(0)).total.backward()
    ours.leave_graphs()
    replays = graphs.replays
    next_token_loss(ours.model, make_batch(0)).total.backward()
    assert graphs.replays == replays


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("documents", [False, True])
def test_on_a_gpu_the_gradient_is_that_of_compiled_layers(
    make_model: Callable, weights: torch.dtype, documents: bool
) -> None:
    kept = make_model().cuda()
    batches = [rows(3, 4), rows(8, 8, seed=1), rows(1, 7, seed=2)]
    if not documents:
        batches = [dataclasses.replace(batch, documents_BT=None) for batch in batches]
    working = WorkingModel(kept, weights_dtype=weights)
    working.compile_layers()
    autocast = torch.autocast("cuda", dtype=torch.bfloat16, enabled=weights == torch.float32)
    with autocast:
        wanted = gradients(kept, working.model, batches)
        working.use_graphs()
        for _ in range(3):
            got = gradients(kept, working.model, batches)
            assert got[0] == pytest.approx(wanted[0], rel=1e-2)
            for name, gradient in wanted[1].items():
                torch.testing.assert_close(
                    got[1][name], gradient, rtol=0.02, atol=0.02 * float(gradient.abs().max()), msg=name
                )
