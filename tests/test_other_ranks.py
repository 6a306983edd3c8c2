"""The worker and the death of a rank that it has not met yet."""

from __future__ import annotations

import queue
import subprocess
from typing import Any

import pytest

from workbench import other_ranks
from workbench.other_ranks import OtherRanks

MINUTES = 600.0


def test_a_rank_that_dies_before_all_have_met_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits to meet it, deep in a kernel, would not notice for half an hour."""
    monkeypatch.setattr(other_ranks, "NOTICE_SECONDS", MINUTES)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GLOO_SOCKET_IFNAME"):
        monkeypatch.delenv(name, raising=False)

    class Dies(subprocess.Popen[bytes]):
        def __init__(self, command: Any, **options: Any) -> None:
            super().__init__(["/bin/sh", "-c", "kill -9 $$"], **options)

    monkeypatch.setattr(other_ranks.subprocess, "Popen", Dies)
    said: queue.SimpleQueue[str] = queue.SimpleQueue()
    ranks = OtherRanks(2, give_up=said.put)
    ranks._start()
    try:
        assert said.get(timeout=MINUTES / 2).startswith(
            "rank 1 was killed by SIGKILL; run the same command again"
        )
    finally:
        ranks.dismiss()
