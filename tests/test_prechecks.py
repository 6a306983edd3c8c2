from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from workbench import prechecks
from workbench.accelerators import Accelerator
from workbench.errors import BadInput, RecipeError
from workbench.plan import Plan, make_plan
from workbench.prechecks import check_machine, late_problems, precheck, require_inputs
from workbench.recipe_file import LoadedRecipe, load_recipe
from workbench.train.float8 import require_float8

RECIPE = """name = "x"
[corpus]
[tokenizer]
[pack]
[model]
size = "1m"
[pretrain]
tokens = "1M"
[sft]
sources = ["chats.jsonl"]
[eval]
tasks = ["heldout"]
"""
NAMED_TWICE = re.compile(r"(\[\w+\] )(\w+): (\1)?\2\b")
GOOD = '{"prompt": "a", "completion": "b"}\n'
GPT2 = {"model_type": "gpt2", "vocab_size": 300, "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 256}


def check(folder: Path, recipe: str, chats: str) -> None:
    (folder / "chats.jsonl").write_text(chats)
    (folder / "x.toml").write_text(recipe)
    precheck(*planned(folder))


def test_good_examples_and_tasks_pass(tmp_path: Path) -> None:
    check(tmp_path, RECIPE, GOOD)


@pytest.mark.parametrize(
    ("change", "chats", "line", "says"),
    [
        (("", ""), '{"who": "knows"}\n', 10, r"chats\.jsonl:1: .*who"),
        (("", ""), "", 10, r"chats\.jsonl"),
        (('["heldout"]', '["heldoot"]'), GOOD, 12, "did you mean heldout"),
        (('["heldout"]', '["chats.jsonl"]'), GOOD, 12, r"chats\.jsonl:1"),
        (('size = "1m"', 'size = "7b"'), GOOD, 5, "will not fit"),
    ],
)
def test_what_would_fail_late_fails_now_on_its_line(
    tmp_path: Path, change: tuple[str, str], chats: str, line: int, says: str
) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        check(tmp_path, RECIPE.replace(*change), chats)
    assert caught.value.line == line
    assert caught.value.file == str(tmp_path / "x.toml")
    assert not NAMED_TWICE.search(str(caught.value))


def test_a_package_that_is_not_there_is_told_at_its_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        check(tmp_path, RECIPE.replace("[corpus]", '[corpus]\npackages = ["no_such_package"]'), GOOD)
    assert str(caught.value) == (
        f"{tmp_path / 'x.toml'}:3: [corpus] packages names 'no_such_package', which is not installed; "
        "install it in this Python, or take it out"
    )


def test_every_late_problem_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        check(tmp_path, RECIPE.replace('["heldout"]', '["heldoot"]'), '{"who": "knows"}\n')
    assert [(each.line, type(each)) for each in caught.value.problems] == [(10, BadInput), (12, BadInput)]


def test_a_file_of_examples_is_read_again_only_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="who"):
        check(tmp_path, RECIPE, '{"who": "knows"}\n')
    with monkeypatch.context() as sealed:
        sealed.setattr("workbench.data.conversations.read_conversations", None)  # whoever reads, fails
        os.utime(tmp_path / "chats.jsonl", ns=(1, 1))
        with pytest.raises(TypeError):
            late_problems(*planned(tmp_path))
    os.utime(tmp_path / "chats.jsonl", ns=(2, 2))
    assert len(late_problems(*planned(tmp_path))) == 1
    with monkeypatch.context() as sealed:
        sealed.setattr("workbench.data.conversations.read_conversations", None)
        assert len(late_problems(*planned(tmp_path))) == 1
    (tmp_path / "chats.jsonl").write_text(GOOD)
    assert late_problems(*planned(tmp_path)) == []


def planned(folder: Path) -> tuple[Plan, LoadedRecipe]:
    """The plan of the recipe that lies in `folder`."""
    loaded = load_recipe(folder / "x.toml")
    return make_plan(loaded, home=folder / "home"), loaded


H100 = Accelerator("H100", 80_000_000_000, 700.0, (9, 0))


@pytest.mark.parametrize("line", ['optimizer = "adamw8bit"', 'dtype = "float8"'])
def test_a_wish_whose_package_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr(prechecks, "find_spec", lambda name: None)
    monkeypatch.setattr(prechecks, "accelerators", lambda: [H100])
    recipe = RECIPE.replace('"1M"', f'"1M"\n{line}')
    with pytest.raises(BadInput, match=r"torchao.*pip install") as caught:
        check(tmp_path, recipe, GOOD)
    assert caught.value.line == 9
    extras = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    (torchao,) = extras["project"]["optional-dependencies"]["lowbit"]
    assert torchao in str(caught.value)


@pytest.mark.parametrize(
    ("gpus", "nproc", "why_not"),
    [([], 1, "they need a GPU"), ([H100, H100], 2, "they are for one device"), ([H100], 1, None)],
)
def test_graphs_where_they_cannot_be(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gpus: list[Accelerator],
    nproc: int,
    why_not: str | None,
) -> None:
    monkeypatch.setattr(prechecks, "accelerators", lambda: gpus)
    (tmp_path / "chats.jsonl").write_text(GOOD)
    (tmp_path / "x.toml").write_text(RECIPE.replace('"1M"', '"1M"\ncompile = "graphs"'))
    told = [str(each) for each in late_problems(*planned(tmp_path), nproc=nproc)]
    refused = f'compile = "graphs" cannot be here: {why_not}; write "always", or leave it out'
    assert told == ([] if why_not is None else [f"{tmp_path / 'x.toml'}:9: [pretrain] {refused}"])


@pytest.mark.parametrize(
    ("gpus", "missing"),
    [
        ([], "the CPU"),
        ([Accelerator("A100", capability=(8, 0))], "A100"),
        ([H100], None),
        ([Accelerator("a GPU that nothing can ask")], None),
    ],
)
def test_products_that_the_device_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: list[Accelerator], missing: str | None
) -> None:
    monkeypatch.setattr(prechecks, "find_spec", lambda name: name)
    monkeypatch.setattr(prechecks, "accelerators", lambda: gpus)
    (tmp_path / "chats.jsonl").write_text(GOOD)
    (tmp_path / "x.toml").write_text(RECIPE.replace('"1M"', '"1M"\ndtype = "float8"'))
    told = [str(each) for each in late_problems(*planned(tmp_path))]
    if missing is None:
        check_machine(*planned(tmp_path), nproc=1)
        assert told == []
        return
    with pytest.raises(BadInput) as caught:  # what `plan` asks
        check_machine(*planned(tmp_path), nproc=1)
    refused = f'dtype = "float8" needs a GPU that has it, and {missing} has not; use dtype = "auto"'
    assert told == [str(caught.value)] == [f"{tmp_path / 'x.toml'}:9: [pretrain] {refused}"]
    if not gpus:
        with pytest.raises(BadInput) as training:
            require_float8(torch.device("cpu"))
        assert str(training.value) == refused


def test_a_stage_alone_needs_what_comes_before_it(tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_text(GOOD)
    (tmp_path / "x.toml").write_text(RECIPE)
    plan = make_plan(load_recipe(tmp_path / "x.toml"), home=tmp_path / "home")
    require_inputs(plan, "corpus")
    with pytest.raises(
        BadInput, match=r"--only pack needs what corpus and tokenizer make.*--until tokenizer"
    ):
        require_inputs(plan, "pack")
    for stage in plan.stages[:2]:
        plan.store.start(stage.makes)
        plan.store.publish(stage.makes, stage=stage.name, settings={}, inputs={}, summary={})
    require_inputs(plan, "pack")
    with pytest.raises(BadInput, match="--only sft needs what pretrain makes"):
        require_inputs(plan, "sft")


def test_a_start_is_looked_into(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(GPT2))
    (tmp_path / "theirs" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    recipe = 'name = "x"\n[start]\nmodel = "theirs"\n[sft]\nsources = ["chats.jsonl"]\n'
    with pytest.raises(BadInput, match=r"is a pickle, which can run code when opened") as caught:
        check(tmp_path, recipe, GOOD)
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "x.toml"), 3)
    (tmp_path / "theirs" / "pytorch_model.bin").unlink()  # another state of the folder is looked into again
    (problem,) = late_problems(*planned(tmp_path))
    assert "theirs" in problem.message and "pickle" not in problem.message


def test_a_start_is_looked_into_without_tensors_here(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(GPT2))
    (tmp_path / "x.toml").write_text(
        'name = "x"\n[start]\nmodel = "theirs"\n[sft]\nsources = ["chats.jsonl"]\n[eval]\ntasks = ["no"]\n'
    )
    (tmp_path / "chats.jsonl").write_text(GOOD)
    code = f"""
import sys
from pathlib import Path
from workbench.plan import make_plan
from workbench.prechecks import late_problems
from workbench.recipe_file import load_recipe
loaded = load_recipe(Path({str(tmp_path)!r}) / "x.toml")
problems = late_problems(make_plan(loaded, home=Path({str(tmp_path)!r})), loaded)
print(len(problems), [name for name in ("torch", "numpy", "tokenizers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 []"


LAYOUTS = RECIPE.replace('tokens = "1M"', 'tokens = "1M"\nbatch_tokens = 512\ncontext_length = 256').replace(
    "[tokenizer]", "[tokenizer]\nvocab_size = 4098"
)


@pytest.mark.parametrize(
    ("nproc", "extra", "line", "says"),
    [
        (3, "", 10, "[pretrain] batch_tokens: 3 processes share a batch of 2 rows: some would have none"),
        (
            2,
            "replicate = 3",
            12,
            "[pretrain] replicate: 2 processes cannot be dealt out to tensor_parallel = 1 x replicate = 3",
        ),
        (
            6,
            "tensor_parallel = 3",
            12,
            "[pretrain] tensor_parallel = 3 does not divide num_attention_heads = 2",
        ),
        (
            2,
            'optimizer = "adamw8bit"\ntensor_parallel = 2',
            12,
            "[pretrain] optimizer = 'adamw8bit' does not go with tensor_parallel",
        ),
        (
            2,
            'dtype = "float8"\ntensor_parallel = 2',
            12,
            "[pretrain] dtype = 'float8' does not go with tensor_parallel",
        ),
        (
            2,
            'optimizer = "adamw8bit"',
            12,
            '[pretrain] optimizer = "adamw8bit" cannot cut 4098 x 128 parameters into 2 shards',
        ),
        (
            2,
            'engine = "deepspeed"\noptimizer = "muon"',
            12,
            '[pretrain] engine = "deepspeed" has no optimizer',
        ),
    ],
)
def test_what_several_devices_cannot_share_fails_before_anything_is_made(
    tmp_path: Path, nproc: int, extra: str, line: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prechecks, "find_spec", lambda name: name)  # as if everything were installed
    monkeypatch.setattr(prechecks, "accelerators", lambda: [H100])
    (tmp_path / "chats.jsonl").write_text(GOOD)
    recipe = LAYOUTS.replace("context_length = 256", f"context_length = 256\n{extra}")
    (tmp_path / "x.toml").write_text(recipe)
    loaded = load_recipe(tmp_path / "x.toml")
    plan = make_plan(loaded, home=tmp_path / "home")
    precheck(plan, loaded)  # by one it can
    with pytest.raises(BadInput, match=re.escape(says)) as caught:
        precheck(plan, loaded, nproc=nproc)
    assert caught.value.line == line
    assert not NAMED_TWICE.search(str(caught.value))
