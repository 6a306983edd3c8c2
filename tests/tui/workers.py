"""A worker that trains nothing, and what it and the screen say of its steps."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from workbench.runs import Run

FAKE_WORKER = str(Path(__file__).parent.parent / "fixtures" / "fake_worker.py")
FIRST_STEP = 5_001
"""So many that the screen writes them with a comma, as nothing else on it."""


def step_of(run: Run) -> int:
    """The newest step that the worker's status tells."""
    return int(run.status().get("step", 0))


def shown_step(output: bytes) -> int:
    """The newest step that came to a terminal."""
    return max(
        (int(step.replace(b",", b"")) for step in re.findall(rb"(?<![\d,])\d{1,3},\d{3}(?![\d,])", output)),
        default=0,
    )


def until(true: Callable[[], bool], *, seconds: float) -> None:
    """Wait for something that another process brings about."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
