"""Speed side by side: rounds in which every row has its turn, each turn a process of its own.

A machine that is shared is not the same from one minute to the next. So rows take turns instead of following each
other, a row's figure is the median of its rounds, and its share of the limit is taken within one turn.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.bench.ladder import MUON, ladder
from workbench.bench.peers import PeerName
from workbench.bench.process import measure_apart
from workbench.bench.settings import OurSettings
from workbench.bench.workload import Workload
from workbench.data.shards import write_shards

Row = dict[str, Any]
Job = dict[str, Any]
SYNTHETIC_BATCHES = 8
HARMLESS_RATES = {"learning_rate": 1e-3, "matrix_learning_rate": 1e-3}
"""So that no row diverges, whose steps would then be skipped and look quick."""


def our_jobs(workload: Workload, settings: OurSettings) -> list[Job]:
    """A job for every rung of the ladder, of steps as long as `settings` say."""
    steps_of = dataclasses.replace(
        workload, batch_tokens=settings.course.batch_tokens or workload.batch_tokens
    )
    return [
        {
            "name": step.name,
            "after": step.after,
            "system": "ours",
            "settings": at_harmless_rates(settings).to_json(),
            "rung": {name: getattr(step.rung, name) for name in step.rung.__slots__},
            "dtype": step.rung.dtype or workload.dtype,
        }
        for step in ladder(steps_of)
    ]


def at_harmless_rates(settings: OurSettings) -> OurSettings:
    """`settings` for a measurement of speed alone."""
    return dataclasses.replace(settings, optimizer={**settings.optimizer, **HARMLESS_RATES})


def peer_jobs(peers: Sequence[PeerName], workload: Workload) -> list[Job]:
    """A job for every peer."""
    return [
        {
            "name": peer.name,
            "after": None,
            "system": peer.name,
            "place": None if peer.place is None else str(peer.place),
            "python": peer.python,
            "dtype": workload.dtype,
        }
        for peer in peers
    ]


def measure_speed(
    jobs: Sequence[Job],
    workload: Workload,
    tokens: Path,
    *,
    steps: int,
    rounds: int,
    say: Callable[[str], None],
) -> list[Row]:
    """One row a job: medians over `rounds`, and the spread of its tokens a second.

    A job may bring a workload and tokens of its own.
    """
    turns: dict[str, list[Row]] = {job["name"]: [] for job in jobs}
    for number in range(1, rounds + 1):
        for job in jobs:
            asked = {
                "workload": workload.to_json(),
                "tokens": str(tokens),
                **job,
                "kind": "speed",
                "steps": steps,
            }
            turn = measure_apart(asked, **({"python": job["python"]} if "python" in job else {}))
            turns[job["name"]].append(turn)
            say(
                f"round {number}/{rounds}: {job['name']}: {turn['tokens_per_second']:,.0f} tokens/s, "
                f"MFU {turn['mfu']:.2f}"
            )
    rows = [_row(job, turns[job["name"]]) for job in jobs]
    by_name = {row["name"]: row for row in rows}
    for row in rows:
        before = by_name.get(row["after"])
        row["times"] = None if before is None else row["tokens_per_second"] / before["tokens_per_second"]
    return rows


def _row(job: Job, turns: Sequence[Row]) -> Row:
    def median(name: str) -> float:
        return float(statistics.median(turn[name] for turn in turns))

    speeds = [turn["tokens_per_second"] for turn in turns]
    return {
        "name": job["name"],
        "after": job["after"],
        "dtype": job["dtype"],
        "tokens_per_second": median("tokens_per_second"),
        "tokens_per_second_min": min(speeds),
        "tokens_per_second_max": max(speeds),
        "step_seconds": median("step_seconds"),
        "limit": median("limit"),
        "mfu": median("mfu"),
        "peak_mb": max(turn["peak_mb"] for turn in turns),
        "parameters": turns[0]["parameters"],
        "flops_per_token": turns[0]["flops_per_token"],
    }


def muon_cost(rows: Sequence[Row]) -> float:
    """A step with Muon as a multiple of a step with AdamW."""
    at = next(number for number, row in enumerate(rows) if row["name"] == MUON)
    return float(rows[at]["step_seconds"] / rows[at - 1]["step_seconds"])


def measure_parts(workload: Workload, settings: OurSettings, tokens: Path) -> dict[str, float]:
    """The share of each part in a step of ours."""
    job = {
        "kind": "speed",
        "parts": True,
        "name": "parts of a step",
        "system": "ours",
        "settings": at_harmless_rates(settings).to_json(),
        "workload": workload.to_json(),
        "tokens": str(tokens),
    }
    return dict(measure_apart(job)["parts"])


def synthetic_tokens(folder: Path, workload: Workload) -> Path:
    """`folder`, filled with shards of ids as frequent as words are (Zipf), in documents of a thousand tokens."""
    drawn = np.random.default_rng(workload.seed)
    share = 1 / np.arange(1, workload.vocab_size + 1)
    count = SYNTHETIC_BATCHES * workload.batch_tokens
    ids = drawn.choice(workload.vocab_size, size=count, p=share / share.sum())
    documents = (part.tolist() for part in np.array_split(ids, -(-count // 1000)))
    write_shards(folder, documents, vocab_size=workload.vocab_size, shard_tokens=count)
    return folder


def headline(rows: Sequence[Row], settings: OurSettings) -> Row:
    """The row of a step as `workbench run` would take it with these settings."""
    at = next(number for number, row in enumerate(rows) if row["name"] == MUON)
    return rows[at - 1] if settings.optimizer.get("optimizer") == "adamw" else rows[at]
