"""What `plan` says of cost: tokens beside the scaling law's, memory by part, disk, time and energy, a line each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from workbench.budget import ESTIMATED, Budget
from workbench.files import human_bytes, human_count, human_duration, human_energy


def cost_lines(budget: Budget) -> Iterator[str]:
    """The totals of a plan as lines for a person, at most 80 columns wide."""
    if budget.tokens:
        optimal = budget.compute_optimal_tokens
        share = f"{human_count(budget.tokens)}, {budget.tokens / optimal:.2g} of the {human_count(optimal)}"
        yield f"tokens   {share} (20 a parameter) that spend compute best"
    known = human_bytes(budget.memory_bytes) if budget.memory_bytes else "what is not known"
    each = f" on each of {budget.nproc} devices" if budget.nproc > 1 else ""
    yield f"memory   ~{human_bytes(budget.peak_bytes)}{each} of {known}"
    yield from _memory_table(budget)
    yield from _machine_lines(budget)
    yield f"disk     ~{human_bytes(budget.disk_bytes)} of {human_bytes(budget.free_bytes)} free"
    measured = [(name, stage.basis) for name, stage in budget.stages.items() if stage.basis != ESTIMATED]
    basis = "estimated, but for:" if measured else "estimated, not measured"
    yield f"time     ~{human_duration(budget.seconds)} on {budget.device}, {basis}"
    yield from (f"  {name:<10} {how}" for name, how in measured)
    yield f"energy   ~{human_energy(budget.energy_kwh)} at {budget.power_watts:.0f} W ({budget.power_basis})"


def probe_line(figures: Mapping[str, float]) -> str:
    """What a probe measured: the usual step, its spread, for nobody is alone on a machine, and what comes between."""
    spread = f"{figures['step_seconds_min']:.3g} to {figures['step_seconds_max']:.3g}"
    peak = human_bytes(figures.get("device_peak_bytes", figures["peak_bytes"]))
    between = (
        f"{name} {figures[key]:.2g} s"
        for name, key in (
            ("an evaluation", "evaluation_seconds"),
            ("samples", "samples_seconds"),
            ("a checkpoint", "save_seconds"),
        )
    )
    return (
        f"probed: {figures['step_seconds']:.3g} s a step ({spread}), {', '.join(between)}, {peak} of memory"
    )


def _memory_table(budget: Budget) -> Iterator[str]:
    """The peak of every training stage by part; what comes together from other devices, where there are others."""
    rows = []
    for name, stage in budget.stages.items():
        if stage.memory is not None:
            parts = dataclasses.asdict(stage.memory) | {"process": stage.process_bytes}
            del parts["gathered" if budget.nproc == 1 else "snapshot"]
            rows.append((name, {part: human_bytes(size) if size else "-" for part, size in parts.items()}))
    if rows:
        header = {part: part for part in rows[0][1]}
        for name, cells in (("", header), *rows):
            columns = (f"{cell:>{max(len(part), 8)}}" for part, cell in cells.items())
            yield f"  {name:<8} {' '.join(columns)}"


def _machine_lines(budget: Budget) -> Iterator[str]:
    """How several devices share each training, and what their processes hold together."""
    if budget.nproc == 1:
        return
    for name, stage in budget.stages.items():
        if stage.memory is not None:
            yield (
                f"  {name:<8} devices {stage.devices}: copies x shards x slices; this machine's processes "
                f"~{human_bytes(stage.machine_bytes)},"
            )
            copy = "whole tensors that each holds" if stage.saved_together else "the first one's copy of all"
            yield f"  {'':<8} {copy} while it saves ~{human_bytes(stage.copy_bytes)}"
