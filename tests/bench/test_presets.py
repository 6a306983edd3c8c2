from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch

from workbench.bench import presets
from workbench.bench.presets import rungs, settings_of, wins
from workbench.bench.settings import OurSettings
from workbench.bench.workload import Workload
from workbench.errors import BadInput
from workbench.recipe_file import load_recipe


@pytest.fixture(autouse=True)
def compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "can_compile", lambda _: True)


def test_a_race_is_run_with_all_that_was_found_to_help() -> None:
    settings = settings_of("race", Workload(), [])
    assert settings.model == {"tie_word_embeddings": False, "bigram_embedding_rows": 12288}
    assert settings.optimizer == {"matrix_learning_rate": 0.015, "learning_rate": 0.004}
    course = settings.course
    assert (course.batch_tokens, course.initializer, course.compiled) == (2048, "bigrams", True)
    assert settings_of("plain", Workload(), []) == OurSettings()


def test_what_is_set_by_hand_wins_over_a_preset() -> None:
    settings = settings_of("race", Workload(), ["learning_rate=0.01", "initializer=zero-residual"])
    assert settings.optimizer["learning_rate"] == 0.01
    assert settings.course.initializer == "zero-residual"
    with pytest.raises(BadInput, match="a head of its own") as caught:
        settings_of("race", Workload(), ["tie_word_embeddings=true"])
    assert "\n" not in str(caught.value)


def test_a_win_that_cannot_be_is_left_out() -> None:
    def names(**changed: object) -> set[str]:
        return {win.name for win in wins(dataclasses.replace(Workload(), **changed))}  # type: ignore[arg-type]

    everything = names()
    assert everything - names(vocab_size=8193) == {"first weights from bigrams"}
    assert everything - names(batch_tokens=256) == {"half the tokens a step"}
    assert everything - names(compiled=False) == {"compiled layers"}


def test_compiled_layers_need_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "can_compile", lambda _: False)
    assert not settings_of("race", Workload(), []).course.compiled


def test_the_rungs_lead_from_plain_to_race_one_win_at_a_time() -> None:
    climbed = rungs(Workload(), ["momentum=0.8"])
    assert [name for name, _ in climbed] == ["plain", *(f"+ {win.name}" for win in wins(Workload()))]
    assert climbed[0][1] == settings_of("plain", Workload(), ["momentum=0.8"])
    assert climbed[-1][1] == settings_of("race", Workload(), ["momentum=0.8"])
    for (_, before), (name, after) in itertools.pairwise(climbed):
        assert before != after, name


def test_the_shipped_sprint_is_the_race() -> None:
    """recipes/sprint.toml says the same in a recipe's words."""
    recipe = load_recipe("sprint").recipe
    assert recipe.model is not None and recipe.pretrain is not None and recipe.tokenizer is not None
    workload, table = Workload(vocab_size=recipe.tokenizer.vocab_size), recipe.pretrain
    settings = settings_of("race", workload, [])
    shape = recipe.model.shape(vocab_size=workload.vocab_size)
    assert shape == workload.model_config(**settings.model)
    optimizer = settings.optimizer_settings(torch.float32)
    for field in dataclasses.fields(optimizer):
        if field.name != "matmul_dtype":  # of the machine
            assert getattr(table, field.name) == getattr(optimizer, field.name), field.name
    course, steps = settings.course, table.tokens // table.batch_tokens
    assert recipe.model.initializer == course.initializer
    assert table.context_length == workload.context_length
    assert table.warmup_steps == round(course.warmup_share * steps)
    for key in ("batch_tokens", "schedule", "final_learning_rate_ratio", "weights_dtype", "max_grad_norm"):
        assert getattr(table, key) == getattr(course, key), key
