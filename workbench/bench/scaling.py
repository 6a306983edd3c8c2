"""Does the cost of a step grow as its arithmetic does? Wider models and longer steps beside the usual one.

Linear means that FLOP/s do not fall: a step of twice the FLOPs takes at most twice the time.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.bench.settings import OurSettings
from workbench.bench.speed import Row, at_harmless_rates, measure_speed, synthetic_tokens
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
    """Rows of step time against parameters and tokens.

    `relative_cost` is time per FLOP, 1 for the smallest of its kind.
    """
    rows: list[Row] = []
    smallest: dict[str, Any] = {}
    for name, changed in scaled(workload).items():
        job = {
            "name": name,
            "after": None,
            "system": "ours",
            "settings": at_harmless_rates(settings).to_json(),
            "dtype": changed.dtype,
        }
        with tempfile.TemporaryDirectory() as folder:
            tokens = synthetic_tokens(Path(folder), changed)
            [row] = measure_speed([job], changed, tokens, steps=steps, rounds=rounds, say=say)
        kind = name.split()[-1] if name.endswith("tokens") else "width"
        per_flop = 1 / (row["tokens_per_second"] * row["flops_per_token"])
        smallest.setdefault(kind, per_flop)
        rows.append(row | {"tokens": changed.batch_tokens, "relative_cost": per_flop / smallest[kind]})
    return rows
