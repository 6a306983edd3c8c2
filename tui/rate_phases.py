"""Where the learning rate of a training takes another course, as marks under its charts. Knows no file, no widget.

Both ends are arithmetic of the plan's settings and of the steps that the worker told; a decay that a person began is
told by the worker alone.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any

from tui.chart.track import PHASES, Mark
from workbench.learning_rate import phases_of
from workbench.ramps import Doubling, batch_sizes

_STEERED = re.compile(r"steered at step (\d[\d,]{0,15}): decay = now")


def planned_phases(settings: Mapping[str, Any], num_steps: float) -> list[Mark]:
    """Where the warmup ends and where the decay begins in a training of so many steps; what there is none of is not.

    settings: of its table, plain. Of a table that trains nothing, or whose values make no schedule, there are none.
    """
    try:
        full_before = _full_batches_before(settings)
        last = int(num_steps)
        phases = phases_of(
            settings["schedule"],
            num_steps=full_before(last),
            warmup_steps=settings["warmup_steps"],
            decay_ratio=settings["decay_ratio"],
        )
        # The update that brings the rate to its peak is the last of the warmup, or reads less than a full batch.
        warm = bisect_left(range(last), phases.warmup_steps - 1, key=full_before) + 1
        steps = [
            warm if phases.warmup_steps else 0,
            bisect_left(range(last), phases.decay_from, key=full_before),
        ]
    except Exception:  # a plan of another version: its charts have no such marks
        return []
    return [Mark(step, kind) for step, kind in zip(steps, PHASES, strict=True) if 0 < step < last]


def decay_begun(note: str) -> int | None:
    """The step from which the rate falls because a person asked for it; None when `note` tells no such thing."""
    told = _STEERED.match(note)
    return int(told[1].replace(",", "")) if told else None


def _full_batches_before(settings: Mapping[str, Any]) -> Callable[[int], float]:
    """How many batches of full size the steps before one read: the schedule goes by those."""
    ramp = settings.get("batch_ramp")
    if ramp is None:
        return float
    sizes = batch_sizes(
        tokens=settings["tokens"],
        batch_tokens=settings["batch_tokens"],
        context_length=settings["context_length"],
        batch_ramp=_doubling(ramp),
        context_ramp=_doubling(settings.get("context_ramp")),
    )
    return lambda step: sizes.tokens_before(step) / settings["batch_tokens"]


def _doubling(ramp: Mapping[str, Any] | None) -> Doubling | None:
    return None if ramp is None else Doubling(ramp["start"], ramp["until"])
