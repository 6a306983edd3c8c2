"""The verb that looks at the machine: doctor."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import Home, Json, print_json, result

if TYPE_CHECKING:
    from workbench.doctor import Finding

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

    found_home = find_home(home)
    findings = list(examine(found_home))
    speed: dict[str, Any] = {"peaks": None, "uses": []}
    if not any(finding.name == "torch" and finding.problem for finding in findings):
        speed = _speed(found_home / "compile_times.json", seconds=None if quick else SECONDS_EACH)
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
        result(f"{_sign(finding)} {finding.name:<14} {finding.value}")
    _print_speed(speed)
    result("")
    for finding in problems:
        result(f"{_sign(finding)} {finding.name}: {finding.problem}; {finding.fix}")
    if any(finding.refusal for finding in problems):
        result("no run can start here while something is marked ✗")
    if not problems:
        result("nothing is wrong")


def _sign(finding: Finding) -> str:
    return "✗" if finding.refusal else "!" if finding.problem else " "


def _speed(compile_times: Path, *, seconds: float | None) -> dict[str, Any]:
    """What the step uses here and, unless `seconds` is None, what the machine can do."""
    from workbench.bench.worth import peaks, worths
    from workbench.train.device import prepare_machine

    machine = prepare_machine()
    return {
        "arithmetic": str(machine.dtype).removeprefix("torch."),
        "threads": machine.threads,
        "peaks": None if seconds is None else peaks(machine, seconds=seconds),
        "uses": [
            dataclasses.asdict(each) for each in worths(machine, seconds=seconds, compile_times=compile_times)
        ],
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
        in_use = {True: "in use", False: "not in use", None: "where quicker"}[use["active"]]
        result(f"  {in_use:<13} {use['name']}: {_worth_in_words(use)}")


def _worth_in_words(use: dict[str, Any]) -> str:
    if use["times"] is None:
        return str(use["why_not"] or "not measured")
    words = f"{use['times']:.2g} times as quick as {use['instead_of']}"
    if use["memory_share"] is not None:
        words += f", keeping {use['memory_share']:.0%} of the memory"
    words += f" (a training of {use['of']})" if use["of"] else ""
    return f"{words}; {use['why_not']}" if use["why_not"] else words
