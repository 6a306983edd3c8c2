"""What was measured comes back to plans of the same shape on the same machine, and to no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench import measured_cost
from workbench.budget import ESTIMATED, estimate, predictions
from workbench.measured_cost import find_cost, keep_cost
from workbench.plan import Plan, make_plan
from workbench.recipe_file import load_recipe

RECIPE = """name = "x"
[corpus]
sources = ["text.txt"]
[tokenizer]
vocab_size = 300
[pack]
[model]
size = "1m"
[pretrain]
tokens = "1M"
batch_tokens = 2000
context_length = 200
eval_every_steps = 100
"""
COST = {
    "steps": 20, "tokens": 40_000, "step_seconds": 0.5, "evaluation_seconds": 3.0, "samples_seconds": 2.0,
    "save_seconds": 1.0, "training_seconds": 11.0, "between_seconds": 7.0, "seconds": 22.0, "peak_bytes": 777_000_000,
}  # fmt: skip


@pytest.fixture
def planned(write_recipe: Callable[[str], Path], tmp_path: Path, home: Path) -> Callable[..., Plan]:
    (tmp_path / "text.txt").write_text("some text\n" * 100)
    home.mkdir()
    return lambda **changes: make_plan(
        load_recipe(write_recipe(RECIPE), {k.replace("__", "."): v for k, v in changes.items()})
    )


def keep(plan: Plan, **changes: Any) -> None:
    keep_cost(plan, plan.stage("pretrain"), COST | changes, by="run y")


def test_a_plan_is_told_from_what_was_measured(planned: Callable[..., Plan]) -> None:
    assert estimate(planned()).stages["pretrain"].basis == ESTIMATED
    keep(planned())
    longer = planned(pretrain__tokens="4M", pretrain__seed=3, pretrain__sample_every_steps=50)
    cost = estimate(longer).stages["pretrain"]
    assert "on this machine by run y" in cost.basis
    assert cost.peak_bytes == 777_000_000 and cost.tokens_per_second == 2000 / 0.5
    # 2,000 steps, 20 evaluations, 40 rounds of samples, a save after each of the first and every 50 s, 4 s for the rest
    between = 2000 * 0.5 + 20 * 3 + 40 * 2
    assert cost.seconds == pytest.approx(between + (20 + between / 50) * 1 + 4)
    assert predictions(longer)["pretrain"]["seconds"] == cost.seconds


@pytest.mark.parametrize(
    "changes",
    [
        {"pretrain__batch_tokens": 4000},
        {"model__num_hidden_layers": 2},
        {"tokenizer__vocab_size": 400},
        {"pretrain__dtype": "float32"},
    ],
)
def test_another_shape_is_not_told_from_it(planned: Callable[..., Plan], changes: dict[str, Any]) -> None:
    keep(planned())
    assert estimate(planned(**changes)).stages["pretrain"].basis == ESTIMATED


def test_nor_is_another_machine(planned: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    keep(planned())
    monkeypatch.setattr(measured_cost, "fingerprint", lambda: "another")
    assert find_cost(planned(), planned().stage("pretrain")) is None


def test_what_it_took_to_try_compiling_in_vain_does_not_come_again(planned: Callable[..., Plan]) -> None:
    keep(planned())
    before = find_cost(planned(), planned().stage("pretrain"))
    keep(planned(), seconds=COST["seconds"] + 60.0, tried_seconds=60.0)
    after = find_cost(planned(), planned().stage("pretrain"))
    assert before and after and after.parts == before.parts


def test_a_few_steps_are_no_measure(planned: Callable[..., Plan]) -> None:
    keep(planned(), steps=3)
    assert find_cost(planned(), planned().stage("pretrain")) is None


@pytest.mark.parametrize("content", ["[", "[]", '{"x": 1}'])
def test_a_memory_that_is_none_costs_accuracy_only(
    planned: Callable[..., Plan], home: Path, content: str
) -> None:
    (home / "cache").mkdir(exist_ok=True)
    (home / "cache" / "measured.json").write_text(content)
    assert find_cost(planned(), planned().stage("pretrain")) is None
