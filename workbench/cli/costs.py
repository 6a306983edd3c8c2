"""What `plan` says of cost: tokens beside the scaling law's, memory by part, disk, time and energy, a line each."""

from __future__ import annotations

import dataclasses

from workbench.budget import Budget, StageBudget
from workbench.files import human_bytes, human_count, human_duration


def cost_lines(budget: Budget) -> list[str]:
    """The totals of a plan as lines for a person."""
    known = human_bytes(budget.memory_bytes) if budget.memory_bytes else "what is not known"
    lines = [f"memory   ~{human_bytes(budget.peak_bytes)} of {known}"]
    lines += [f"  {name:<8} {_parts(stage)}" for name, stage in budget.stages.items() if stage.memory]
    lines += [
        f"disk     ~{human_bytes(budget.disk_bytes)} of {human_bytes(budget.free_bytes)} free",
        f"time     ~{human_duration(budget.seconds)} on {budget.device}, estimated, not measured",
        f"energy   ~{_energy(budget.energy_kwh)} at {budget.power_watts:.0f} W ({budget.power_basis})",
    ]
    if budget.tokens:
        lines.insert(0, f"tokens   {_tokens(budget)}")
    return lines


def _tokens(budget: Budget) -> str:
    """The recipe's tokens beside those of the scaling law."""
    optimal = budget.compute_optimal_tokens
    return (
        f"{human_count(budget.tokens)}, {budget.tokens / optimal:.2g} of {human_count(optimal)}: with 20 a parameter "
        "the compute is best spent"
    )


def _parts(stage: StageBudget) -> str:
    assert stage.memory is not None
    parts = dataclasses.asdict(stage.memory) | {"process": stage.peak_bytes - stage.memory.total}
    said = ", ".join(f"{name} {human_bytes(size)}" for name, size in parts.items() if size)
    at_once = f"; {stage.tokens_at_once:,} tokens at once" if stage.tokens_at_once else ""
    return f"{said}{at_once}"


def _energy(kilowatt_hours: float) -> str:
    return f"{kilowatt_hours:.1f} kWh" if kilowatt_hours >= 0.1 else f"{1000 * kilowatt_hours:.1f} Wh"
