"""The verb that looks at the machine: doctor."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from workbench.cli.output import Home, Json, print_json, result

SECONDS_EACH = 0.3
"""For each thing that is measured; all of them are a few seconds."""


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command()(doctor)


def doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Measure nothing.")] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Look at this machine and say what will be fast on it.

    Processor, memory, disk, GPU, terminal; what the training step uses here and, measured in a few seconds, what each
    is worth. Every problem comes with its fix.

    Example: workbench doctor
    """
    from workbench.doctor import examine
    from workbench.runs import find_home

    findings = list(examine(find_home(home)))
    speed: dict[str, Any] = {"peaks": None, "uses": []}
    if not any(finding.name == "torch" and finding.problem for finding in findings):
        speed = _speed(seconds=None if quick else SECONDS_EACH)
    problems = [finding for finding in findings if finding.problem]
    if json:
        print_json(
            {
                "ok": not problems,
                "findings": [dataclasses.asdict(finding) for finding in findings],
                **speed,
            }
        )
        return
    for finding in findings:
        result(f"{'!' if finding.problem else ' '} {finding.name:<14} {finding.value}")
    _print_speed(speed)
    result("")
    for finding in problems:
        result(f"! {finding.name}: {finding.problem}; {finding.fix}")
    if not problems:
        result("nothing is wrong")


def _speed(*, seconds: float | None) -> dict[str, Any]:
    """What the step uses here and, unless `seconds` is None, what the machine can do."""
    from workbench.bench.worth import peaks, worths
    from workbench.train.device import prepare_machine

    machine = prepare_machine()
    return {
        "arithmetic": str(machine.dtype).removeprefix("torch."),
        "threads": machine.threads,
        "peaks": None if seconds is None else peaks(machine, seconds=seconds),
        "uses": [dataclasses.asdict(each) for each in worths(machine, seconds=seconds)],
    }


def _print_speed(speed: dict[str, Any]) -> None:
    if speed["peaks"] is not None:
        peaks = speed["peaks"]
        for kind in ("float32", "bfloat16"):
            result(
                f"  {kind:<14} {peaks[f'{kind}_flops'] / 1e9:,.0f} GFLOP/s in a large product, measured now"
            )
        result(
            f"  {'memory speed':<14} {peaks['memory_bytes_per_second'] / 1e9:.1f} GB/s in a large copy, measured now"
        )
    if speed["uses"]:
        result(f"\nthe training step, in {speed['arithmetic']} on {speed['threads']} threads:")
    for use in speed["uses"]:
        worth = (
            use["why_not"] or "not measured"
            if use["times"] is None
            else f"{use['times']:.2g} times as quick as {use['instead_of']}"
        )
        result(f"  {'in use' if use['active'] else 'not in use':<11} {use['name']}: {worth}")
    if speed["uses"]:
        result(
            "  torch.compile: decided by measurement at the start of a training; `workbench show RUN` tells"
        )
