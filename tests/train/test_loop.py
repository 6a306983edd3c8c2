"""The loop: pieces equal the whole batch, non-finite numbers never reach the weights, it stops when left."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import nn

from workbench.data.loader import NOT_LEARNED, Batch
from workbench.errors import TrainingDiverged
from workbench.train.loop import StepReport, accumulate_gradient, average_and_clip, train
from workbench.train.losses import LossSum, next_token_loss
from workbench.train.optimizers import Optimizers
from workbench.train.parameter_groups import OptimizerSettings
from workbench.train.schedule import make_schedule

SETTINGS = OptimizerSettings(optimizer="muon", learning_rate=0.01, matrix_learning_rate=0.02)


def cut(batch: Batch, rows: int) -> list[Batch]:
    pieces = zip(batch.inputs_BT.split(rows), batch.targets_BT.split(rows), strict=True)
    return [Batch(inputs_BT=inputs, targets_BT=targets) for inputs, targets in pieces]


def start(model: nn.Module, batches: Iterator[Sequence[Batch]], **changes: object) -> Iterator[StepReport]:
    arguments: dict = {
        "loss_fn": next_token_loss,
        "learning_rate_at": make_schedule("linear", num_steps=20, warmup_steps=2),
        "num_steps": 20,
    }
    return train(model, batches, Optimizers(model, SETTINGS), **(arguments | changes))


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_accumulated_loss_and_gradient_are_those_of_the_whole_batch(
    rows: int, make_model: Callable, make_batch: Callable
) -> None:
    """The masks are uneven, so a mean of means would be wrong by a third."""
    gradients, losses = [], []
    for micro_batches in ([make_batch(0)], cut(make_batch(0), rows)):
        model = make_model()
        batch = accumulate_gradient(model, micro_batches, loss_fn=next_token_loss, autocast=None)
        average_and_clip(list(model.parameters()), count=batch.count, max_norm=0)
        gradients.append([parameter.grad for parameter in model.parameters()])
        losses.append(batch.loss)
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    for whole, summed in zip(*gradients, strict=True):
        torch.testing.assert_close(summed, whole, rtol=1e-4, atol=1e-7)


def test_gradient_is_that_of_the_mean_loss(make_model: Callable, make_batch: Callable) -> None:
    model, batch = make_model(), make_batch(0)
    wanted = nn.functional.cross_entropy(model(batch.inputs_BT).flatten(0, 1), batch.targets_BT.flatten())
    gradients = torch.autograd.grad(wanted, list(model.parameters()))
    measured = accumulate_gradient(model, [batch], loss_fn=next_token_loss, autocast=None)
    norm = average_and_clip(list(model.parameters()), count=measured.count, max_norm=0)
    assert measured.loss == pytest.approx(float(wanted.detach()), rel=1e-5)
    assert norm == pytest.approx(float(nn.utils.get_total_norm(gradients)), rel=1e-5)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-7)


def test_clipping_bounds_the_norm_and_reports_it_unclipped(
    make_model: Callable, make_batch: Callable
) -> None:
    norms = []
    for max_norm in (0.0, 0.1, 1e6):
        model = make_model()
        batch = accumulate_gradient(model, [make_batch(0)], loss_fn=next_token_loss, autocast=None)
        before = average_and_clip(list(model.parameters()), count=batch.count, max_norm=max_norm)
        after = float(nn.utils.get_total_norm([p.grad for p in model.parameters()]))
        norms.append((before, after))
    assert norms[0][0] == norms[1][0] == norms[2][0] > 0.1
    assert norms[1][1] == pytest.approx(0.1, rel=1e-5)
    assert norms[0][1] == norms[2][1] == pytest.approx(norms[0][0], rel=1e-5)


def test_it_learns(make_model: Callable, make_batch: Callable) -> None:
    reports = list(start(make_model(), ([make_batch(0)] for _ in itertools.count())))
    assert [report.step for report in reports] == list(range(1, 21))
    assert reports[0].loss == pytest.approx(math.log(300), rel=0.05)
    assert reports[-1].loss < 0.5 * reports[0].loss
    assert reports[0].tokens == 27 and not reports[0].skipped


def test_whoever_stops_consuming_stops_the_training(make_model: Callable, make_batch: Callable) -> None:
    drawn = []

    def batches() -> Iterator[list[Batch]]:
        for step in itertools.count():
            drawn.append(step)
            yield [make_batch(step)]

    for report in start(make_model(), batches()):
        if report.step == 3:
            break
    assert drawn == [0, 1, 2]


@pytest.mark.parametrize("poison", [math.nan, math.inf, 1e38])
def test_numbers_that_are_not_finite_never_reach_the_weights(
    poison: float, make_model: Callable, make_batch: Callable
) -> None:
    """1e38 is a finite loss whose gradient overflows."""

    def loss_fn(model: nn.Module, batch: tuple[int, Batch]) -> LossSum:
        step, content = batch
        loss = next_token_loss(model, content)
        if step != 1:
            return loss
        return LossSum(total=loss.total * loss.total * poison, count=loss.count)

    model = make_model()
    reports = []
    for report in start(model, ([(step, make_batch(step))] for step in itertools.count()), loss_fn=loss_fn):
        reports.append(report)
        if report.step == 1:
            before = [parameter.detach().clone() for parameter in model.parameters()]
        if report.step == 2:
            assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert [report.step for report in reports if report.skipped] == [2]
    assert "nan" in reports[1].skip_reason or "inf" in reports[1].skip_reason
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_three_skips_in_a_row_end_the_training(make_model: Callable, make_batch: Callable) -> None:
    model = make_model()
    with torch.no_grad():
        model.norm.weight[0] = math.nan
    reports = []
    with pytest.raises(TrainingDiverged, match="step 3: the loss is nan"):
        for report in start(model, ([make_batch(step)] for step in itertools.count())):
            reports.append(report)
    assert [report.skipped for report in reports] == [True, True, True]


def test_a_batch_with_nothing_to_learn_is_skipped(make_model: Callable, make_batch: Callable) -> None:
    def batches() -> Iterator[list[Batch]]:
        for step in itertools.count():
            batch = make_batch(step)
            if step == 1:
                batch.targets_BT.fill_(NOT_LEARNED)
            yield [batch]

    reports = list(start(make_model(), batches(), num_steps=3))
    assert [report.skip_reason for report in reports] == ["", "the batch has nothing to learn from", ""]


def test_extras_are_means_over_the_items_of_the_whole_batch(
    make_model: Callable, make_batch: Callable
) -> None:
    def loss_fn(model: nn.Module, batch: Batch) -> LossSum:
        loss = next_token_loss(model, batch)
        rows = len(batch.inputs_BT)
        return LossSum(
            total=loss.total, count=rows, tokens=loss.count, extras={"twos": torch.tensor(2.0 * rows)}
        )

    (report,) = start(make_model(), iter([cut(make_batch(0), 4)]), loss_fn=loss_fn, num_steps=1)
    assert report.extras == {"twos": 2.0}
    assert report.tokens == 27
