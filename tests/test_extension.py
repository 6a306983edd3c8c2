"""More tokens for a finished run: what a plan finds in the store, says, and does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.small_wsd import RECIPE, write_text
from workbench.artifacts import Store
from workbench.audit import digest_of_run
from workbench.extension import find_shorter
from workbench.plan import Plan, make_plan
from workbench.recipe_file import load_recipe
from workbench.worker import work


@pytest.fixture
def planned(write_recipe: Callable[[str], Path], tmp_path: Path, home: Path) -> Callable[..., Plan]:
    write_text(tmp_path)

    def plan(**overrides: object) -> Plan:
        settings = {key.replace("__", "."): value for key, value in overrides.items()}
        return make_plan(load_recipe(write_recipe(RECIPE), settings))

    return plan


def why(plan: Plan) -> str:
    return plan.reuse(plan.stage("pretrain"))[1]


def test_more_tokens_go_on_from_before_the_decay(planned: Callable[..., Plan], home: Path) -> None:
    assert work(planned()).state() == "finished"
    longer = planned(pretrain__tokens=2560)
    shorter = longer.stage("pretrain").shorter
    assert shorter is not None and shorter.artifact == planned().stage("pretrain").makes
    assert why(longer) == f"goes on from step 17 of {shorter.artifact}, the same for 1,280 tokens"
    assert Plan.from_dict(longer.to_dict(), home=home).stage("pretrain").shorter == shorter

    run = work(longer)
    assert min(event["step"] for event in run.metrics("pretrain")) > 17
    extended = digest_of_run(run)

    # As if the shorter one had never been: the same fingerprint, and the same bits.
    longer.store.remove(shorter.artifact)
    longer.store.remove(longer.stage("pretrain").makes)
    at_once = planned(pretrain__tokens=2560)
    assert at_once.stage("pretrain").shorter is None
    assert at_once.stage("pretrain").makes == longer.stage("pretrain").makes
    assert digest_of_run(work(at_once)) == extended


def test_another_schedule_is_said_to_start_over(planned: Callable[..., Plan]) -> None:
    work(planned(pretrain__schedule="linear"))
    longer = planned(pretrain__schedule="linear", pretrain__tokens=2560)
    assert why(longer).startswith("starts over: checkpoint/pretrain-")
    assert longer.shorter_checkpoint(longer.stage("pretrain")) is None


def test_only_the_same_training_for_fewer_tokens_counts(planned: Callable[..., Plan]) -> None:
    work(planned())
    for changes in ({"pretrain__seed": 1}, {"pretrain__learning_rate": 0.5}, {"model__rope_theta": 500.0}):
        assert planned(pretrain__tokens=2560, **changes).stage("pretrain").shorter is None
    assert planned(pretrain__tokens=640).stage("pretrain").shorter is None
    assert planned(pretrain__tokens=2560, pretrain__keep_last=9).stage("pretrain").shorter is not None


def test_a_shorter_training_that_went_away_is_done_again(planned: Callable[..., Plan]) -> None:
    work(planned())
    longer = planned(pretrain__tokens=1600)
    longer.store.remove(planned().stage("pretrain").makes)
    run = work(longer)
    assert run.state() == "finished"
    assert min(event["step"] for event in run.metrics("pretrain")) == 1


def test_an_unreadable_store_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint" / "pretrain-00000000"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{")
    assert find_shorter(Store(tmp_path), "f", label="pretrain", tokens=9) is None
