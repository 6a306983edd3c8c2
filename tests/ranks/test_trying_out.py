"""Several processes try out how much their devices bear: each by itself, and the least counts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.ranks.compared import check_equal
from tests.ranks.training import Train
from workbench.events import read_events
from workbench.runs import Run
from workbench.stages import micro_batch

FULL_ON_THE_SECOND = """
import os
if os.environ.get("RANK") == "1":
    import torch
    from workbench.stages import micro_batch, pretrain
    from workbench.train.losses import next_token_loss

    def loss(model, batch, **more):
        if batch.inputs_BT.numel() > {most}:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return next_token_loss(model, batch, **more)

    micro_batch.raises_when_full = lambda machine: True
    pretrain.next_token_loss = loss
"""


@pytest.fixture
def second_is_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Lets the second rank run out of memory with more than so many tokens."""

    def with_more_than(most: int) -> None:
        monkeypatch.setattr(micro_batch, "raises_when_full", lambda machine: True)
        (tmp_path / "sitecustomize.py").write_text(FULL_ON_THE_SECOND.format(most=most))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))

    return with_more_than


def texts(run: Run, kind: str) -> list[str]:
    return [event["text"] for event in read_events(run.events_path) if event["kind"] == kind]


@pytest.mark.parametrize("how", [{}, {"pretrain.tensor_parallel": 2}], ids=["shards", "slices"])
def test_what_the_fullest_bears_is_taken_by_all(
    train: Train, alone: Run, second_is_full: Any, how: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    second_is_full(16)
    run = train(request.node.callspec.id, nproc=2, **how, **{"pretrain.micro_batch_tokens": None})
    assert run.status()["exit_code"] == 0, run.status()["error"]
    assert "another rank's GPU bears 16 tokens at once: all take as many" in texts(run, "warning")
    check_equal(run, alone)


def test_a_row_that_the_second_does_not_bear_ends_all_in_one_line(train: Train, second_is_full: Any) -> None:
    second_is_full(8)
    run = train("nothing-fits", nproc=2, **{"pretrain.micro_batch_tokens": None})
    assert run.status()["error"].startswith(
        "the memory of another rank's GPU does not hold the step of a single row"
    )
