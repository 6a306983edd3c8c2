"""What the curves of a stage say that a person should know, in one line each, the gravest first. Pure rules.

Every finding names the step and the figure that it rests on, so that it can be looked up in the chart.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tui.chart.series import Series
from tui.chart.track import StageCurves
from tui.run_seen import RunSeen
from workbench.files import human_bytes

LOOKED_AT = 1000
"""Newest rows that are looked at for spikes: a jump of last week is history."""
SPIKE = 4.0
"""A gradient norm so many times the median before it is a spike; warm-up alone makes two or three."""
LOSS_SPIKE = 8.0
"""A loss so many usual deviations above the loss before it is a spike."""
WAIT_SHARE = 0.1
SLOWER = 0.75
"""Tokens per second below this share of the usual are worth a look."""
LEAST_ROWS = 60
LITTLE_DISK = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """`kind` is error, warning or note."""

    kind: str
    text: str


def diagnose(seen: RunSeen, curves: StageCurves | None) -> list[Finding]:
    """The findings for one stage."""
    found = list(_of_run(seen))
    if curves is not None:
        found += [*_broken(curves), *_spikes(curves), *_held_out(curves), *_speed(curves)]
        rollbacks = sum(mark.kind == "rollback" for mark in curves.marks)
        if rollbacks:
            found.append(
                Finding("warning", f"went back to a checkpoint {_times(rollbacks)} (↶ under the chart)")
            )
    order = ("error", "warning", "note")
    return sorted(found, key=lambda finding: order.index(finding.kind))


def _of_run(seen: RunSeen) -> Iterator[Finding]:
    if seen.is_live and seen.free_bytes is not None and seen.free_bytes < LITTLE_DISK:
        yield Finding(
            "warning", f"the disk has {human_bytes(seen.free_bytes)} left; a full one pauses the run"
        )
    if seen.gpus is not None and (held := seen.gpus.throttle):
        heat = f" at {seen.gpus.celsius:.0f} °C" if seen.gpus.celsius is not None else ""
        yield Finding("warning", f"the GPU's clock is held down{heat}: {held}")
    inexact = [note for note in seen.notes if note.kind == "warning" and ": not exact: " in note.text]
    if inexact:
        yield Finding("warning", inexact[-1].text)


def _broken(curves: StageCurves) -> Iterator[Finding]:
    for name in ("loss", "grad_norm"):
        if (steps := curves.training.broken.get(name)) is not None:
            yield Finding("error", f"{name} was not a number {steps}: nothing was learned there")


def _spikes(curves: StageCurves) -> Iterator[Finding]:
    steps, norms = curves.training.steps, _newest(curves.training.metrics.get("grad_norm"))
    losses = curves.training.metrics.get("loss")
    if len(norms) < LEAST_ROWS or losses is None:
        return
    usual = statistics.median(norms)
    first = len(steps) - len(norms)
    worst = max(range(len(norms)), key=norms.__getitem__)
    if usual > 0 and norms[worst] > SPIKE * usual and first + worst > LEAST_ROWS:
        at = steps[first + worst]
        after = _recovered(losses, first + worst, len(steps))
        said = (
            f"recovered in {steps[after] - at:,} steps"
            if after is not None
            else "the loss has not recovered yet"
        )
        yield Finding(
            "note" if after is not None else "warning",
            f"gradient norm {norms[worst] / usual:.0f} × its usual at step {at:,}, {said}",
        )
    recent = _newest(losses)
    middle = statistics.median(recent)
    deviation = statistics.median(abs(value - middle) for value in recent) or abs(middle) * 0.01
    last = recent[-5:]
    if statistics.median(last) > middle + LOSS_SPIKE * deviation:
        yield Finding(
            "warning", f"the loss jumped: {statistics.median(last):.3f} against a usual {middle:.3f}"
        )


def _recovered(losses: Series, row: int, rows: int) -> int | None:
    """The row at which the loss was back where it stood before; None when it is not."""
    before = losses.part(max(row - 20, 0), row, level=0)
    if before is None:
        return None
    limit = before.mean + (before.high - before.low) / 2
    for later in range(row, rows):
        part = losses.part(later, later + 5, level=0)
        if part is not None and part.mean <= limit:
            return later
    return None


def _held_out(curves: StageCurves) -> Iterator[Finding]:
    """Validation parts from training when it rises while the training loss still falls."""
    series, losses = curves.measured.metrics.get("val_loss"), curves.training.metrics.get("loss")
    if series is None or losses is None or len(series) < 4:
        return
    values = list(series.raw)
    best = min(range(len(values)), key=lambda index: (values[index], index))
    if len(values) - 1 - best < 3 or not values[-1] > values[best] * 1.01:
        return
    step = curves.measured.steps[best]
    rows = len(losses)
    at_best = next((row for row in range(rows) if curves.training.steps[row] >= step), rows)
    then, now = losses.part(max(at_best - 50, 0), at_best), losses.part(max(rows - 50, 0), rows)
    if then is not None and now is not None and now.mean < then.mean:
        yield Finding(
            "warning",
            f"held-out loss rises since step {step:,} ({values[best]:.3f} → {values[-1]:.3f}) while training falls:"
            " it learns by heart",
        )


def _speed(curves: StageCurves) -> Iterator[Finding]:
    waits = _newest(curves.training.metrics.get("data_wait_share"))[-100:]
    if len(waits) >= 20 and (share := statistics.fmean(waits)) >= WAIT_SHARE:
        yield Finding(
            "warning", f"{share:.0%} of the time goes by waiting for data: a slow disk, or a full machine"
        )
    crowded = _newest(curves.training.metrics.get("core_wait_share"))[-100:]
    if len(crowded) >= 20 and (share := statistics.fmean(crowded)) >= WAIT_SHARE:
        yield Finding(
            "warning", f"{share:.0%} of the time threads wait for cores that other programs use: see top"
        )
    speeds = _newest(curves.training.metrics.get("tokens_per_second"))
    if len(speeds) >= LEAST_ROWS:
        usual, now = statistics.median(speeds), statistics.median(speeds[-15:])
        if now < SLOWER * usual:
            yield Finding("warning", f"{1 - now / usual:.0%} slower than usual")


def _newest(series: Series | None) -> Sequence[float]:
    return [value for value in series.raw[-LOOKED_AT:] if value == value] if series is not None else []


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
