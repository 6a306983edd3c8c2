"""What a measuring process does: the speed of one row, or one system's curve of a race.

A job is plain data: `kind`, `name`, `workload`, `tokens` (a folder of shards), and which system: `ours` with its
rung and settings, or a peer with its place.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from workbench.bench.clocks import Stopwatch, now, peak_bytes, product_rate
from workbench.bench.ours import Ours, Rung
from workbench.bench.parts import PartClock
from workbench.bench.peers import build_peer
from workbench.bench.settings import OurSettings
from workbench.bench.systems import System
from workbench.bench.windows import HeldOut
from workbench.bench.workload import Workload
from workbench.data.shards import TokenShards
from workbench.train.device import KERNELS_KEPT

WARM_UP_STEPS = 2
"""Kernels are made, memory is taken and models are compiled in the first steps."""
PART_STEPS = 3
PEAK_SECONDS = 0.5

Point = Callable[[Mapping[str, Any]], None]


def run_job(job: Mapping[str, Any], point: Point) -> dict[str, Any]:
    """The figures a job asks for."""
    for cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(cache, str(KERNELS_KEPT))  # as in training
    workload = Workload.from_json(job["workload"])
    torch.set_num_threads(workload.threads)
    parts = PartClock(workload.clock, workload.device) if job.get("parts") else None
    system = _system(job, workload, parts)
    tokens = TokenShards.open(Path(job["tokens"]))
    if job["kind"] == "race":
        return _race(job, system, workload, tokens, point)
    if parts is not None:
        return _parts(system, tokens, parts)
    return _speed(job, system, workload, tokens)


def _system(job: Mapping[str, Any], workload: Workload, parts: PartClock | None) -> System:
    if job["system"] != "ours":
        return build_peer(job["system"], Path(job["place"]) if job["place"] else None, workload)
    settings, rung = OurSettings.from_json(job["settings"]), Rung(**job.get("rung", {}))
    return Ours(workload, settings, rung=rung, parts=parts)


def _speed(job: Mapping[str, Any], system: System, workload: Workload, tokens: TokenShards) -> dict[str, Any]:
    """Tokens a second of the median step, and what the machine could do just before and after."""
    device, clock = workload.device, workload.clock
    steps = system.steps(tokens, lambda: 0.5)  # in the middle of a schedule, where rates are not zero
    for _ in range(WARM_UP_STEPS):
        next(steps)
    dtype = getattr(torch, job["dtype"])
    peak = product_rate(clock, device, dtype, seconds=PEAK_SECONDS)
    seconds, learned = [], 0
    for _ in range(job["steps"]):
        began = now(clock, device)
        learned = next(steps)
        seconds.append(now(clock, device) - began)
    peak = max(peak, product_rate(clock, device, dtype, seconds=PEAK_SECONDS))
    tokens_per_second = learned / statistics.median(seconds)
    return {
        "tokens_per_second": tokens_per_second,
        "step_seconds": statistics.median(seconds),
        "limit": peak,
        "mfu": tokens_per_second * system.flops_per_token / peak,
        "peak_mb": peak_bytes(device) / 1e6,
        "parameters": system.parameters,
        "flops_per_token": system.flops_per_token,
    }


def _parts(system: System, tokens: TokenShards, parts: PartClock) -> dict[str, Any]:
    steps = system.steps(tokens, lambda: 0.5)
    for _ in range(WARM_UP_STEPS):
        next(steps)
    parts.forget()
    for _ in range(PART_STEPS):
        next(steps)
    return {"parts": parts.shares()}


def _race(
    job: Mapping[str, Any], system: System, workload: Workload, tokens: TokenShards, point: Point
) -> dict[str, Any]:
    """Train for `seconds`; bits per byte on the curve's windows along the way, on all windows at the end."""
    heldout = HeldOut.open(Path(job["heldout"]), context_length=workload.context_length)
    device, clock, allowed = workload.device, workload.clock, float(job["seconds"])
    warm_up = system.steps(tokens, lambda: 0.0)
    for _ in range(WARM_UP_STEPS):
        next(warm_up)
    warm_up.close()
    system.restart()
    peak = product_rate(clock, device, workload.torch_dtype, seconds=PEAK_SECONDS)
    memory = peak_bytes(device)  # of training alone: measuring writes out logits
    watch = Stopwatch(clock, device)
    curve: list[dict[str, float]] = []
    learned, due = 0, 0.0
    with contextlib.closing(system.steps(tokens, lambda: watch.seconds / allowed)) as steps:
        for step, count in enumerate(steps, 1):
            learned += count
            at = watch.seconds
            if at >= due or at >= allowed:
                with watch.held():
                    figure = heldout.bits_per_byte(system.logits, device=device, all_windows=False)
                    curve.append({"seconds": at, "tokens": learned, "steps": step, "bits_per_byte": figure})
                    point(curve[-1])
                due = at + min(float(job["every"]), max(at / 3, 4.0))  # early on things move fast
            if at >= allowed:
                break
    peak = max(peak, product_rate(clock, device, workload.torch_dtype, seconds=PEAK_SECONDS))
    tokens_per_second = learned / curve[-1]["seconds"]
    return {
        "curve": curve,
        "bits_per_byte": heldout.bits_per_byte(system.logits, device=device, all_windows=True),
        "tokens": learned,
        "steps": curve[-1]["steps"],
        "seconds": curve[-1]["seconds"],
        "tokens_per_second": tokens_per_second,
        "limit": peak,
        "mfu": tokens_per_second * system.flops_per_token / peak,
        "peak_mb": memory / 1e6,
        "parameters": system.parameters,
    }
