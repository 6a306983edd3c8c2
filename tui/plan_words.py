"""What a recipe will do and cost, read from the library and put into words. Runs in a thread; imports no tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content

from tui import words
from workbench.files import human_bytes, human_count, human_duration, human_energy
from workbench.safe_text import one_line

if TYPE_CHECKING:
    from workbench.plan import Plan


@dataclass(frozen=True, slots=True)
class StageCost:
    """One stage: whether it is there already and why, and what it takes."""

    name: str
    reused: bool
    why: str
    seconds: float
    summary: str
    peak_bytes: int
    disk_bytes: int
    basis: str
    memory: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class PlanCost:
    """A whole plan."""

    run: str
    parameters: int
    tokens: int
    optimal_tokens: int
    flops: float
    seconds: float
    peak_bytes: int
    memory_bytes: int | None
    disk_bytes: int
    free_bytes: int
    energy_kwh: float
    power_watts: float
    device: str
    problems: tuple[str, ...]
    stages: tuple[StageCost, ...]


def plan_cost(plan: Plan) -> PlanCost:
    """What a plan would do and cost."""
    import dataclasses

    from workbench.budget import estimate

    budget = estimate(plan)
    stages = []
    for stage in plan.stages:
        cost = budget.stages[stage.name]
        reused, why = plan.reuse(stage)
        parts = (
            {} if cost.memory is None else dataclasses.asdict(cost.memory) | {"process": cost.process_bytes}
        )
        stages.append(
            StageCost(
                stage.name, reused, why, cost.seconds, one_line(cost.summary, 40), cost.peak_bytes,
                cost.disk_bytes, str(cost.basis), tuple((name, int(size)) for name, size in parts.items()),
            )
        )  # fmt: skip
    return PlanCost(
        run=plan.name,
        parameters=budget.parameters,
        tokens=budget.tokens,
        optimal_tokens=budget.compute_optimal_tokens,
        flops=budget.flops,
        seconds=budget.seconds,
        peak_bytes=budget.peak_bytes,
        memory_bytes=budget.memory_bytes,
        disk_bytes=budget.disk_bytes,
        free_bytes=budget.free_bytes,
        energy_kwh=budget.energy_kwh,
        power_watts=budget.power_watts,
        device=budget.device,
        problems=budget.problems,
        stages=tuple(stages),
    )


def short_plan(cost: PlanCost, *, width: int = 200) -> Content:
    """Three lines in `width` cells: what it is and takes; what is to do; whether it can be started here."""
    stages = [_stage_sign(stage, times=True) for stage in cost.stages]
    if sum(each.cell_length + 2 for each in stages) - 2 > width:
        stages = [_stage_sign(stage, times=False) for stage in cost.stages]
    return Content("\n").join([_facts(cost, width=width), Content("  ").join(stages), _fits(cost)])


def _facts(cost: PlanCost, *, width: int) -> Content:
    model = f"{human_count(cost.parameters)} parameters" if cost.parameters else ""
    tokens = f"{human_count(cost.tokens)} tokens" if cost.tokens else ""
    memory = f"memory ~{human_bytes(cost.peak_bytes)}"
    of = f" of {human_bytes(cost.memory_bytes)}" if cost.memory_bytes else ""
    disk, energy = f"disk ~{human_bytes(cost.disk_bytes)}", f"~{human_energy(cost.energy_kwh)}"
    takes = [f"~{human_duration(cost.seconds)}", memory, disk, energy]
    # Facts whole or not at all. What it takes stays longest: keys tell its size, and the last line whether it fits.
    choices = [[model, tokens, takes[0], memory + of, *takes[2:]], [model, tokens, *takes], [model, *takes]]
    choices += [takes[:count] for count in (4, 3, 2, 1)]
    lines = (" · ".join(filter(None, facts)) for facts in choices)
    said = next((line for line in lines if len("plan  " + line) <= width), takes[0])
    return Content.assemble(("plan  ", "$primary bold"), said)


def _stage_sign(stage: StageCost, *, times: bool) -> Content:
    sign, color = ("✓ ", "$success") if stage.reused else ("○ ", "$dim")
    said = f" {human_duration(stage.seconds)}" if times and not stage.reused else ""
    return Content.assemble((sign, color), stage.name, (said, "$dim"))


def _fits(cost: PlanCost) -> Content:
    if cost.problems:
        return Content.assemble(("✗ cannot run here: ", "$error"), one_line("; ".join(cost.problems), 300))
    return Content.styled("✓ fits this machine", "$success")


def plan_to_choose(cost: PlanCost, *, width: int) -> Content:
    """What starting it would do, in `width` cells: its size and time, a line a stage with what it is for, its name."""
    model = f"{human_count(cost.parameters)} parameters, " if cost.parameters else ""
    facts = [
        f"{model}about {human_duration(cost.seconds)}",
        f"on {one_line(cost.device, 60)}",
        f"memory {human_bytes(cost.peak_bytes)}, disk {human_bytes(cost.disk_bytes)}, "
        f"energy {human_energy(cost.energy_kwh)}",
    ]
    figures = _STAGE_CELLS + words.TASK_CELLS + 2
    lines = [*map(Content, facts), Content("")]
    for stage in cost.stages:
        sign, color = ("✓", "$success") if stage.reused else ("○", "$dim")
        took = "made" if stage.reused else human_duration(stage.seconds)
        # The figures whole or not at all: what the stage is for comes first.
        beside = f"  {stage.summary}" if width >= figures + len(stage.summary) else ""
        lines.append(
            Content.assemble(
                (f"{sign} ", color), f"{stage.name:<10} ", (f"{took:>6}  ", "$dim"),
                f"{words.STAGE_TASKS.get(stage.name, ''):<{words.TASK_CELLS if beside else 0}}", (beside, "$dim"),
            )
        )  # fmt: skip
    if any(stage.reused for stage in cost.stages):
        lines.append(Content.styled("✓ was made before, and is taken", "$dim"))
    return Content("\n").join(
        [*lines, Content(""), Content.assemble(("run ", "$dim"), one_line(cost.run, 80))]
    )


_STAGE_CELLS = 21
"""What stands before the task of a stage: its sign, its name, its time."""


def long_plan(cost: PlanCost, *, width: int) -> Iterator[Content]:
    """All of it, a line a fact, in `width` cells."""
    yield _facts(cost, width=1000)
    yield _fits(cost)
    yield Content("")
    yield Content.styled("what it makes, and what is there already", "bold")
    for stage in cost.stages:
        sign, color = ("✓", "$success") if stage.reused else ("○", "$dim")
        took = "reused" if stage.reused else f"~{human_duration(stage.seconds)}"
        line = Content.assemble(
            (f"{sign} ", color), f"{stage.name:<10} {took:>7} ", (f"{human_bytes(stage.peak_bytes):>7}  ", "$dim"),
            f"{words.STAGE_TASKS.get(stage.name, ''):<{words.TASK_CELLS}}",
        )  # fmt: skip
        for said in (stage.summary, one_line(stage.why, 80)):  # each whole or not at all
            longer = Content.assemble(line, (f"  {said}", "$dim"))
            line = longer if said and longer.cell_length <= width else line
        yield line
    trained = [stage for stage in cost.stages if stage.memory]
    if trained:
        yield Content("")
        yield Content.styled("memory at its highest, by part", "bold")
        for stage in trained:
            said = "  ".join(f"{name} {human_bytes(size)}" for name, size in stage.memory if size)
            yield Content.assemble(f"{stage.name:<10} ", (said, "$dim"))
    yield Content("")
    yield Content.styled("in all", "bold")
    if cost.tokens:
        share = cost.tokens / max(cost.optimal_tokens, 1)
        yield Content(
            f"tokens   {human_count(cost.tokens)}, {share:.2g} of the {human_count(cost.optimal_tokens)}"
            " (20 a parameter) that spend compute best"
        )
    yield Content(f"compute  {cost.flops:.2g} FLOPs on {one_line(cost.device, 60)}")
    yield Content(f"disk     ~{human_bytes(cost.disk_bytes)} of {human_bytes(cost.free_bytes)} free")
    yield Content(f"energy   ~{human_energy(cost.energy_kwh)} at {cost.power_watts:.0f} W")
    measured = sorted({stage.basis for stage in cost.stages})
    yield Content(f"basis    {one_line('; '.join(measured), 200)}")
    yield Content.assemble("run      ", (one_line(cost.run, 80), "$primary"))
