"""Does the cost of a step grow as its arithmetic does? Wider models and longer steps beside the usual one.

Linear means that FLOP/s do not fall: a step of twice the FLOPs takes at most twice the time.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

from workbench.bench.settings import OurSettings
from workbench.bench.speed import Job, Row, at_harmless_rates, measure_speed, synthetic_tokens
from workbench.bench.workload import HEAD_WIDTH, Workload


def scaled(workload: Workload) -> dict[str, Workload]:
    """Half and double the width, half and double the tokens of a step, the workload itself in between."""
    half_width = max(HEAD_WIDTH, workload.hidden_size // 2 // HEAD_WIDTH * HEAD_WIDTH)
    half_tokens = max(1, workload.rows // 2) * workload.context_length
    widths = dict.fromkeys((half_width, workload.hidden_size, 2 * workload.hidden_size))
    tokens = dict.fromkeys((half_tokens, workload.batch_tokens, 2 * workload.batch_tokens))
    by_width = {f"width {w}": dataclasses.replace(workload, hidden_size=w) for w in widths}
    by_tokens = {f"{t:,} tokens": dataclasses.replace(workload, batch_tokens=t) for t in tokens}
    return by_width | by_tokens


def measure_scaling(
    workload: Workload, settings: OurSettings, *, steps: int, rounds: int, say: Callable[[str], None]
) -> list[Row]:
    """Rows of step time against parameters and tokens, all of them in every round.

    `relative_cost` is time per FLOP, 1 for the smallest of its kind. Of `settings` the batch is left out.
    """
    course = dataclasses.replace(settings.course, batch_tokens=0)
    asked = at_harmless_rates(dataclasses.replace(settings, course=course)).to_json()
    sizes = scaled(workload)
    names = {each: name for name, each in reversed(sizes.items())}  # what two names mean is measured once
    with tempfile.TemporaryDirectory() as scratch:
        jobs: list[Job] = []
        for number, (changed, name) in enumerate(names.items()):
            tokens = Path(scratch) / str(number)
            tokens.mkdir()
            jobs.append(
                {
                    "name": name,
                    "after": None,
                    "system": "ours",
                    "settings": asked,
                    "dtype": changed.dtype,
                    "workload": changed.to_json(),
                    "tokens": str(synthetic_tokens(tokens, changed)),
                }
            )
        measured = {
            row["name"]: row
            for row in measure_speed(jobs, workload, Path(scratch), steps=steps, rounds=rounds, say=say)
        }
    rows: list[Row] = []
    smallest: dict[str, float] = {}
    for name, changed in sizes.items():
        row = measured[names[changed]]
        per_flop = 1 / (row["tokens_per_second"] * row["flops_per_token"])
        least = smallest.setdefault("tokens" if name.endswith("tokens") else "width", per_flop)
        rows.append(row | {"name": name, "tokens": changed.batch_tokens, "relative_cost": per_flop / least})
    return rows
