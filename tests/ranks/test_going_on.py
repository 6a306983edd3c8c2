"""A training that one number of processes began and another one goes on with."""

from __future__ import annotations

import pytest

from tests.ranks.compared import (
    check_equal,
    figures,
    last_digests,
    texts,
)
from tests.ranks.training import Train
from workbench.runs import Run


def test_more_tokens_for_a_finished_run_by_two(train: Train) -> None:
    longer = {"pretrain.tokens": 1280, "pretrain.schedule": "wsd", "pretrain.warmup_steps": 0}
    shorter = longer | {"pretrain.tokens": 640}
    alone = train("longer-alone", nproc=1, **longer)
    train("longer", nproc=1, **shorter)
    run = train("longer", nproc=2, name="y", **longer)
    assert run.status()["exit_code"] == 0, run.status()["error"]
    assert "going on from the same training for fewer tokens at step" in texts(run, "warning")
    last = max(key for key in figures(alone) if key[2] == "val_loss")
    assert figures(run)[last] == pytest.approx(figures(alone)[last], rel=2e-5)


def test_from_two_to_four_to_one(train: Train, alone: Run) -> None:
    """Of the five rows of a step four have one each in the first micro-batch, and one in the second."""
    train("many", nproc=2, at=2)
    run = train("many", nproc=4, at=4)
    assert "ranks 2 (1 x 2 x 1) -> 4 (1 x 4 x 1)" in texts(run, "warning"), run.status()["error"]
    train("many", nproc=1)
    check_equal(run, alone)


def test_what_one_saved_two_go_on_with_and_the_other_way(train: Train, alone: Run) -> None:
    run = train("back-and-forth", nproc=1, at=3)
    assert run.state() == "stopped"
    train("back-and-forth", nproc=2, at=6)
    assert "resuming at step 3: not exact: ranks 1 -> 2 (1 x 2 x 1)" in texts(run, "warning")
    train("back-and-forth", nproc=1)
    assert "resuming at step 6: not exact: ranks 2 (1 x 2 x 1) -> 1" in texts(run, "warning")
    check_equal(run, alone)


def test_stopped_and_gone_on_with_by_as_many_the_bits_are_the_same(train: Train, together: Run) -> None:
    run = train("stopped", nproc=2, at=5)
    train("stopped", nproc=2)
    assert "resuming at step 5: exact" in texts(run, "note")
    assert last_digests(run) == last_digests(together)


def test_stopped_without_saving_they_go_on_from_the_checkpoint_before(train: Train, together: Run) -> None:
    run = train("at-once", nproc=2, at=6, do=lambda run: run.request("stop now"))
    assert (run.state(), run.status()["exit_code"]) == ("stopped", 75)
    assert "stopped at step 6 without saving: 2 steps" in texts(run, "note")
    train("at-once", nproc=2)
    assert "resuming at step 4: exact" in texts(run, "note")
    assert last_digests(run) == last_digests(together)
