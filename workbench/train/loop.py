"""The training loop: batches in, one StepReport per optimizer step out.

    for report in train(model, batches, optimizer, loss_fn=..., learning_rate_at=..., num_steps=...):
        ...   # the caller decides what to save, measure, show and when to stop

It is a generator: whoever stops consuming stops the training, between two steps, with the weights whole.
It knows no files, no recipe, no evaluation and no screen; pretraining, SFT and DPO differ in `loss_fn` only.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from workbench.errors import TrainingDiverged
from workbench.train.guard import SpikeGuard
from workbench.train.losses import LossSum
from workbench.train.optimizers import Optimizers
from workbench.train.ranks import ALONE, Ranks
from workbench.train.working_model import WorkingModel

Model = TypeVar("Model", bound=nn.Module)
MicroBatch = TypeVar("MicroBatch")

SKIPS_IN_A_ROW = 3
"""One bad batch happens; three in a row means the weights themselves have gone wrong."""
NAMED = 3
"""Parameters that a message names before it counts."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What one optimizer step did.

    step: updates made so far, this one included; where a resumed run goes on.
    loss: mean over the learned items of the whole batch. extras: means of what the loss function added.
    grad_norm: of that mean's gradient, over all parameters, before clipping.
    learning_rate: AdamW's. tokens: learned from in this step. seconds: batch, forward, backward, update;
    wait_seconds: of these, until the batch was there.
    skip_reason: why the weights were left as they were; empty when they were updated.
    """

    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    tokens: int
    seconds: float
    wait_seconds: float = 0.0
    skip_reason: str = ""
    extras: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def skipped(self) -> bool:
        """Whether the step left the weights as they were."""
        return bool(self.skip_reason)


def train(
    model: Model,
    batches: Iterable[Sequence[MicroBatch]],
    optimizer: Optimizers,
    *,
    loss_fn: Callable[[Model, MicroBatch], LossSum],
    learning_rate_at: Callable[[int], float],
    num_steps: int,
    start_step: int = 0,
    max_grad_norm: float = 1.0,
    autocast: torch.dtype | None = None,
    guard: SpikeGuard | None = None,
    working: WorkingModel[Model] | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[StepReport]:
    """Take the optimizer steps `start_step` .. `num_steps - 1` and yield a report after each.

    batches: for every step the micro-batches to accumulate, from the batch of `start_step` on.
    learning_rate_at: step -> share of the peak rate, see schedule.py.
    max_grad_norm: clip the gradient to this norm; 0 never clips.
    autocast: the type of matrix products, or None for the type of the weights.
    guard: what tells a spike from a step, with its memory of earlier steps; None: a new one.
    working: what computes the loss in the place of `model`, whose weights it follows; None: `model` itself.
    ranks: the processes that share every step; all of them see the same reports.

    Loss and gradient are those of the whole batch at once, however it is cut: both are sums until all
    micro-batches are in, then divided by the number of items of the whole batch.

    A loss or gradient that is not finite, or that `guard` refuses, never reaches the weights: the step is skipped
    and says so. Raises TrainingDiverged at the third skip in a row.
    """
    ranks.settle(model)  # whoever measured before may still hold other ranks' weights
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    guard = guard or SpikeGuard()
    working = working or WorkingModel(model)
    working.take_weights()
    started = time.perf_counter()

    # The steps come first: after the last one no batch is asked for that nobody would learn from.
    for step, micro_batches in zip(range(start_step, num_steps), batches, strict=False):
        waited = time.perf_counter() - started
        working.model.train()  # whoever had the last report may have measured in eval mode
        optimizer.set_learning_rate(learning_rate_at(step))

        batch = accumulate_gradient(
            working.model, micro_batches, loss_fn=loss_fn, autocast=autocast, ranks=ranks
        )
        grad_norm = average_and_clip(parameters, count=batch.count, max_norm=max_grad_norm, ranks=ranks)

        # The weights are untouched so far: refused here, a step leaves them as they were.
        skip_reason = reason_to_skip(model, batch, grad_norm, guard, ranks=ranks)
        guard.skips_in_a_row = guard.skips_in_a_row + 1 if skip_reason else 0
        if not skip_reason:
            optimizer.step()
            working.take_weights()
        optimizer.zero_grad()

        now = time.perf_counter()
        yield StepReport(
            step=step + 1,
            loss=batch.loss,
            grad_norm=grad_norm,
            learning_rate=optimizer.learning_rate,
            tokens=batch.tokens,
            seconds=now - started,
            wait_seconds=waited,
            skip_reason=skip_reason,
            extras=batch.extras,
        )
        started = time.perf_counter()  # what the caller did with the report is not our time

        if guard.skips_in_a_row >= SKIPS_IN_A_ROW:
            raise TrainingDiverged(
                f"training diverged at step {step + 1}: {skip_reason}, {SKIPS_IN_A_ROW} steps in a row",
                fix="lower learning_rate, or raise warmup_steps",
            )


@dataclasses.dataclass(frozen=True, slots=True)
class BatchLoss:
    """The loss of all micro-batches of a step: means over its `count` items, NaN when there are none."""

    loss: float
    count: int
    tokens: int
    extras: Mapping[str, float]


def accumulate_gradient(
    model: Model,
    micro_batches: Sequence[MicroBatch],
    *,
    loss_fn: Callable[[Model, MicroBatch], LossSum],
    autocast: torch.dtype | None,
    ranks: Ranks = ALONE,
) -> BatchLoss:
    """Add the gradient of the *summed* loss to every parameter; gives the mean loss, over all ranks."""
    device = next(model.parameters()).device
    parts = []
    for micro_batch in micro_batches:
        share = ranks.share(micro_batch)
        with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
            part = ranks.loss(loss_fn, model, share.rows)
        part = part if share.counts else part.of_nobody()
        ranks.backward(part.total)
        parts.append(dataclasses.replace(part, total=part.total.detach()))  # its graph is not needed any more

    # Summed over the micro-batches here, over the ranks by one message: only then are there means.
    sums: dict[str, Tensor | int] = {
        "count": sum(part.count for part in parts),
        "tokens": sum(part.count if part.tokens is None else part.tokens for part in parts),
        "loss": sum(part.total for part in parts),
        **{name: sum(part.extras[name] for part in parts) for name in parts[0].extras},
    }
    over_ranks = ranks.add_up(np.array([float(each) for each in sums.values()]))
    figures = dict(zip(sums, over_ranks.tolist(), strict=True))

    count, tokens = int(figures.pop("count")), int(figures.pop("tokens"))
    means = {name: total / count if count else math.nan for name, total in figures.items()}
    return BatchLoss(loss=means.pop("loss"), count=count, tokens=tokens, extras=means)


def average_and_clip(
    parameters: Sequence[nn.Parameter], *, count: int, max_norm: float, ranks: Ranks = ALONE
) -> float:
    """Turn the summed gradients into the mean over `count` items, clip it, and give its norm before clipping.

    One pass does both: a gradient divided by the count and then scaled down is one multiplication. Where the norm is
    not finite they stay as they are: the step will be skipped.
    """
    gradients = ranks.gradients(parameters)
    norm = ranks.norm(gradients) / count if count else math.nan
    if math.isfinite(norm):
        clip = max_norm / norm if 0 < max_norm < norm else 1.0
        torch._foreach_mul_(ranks.held(gradients), clip / count)
    return norm


def reason_to_skip(
    model: nn.Module, batch: BatchLoss, grad_norm: float, guard: SpikeGuard, *, ranks: Ranks = ALONE
) -> str:
    """Why these gradients must not reach the weights; empty when they may."""
    if batch.count == 0:
        return "the batch has nothing to learn from"
    reason = guard.reason_to_skip(batch.loss, grad_norm)
    if reason and not math.isfinite(grad_norm):
        reason += _poisoned(model, ranks)
    return reason


def _poisoned(model: nn.Module, ranks: Ranks) -> str:
    """The parameters whose gradients are not finite, as " in a, b and 7 more"."""
    names = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and not bool(ranks.whole(parameter.grad).isfinite().all())
    ]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f" in {', '.join(names[:NAMED])}{more}" if names else ""
