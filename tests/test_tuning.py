"""Steering a run: what may be asked for, and that what comes of it is never taken for the recipe's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.small_wsd import RECIPE, write_text
from workbench.errors import BadInput
from workbench.plan import Plan, make_plan
from workbench.plan_difference import difference
from workbench.recipe import Pretrain, Sft
from workbench.recipe_fields import is_cosmetic
from workbench.recipe_file import load_recipe
from workbench.runs import Run
from workbench.stage_run import StageRun
from workbench.tuning import COSMETIC, STEERING, Tuning, parse_tuning
from workbench.worker import work, work_on


@pytest.fixture
def plan(write_recipe: Callable[[str], Path], tmp_path: Path, home: Path) -> Plan:
    write_text(tmp_path)
    return make_plan(load_recipe(write_recipe(RECIPE)))


@pytest.fixture
def asked_after(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets every pretraining find a request at its n-th look at the controls, or be killed there."""

    def script(**at: Any) -> None:
        looks = {"n": 0}
        ask = StageRun.request

        def request(self: StageRun) -> str | None:
            if self.stage != "pretrain":
                return ask(self)
            looks["n"] += 1
            if looks["n"] == at.get("kill"):
                raise Killed
            return at.get("request") if looks["n"] == at.get("look") else None

        monkeypatch.setattr(StageRun, "request", request)

    return script


class Killed(BaseException):
    """No `except Exception` sees it, like a kill."""


def frozen(run: Run, plan: Plan) -> Plan:
    return Plan.from_dict(run.plan(), home=plan.home)


def test_a_steered_run_is_not_the_recipes_own(plan: Plan, asked_after: Callable[..., None]) -> None:
    asked_after(look=10, request="tune decay=now")
    run = work(plan)
    assert run.state() == "finished"
    steered = frozen(run, plan)
    assert steered.stage("pretrain").planned == plan.stage("pretrain").makes
    assert steered.stage("pretrain").steering == ({"step": 9, "decay": "now"},)
    assert steered.is_complete() and not plan.is_complete()
    assert not plan.store.exists(plan.stage("pretrain").makes)
    assert not plan.store.exists(plan.stage("eval").makes)  # what is measured is another model
    assert steered.stage("corpus").makes == plan.stage("corpus").makes
    assert difference(steered, plan) == []  # the same run, by its recipe
    last = [
        event for event in run.events() if event["kind"] == "stage_finished" and event["stage"] == "pretrain"
    ][-1]
    assert last["summary"]["steering"] == [{"step": 9, "decay": "now"}]
    assert last["artifact"] == str(steered.stage("pretrain").makes)

    # Another run of the recipe makes its own; a longer one does not go on from what was steered.
    asked_after()
    other = work(dataclasses.replace(plan, name="other"))
    assert plan.is_complete() and frozen(other, plan).stage("pretrain").steering == ()


def test_force_makes_the_recipes_own_again(plan: Plan, asked_after: Callable[..., None]) -> None:
    asked_after(look=10, request="tune learning_rate=0.0001")
    run = work(plan)
    asked_after()
    work_on(run, force=["pretrain"])
    assert frozen(run, plan).stage("pretrain") == plan.stage("pretrain")
    assert plan.is_complete()


@pytest.mark.parametrize("kill", [11, 12])
def test_a_kill_after_a_decision_loses_nothing(
    plan: Plan, asked_after: Callable[..., None], kill: int
) -> None:
    asked_after(look=10, request="tune decay=now", kill=kill)
    with pytest.raises(Killed):
        work(plan)
    asked_after()
    run = work(plan)
    assert run.state() == "finished"
    assert frozen(run, plan).stage("pretrain").steering == ({"step": 9, "decay": "now"},)
    assert max(event["step"] for event in run.metrics("pretrain")) == 11


def test_a_kill_between_plan_and_folder_is_mended(plan: Plan, asked_after: Callable[..., None]) -> None:
    asked_after(look=10, request="tune decay=now", kill=12)
    with pytest.raises(Killed):
        work(plan)
    makes = plan.steered("pretrain", [{"step": 9, "decay": "now"}]).stage("pretrain").makes
    plan.store.building(makes).rename(plan.store.building(plan.stage("pretrain").makes))
    asked_after()
    run = work(plan)
    resumed = [
        event["text"] for event in run.events() if event["kind"] == "note" and "resuming" in event["text"]
    ]
    assert resumed == ["resuming at step 9: exact"]


def test_names_follow_what_was_decided(plan: Plan) -> None:
    one, two = ([{"step": step, "decay": "now"}] for step in (8, 9))
    assert plan.steered("pretrain", one) == plan.steered("pretrain", one)
    assert (
        plan.steered("pretrain", one).stage("eval").makes != plan.steered("pretrain", two).stage("eval").makes
    )
    assert plan.steered("pretrain", one).steered("pretrain", two) == plan.steered("pretrain", two)
    assert plan.steered("pretrain", one).steered("pretrain", ()) == plan
    again = Plan.from_dict(
        plan.steered("pretrain", one).to_dict(), home=plan.home, recipe_text=plan.recipe_text
    )
    assert again == plan.steered("pretrain", one)


@pytest.mark.parametrize(
    ("text", "tuning"),
    [
        ("decay=now", Tuning("decay", "now")),
        ("learning_rate = 3e-4", Tuning("learning_rate", 3e-4)),
        ("save_every_seconds=60", Tuning("save_every_seconds", 60)),
        ("eval_every_steps=50", Tuning("eval_every_steps", 50)),
        ("sample_prompts=Once = upon", Tuning("sample_prompts", ("Once = upon",))),
        ('sample_prompts="Once"', Tuning("sample_prompts", ("Once",))),
        ('sample_prompts = ["The sea", "A\\nB"]', Tuning("sample_prompts", ("The sea", "A\nB"))),
        ("sample_prompts=[]", Tuning("sample_prompts", ())),
    ],
)
def test_what_may_be_asked_for(text: str, tuning: Tuning) -> None:
    assert parse_tuning(text, Pretrain(tokens=4096, schedule="wsd")) == tuning


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("decay=later", "write decay=now"),
        ("tokens=1M", "'tokens' cannot be tuned; write KEY=VALUE with one of decay, learning_rate"),
        ("decay", "cannot be tuned"),
        ("learning_rate=fast", "not a number"),
        ("learning_rate=0", "greater than 0"),
        ("save_every_seconds=1.5", "integer"),
        ("save_every_seconds=9999", "less than or equal to 3600"),
        ("eval_every_steps=0", "greater than 0"),
        ("eval_every_steps=often", "not a number"),
        ("eval_every_steps=" + "9" * 5000, "not a number"),
        ("sample_prompts=", "at least 1 character"),
        ("sample_prompts=['one', 2]", "valid string"),
        ("sample_prompts=['one'", "is not a list of texts; write for example sample_prompts="),
        ("sample_prompts=" + "[" * 9000, "is not a list of texts"),
        ("sample_prompts=" + "x" * 4097, "at most 4096 characters"),
        (f"sample_prompts={['x'] * 17}", "at most 16 items"),
        ("sample_prompts=\udcff", "is not a list of texts"),
        ("sample_prompts=[\x1b[2J\n", "sample_prompts = \\[\\[2J is not a list"),
        ("sample_prompts=" + "x" * 200_000, "200,015 characters are too many"),
        ("tokens\x1b]52;c;=1", "'tokens\\]52;c;' cannot be tuned"),
    ],
)
def test_what_may_not(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        parse_tuning(text, Pretrain(tokens=4096, schedule="wsd"))
    assert not [c for c in str(caught.value) if c < " "] and len(str(caught.value)) < 300


def test_what_steers_is_what_enters_the_name_of_an_artifact() -> None:
    """How often is measured too: equal names promise the same best step."""
    table = Pretrain(tokens=4096)
    assert [key for key in STEERING if key != "decay" and is_cosmetic(table, key)] == []
    assert [key for key in COSMETIC if not is_cosmetic(table, key)] == []


def test_what_a_stage_does_not_have_cannot_be_tuned() -> None:
    with pytest.raises(BadInput, match="cannot be tuned"):
        parse_tuning("sample_every_steps=5", Sft())
    with pytest.raises(BadInput, match="cannot be tuned"):
        parse_tuning("sample_prompts=[]", Sft())
    assert parse_tuning("eval_every_steps=5", Sft()).steers
    with pytest.raises(BadInput, match="whose rate falls already"):
        parse_tuning("decay=now", Sft())
    with pytest.raises(BadInput, match="nothing to fall over"):
        parse_tuning("decay=now", Sft(schedule="wsd", decay_ratio=0.0))
