"""What curves say: every finding names its step and its figure, and a calm run says nothing."""

from __future__ import annotations

import math
import random
from pathlib import Path

from tui.chart.track import StageCurves
from tui.diagnosis import diagnose
from tui.run_seen import Note, RunSeen

SEEN = RunSeen("run", Path("run"), state="running")


def calm(steps: int = 400, **changed: dict[int, float]) -> StageCurves:
    rng = random.Random(0)
    curves = StageCurves()
    for step in range(1, steps + 1):
        values = {
            "loss": 3 + 2 * math.exp(-step / 80) + rng.gauss(0, 0.02),
            "grad_norm": 0.4 + rng.gauss(0, 0.02),
            "tokens_per_second": 8000 + rng.gauss(0, 100),
            "data_wait_share": 0.01,
        }
        values |= {name: by_step[step] for name, by_step in changed.items() if step in by_step}
        curves.training.add(step, step * 100, step, values)
    return curves


def texts(curves: StageCurves, seen: RunSeen = SEEN) -> str:
    return "\n".join(f"{finding.kind}: {finding.text}" for finding in diagnose(seen, curves))


def test_a_calm_run_says_nothing() -> None:
    assert texts(calm()) == ""


def test_a_spike_is_told_with_its_step_and_whether_the_loss_came_back() -> None:
    back = texts(calm(grad_norm={300: 3.2}, loss={300: 4.0, 301: 3.6}))
    assert "gradient norm 8 × its usual at step 300, recovered in" in back and back.startswith("note")
    lost = texts(calm(grad_norm={390: 3.2}, loss=dict.fromkeys(range(390, 401), 5.0)))
    assert "has not recovered yet" in lost and "the loss jumped" in lost and lost.startswith("warning")


def test_not_a_number_comes_first() -> None:
    assert texts(calm(loss={200: math.nan})).startswith("error: loss was not a number at step 200")


def test_validation_that_parts_from_training_is_told_and_one_that_falls_is_not() -> None:
    for values, told in (([3.6, 3.4, 3.5, 3.6, 3.7], True), ([3.6, 3.4, 3.3, 3.2, 3.1], False)):
        curves = calm()
        for step, value in zip(range(80, 401, 80), values, strict=True):
            curves.measured.add(step, step * 100, step, {"val_loss": value})
        assert ("held-out loss rises since step 160" in texts(curves)) is told


def test_waiting_for_data_and_getting_slower_are_told() -> None:
    slow = calm(
        data_wait_share=dict.fromkeys(range(300, 401), 0.22),
        core_wait_share=dict.fromkeys(range(300, 401), 0.31),
        tokens_per_second=dict.fromkeys(range(380, 401), 4000.0),
    )
    assert "31% of the time threads wait for cores" in texts(slow)
    assert "22% of the time goes by waiting for data" in texts(slow) and "50% slower than usual" in texts(
        slow
    )


def test_a_rollback_and_a_resume_that_was_not_exact_are_told() -> None:
    curves = calm()
    curves.mark("rollback", 200)
    note = Note(1.0, "warning", "going on at step 300: not exact: another number of devices")
    seen = RunSeen("run", Path("run"), state="running", notes=(note,), free_bytes=1e9)
    told = texts(curves, seen)
    assert (
        "went back to a checkpoint once" in told
        and "not exact: another number" in told
        and "1 GB left" in told
    )
