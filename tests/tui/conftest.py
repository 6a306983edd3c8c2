"""Canned homes: run folders as a worker would have left them; no worker, no torch."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tui.small_home import corpus, planned, scorecard
from tests.tui.terminal import Terminal
from tests.tui.workers import FAKE_WORKER
from workbench.runs import Run, create_run

NOW = 1_700_000_000.0
STAGES = ("corpus", "tokenizer", "pack", "pretrain", "sft", "dpo", "eval")
MakeRun = Callable[..., Run]
__all__ = ["corpus", "planned", "scorecard"]  # fixtures of small_home.py


def write_run(
    home: Path,
    name: str = "quickstart-7f3a12",
    *,
    state: str = "stopped",
    steps: int = 400,
    total_steps: int = 1000,
    notes: tuple[str, ...] = ("held-out part: 312 documents",),
    sample: str = "returns a list of the names of the entries in the directory.",
    error: str | None = None,
    now: float = NOW,
) -> Run:
    """A run that did three stages and `steps` of pretraining, a step a quarter second, until `now`."""
    plan = {
        "version": 1,
        "name": name,
        "recipe": "quickstart",
        "stages": [{"name": stage} for stage in STAGES],
    }
    run = create_run(home, name, recipe_text='name = "quickstart"\n', plan=plan)
    lines: list[str] = []

    def write(at: float, kind: str, **fields: Any) -> None:
        lines.append(json.dumps({"time": round(at, 3), "kind": kind, "seq": len(lines), **fields}))

    start = now - steps * 0.25 - 30
    write(start, "run_started", name=name, pid=1, stages=list(STAGES))
    for index, stage in enumerate(STAGES[:3]):
        at = start + 10 * index
        write(at, "stage_started", stage=stage, reused=stage == "tokenizer")
        write(at + 5, "stage_progress", stage=stage, done=4.2e6, total=4.2e6, unit="bytes")
        write(at + 10, "stage_finished", stage=stage, reused=stage == "tokenizer", seconds=10.0, summary={})
    write(start + 30, "stage_started", stage="pretrain", reused=False)
    for note in notes:
        write(start + 30, "note", stage="pretrain", text=note)
    for step in range(1, steps + 1):
        at = start + 30 + step * 0.25
        loss = 2.1 + 6.2 * math.exp(-step / 60) + 0.08 * math.sin(step * 12.9898) * math.cos(step * 78.233)
        tokens = step * 2048
        write(
            at, "metric", stage="pretrain", step=step, loss=loss, learning_rate=6e-3, grad_norm=0.4,
            tokens=tokens, tokens_per_second=8192.0, mfu=None, seconds=0.25,
        )  # fmt: skip
        if step % 4 == 0:
            write(
                at, "stage_progress", stage="pretrain", done=tokens, total=total_steps * 2048, unit="tokens"
            )
        if step % 100 == 0:
            write(at, "metric", stage="pretrain", step=step, val_loss=loss + 0.1, val_bpb=(loss + 0.1) / 2.2)
            write(at, "sample", stage="pretrain", step=step, prompt="os.listdir", text=sample)
            write(at, "checkpoint", stage="pretrain", step=step, path="x", bytes=1, best=True)
    if error is not None:
        write(now, "error", text=error)
    if state in ("finished", "failed", "stopped"):
        write(now, "run_finished", state=state, exit_code=0)
    run.events_path.write_text("\n".join(lines) + "\n")
    status: dict[str, Any] = {
        "state": state, "stage": "pretrain", "step": steps, "loss": 2.1, "started_at": start, "heartbeat": now,
        "progress": {"done": steps * 2048, "total": total_steps * 2048, "unit": "tokens"},
        "pid": 1,
    }  # fmt: skip
    (run.path / "status.json").write_text(json.dumps(status))
    run.log_path.write_text("worker: all is well\n")
    return run


@pytest.fixture(autouse=True)
def _read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look takes all there is: a tenth of a second is too little for it on a crowded machine."""
    monkeypatch.setattr("tui.feed.READ_SECONDS", 60.0)


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes a canned run into the test's home."""

    def make(name: str = "quickstart-7f3a12", **facts: Any) -> Run:
        return write_run(tmp_path, name, **facts)

    return make


@pytest.fixture
def worker(make_run: MakeRun) -> Iterator[Run]:
    """A run that somebody works on, fifty steps a second from FIRST_STEP on."""
    run = make_run("busy", state="running", now=time.time())
    child = subprocess.Popen([sys.executable, FAKE_WORKER, str(run.path)])
    yield run
    child.kill()
    child.wait()


@pytest.fixture
def open_terminal() -> Iterator[Callable[..., Terminal]]:
    """Opens the app in a terminal of its own; every one is closed at the end."""
    opened: list[Terminal] = []

    def start(home: Path, *arguments: str, **options: Any) -> Terminal:
        opened.append(Terminal(home, *arguments, **options))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()
