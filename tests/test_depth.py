"""One dial: what follows from it, what wins over it, and what the plan says of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.depth import shape_of_depth, training_of_depth
from workbench.errors import RecipeError
from workbench.model_config import SIZES
from workbench.plan import make_plan
from workbench.recipe_file import load_recipe
from workbench.recipe_model import Model

RECIPE = """
name = "dial"
[corpus]
sources = ["python-docs"]
[tokenizer]
vocab_size = 4096
[pack]
[model]
depth = {depth}
{model}
[pretrain]
{pretrain}
"""


def write(folder: Path, *, depth: object = 4, model: str = "", pretrain: str = "") -> Path:
    file = folder / "dial.toml"
    file.write_text(RECIPE.format(depth=depth, model=model, pretrain=pretrain))
    return file


def test_at_the_anchor_it_is_the_quickstart_but_for_its_tokens() -> None:
    shape = Model(depth=4).shape(vocab_size=4096)
    quickstart = load_recipe("quickstart").recipe
    assert quickstart.model is not None and quickstart.pretrain is not None
    assert shape == quickstart.model.shape(vocab_size=4096)
    derived = training_of_depth(hidden_size=256, num_parameters=80_000, context_length=256)
    assert derived == {
        "tokens": quickstart.pretrain.tokens,
        "batch_tokens": quickstart.pretrain.batch_tokens,
        "learning_rate": quickstart.pretrain.learning_rate,
        "matrix_learning_rate": quickstart.pretrain.matrix_learning_rate,
    }


def test_every_value_is_in_the_plan_with_its_origin(tmp_path: Path) -> None:
    loaded = load_recipe(
        write(tmp_path, depth=6, pretrain="learning_rate = 0.01"), {"pretrain.batch_tokens": "512"}
    )
    stage = make_plan(loaded, home=tmp_path).stage("pretrain")
    assert stage.model is not None
    settings = {**stage.settings, **stage.model}
    told = {key: (settings[key].value, settings[key].origin) for key in ("hidden_size", "num_hidden_layers")}
    assert told == {
        key: (value, "derived: from depth") for key, value in shape_of_depth(6).items() if key in told
    }
    parameters = Model(depth=6).shape(vocab_size=4096).num_parameters
    assert (settings["tokens"].value, settings["tokens"].origin) == (20 * parameters, "derived: from depth")
    assert (settings["learning_rate"].value, settings["learning_rate"].origin) == (0.01, "recipe")
    assert (settings["batch_tokens"].value, settings["batch_tokens"].origin) == (512, "--set")
    assert (settings["size"].value, settings["depth"].origin) == (None, "recipe")
    frozen = stage.model_table()
    assert frozen is not None and frozen.shape(vocab_size=4096).num_hidden_layers == 6


def test_more_layers_more_of_everything_but_the_rate() -> None:
    previous: dict[str, float] = {}
    for depth in (2, 4, 8, 16, 32):
        shape = Model(depth=depth).shape(vocab_size=32_768)
        assert (shape.head_dim, shape.hidden_size) == (64, 64 * depth)
        found = training_of_depth(
            hidden_size=shape.hidden_size, num_parameters=shape.num_parameters, context_length=1024
        )
        assert found["batch_tokens"] % 1024 == 0
        if previous:
            assert found["tokens"] > previous["tokens"] and found["batch_tokens"] >= previous["batch_tokens"]
            assert found["learning_rate"] == pytest.approx(previous["learning_rate"] / 2**0.5, rel=1e-3)
        previous = found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"depth": 0}, "9: [model] depth = 0: input should be greater than or equal to 1"),
        ({"depth": '"deep"'}, "9: [model] depth = 'deep': input should be a valid integer"),
        ({"model": 'size = "5m"'}, "[model]: depth and size are two ways to say one thing"),
        (
            {"pretrain": "context_length = -1"},
            "12: [pretrain] context_length = -1: input should be greater than 0",
        ),
        ({"model": "hidden_size = 101"}, "num_attention_heads = 4 does not divide hidden_size = 101"),
    ],
)
def test_a_bad_value_is_told_once(tmp_path: Path, changes: dict[str, str], expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, **changes))
    assert len(caught.value.problems) == 1
    assert expected in str(caught.value)


@pytest.mark.parametrize("size", SIZES)
def test_a_named_size_has_the_parameters_of_its_name(size: str) -> None:
    named = float(size[:-1]) * {"m": 1e6, "b": 1e9}[size[-1]]
    shape = Model(size=size).shape(vocab_size=4096 if named <= 20e6 else 32_768)
    assert shape.num_parameters == pytest.approx(named, rel=0.2 if size == "1m" else 0.08)
    assert shape.hidden_size % 64 == 0 and shape.known_as == "qwen3"
    assert (shape.num_key_value_heads < shape.num_attention_heads) == size.endswith("b")
