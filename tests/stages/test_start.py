"""Starting from others: folders as transformers writes them, taken over, refused, read on from and fine-tuned."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from workbench import cli
from workbench.audit import digest_of_run, problems_of_run
from workbench.errors import BadInput, Damaged, NotFound
from workbench.model.folder import load_model
from workbench.plan import Plan, make_plan
from workbench.prechecks import check_start, precheck
from workbench.recipe_file import load_recipe
from workbench.references import open_checkpoint
from workbench.runs import Run
from workbench.starting_point import start_from
from workbench.tokenizer import Tokenizer
from workbench.worker import work

WORDS = "the a old new red river stone bird house sings falls opens under over by night day and then it"
SHUFFLED = [" ".join(WORDS.split()[(i * k) % 20] for i in range(1, 40)) for k in range(1, 60)]
TEXT = "\n\n\n".join(SHUFFLED)
SHAPE: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
SHAPE |= {"intermediate_size": 48, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0}
READ_ON = """name = "x"
[start]
model = "{model}"
[corpus]
sources = ["text.txt"]
text_split = "blank-lines"
heldout_fraction = 0.2
[pack]
[pretrain]
tokens = 1024
batch_tokens = 128
context_length = 32
dtype = "float32"
eval_every_steps = 4
eval_documents = 2
"""
ANSWER = """name = "y"
[start]
model = "{model}"
[sft]
sources = ["chats.jsonl"]
context_length = 64
batch_tokens = 256
dtype = "float32"
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, home: Path) -> Path:
    home.mkdir()
    (tmp_path / "text.txt").write_text(TEXT)
    chat = {
        "messages": [{"role": "user", "content": "the old"}, {"role": "assistant", "content": "red river"}]
    }
    rows = [json.dumps(chat | {"id": number}) for number in range(24)]
    (tmp_path / "chats.jsonl").write_text("\n".join(rows))
    return tmp_path


def write_tokenizer(folder: Path, vocab_size: int = 300) -> None:
    """GPT-2's kind: one special token, no chat format."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    backend.train_from_iterator([TEXT], trainer)
    backend.save(str(folder / "tokenizer.json"))


def write_model(folder: Path, kind: str = "llama", **how: Any) -> Any:
    """A folder as transformers saves it; gives their model."""
    torch.manual_seed(3)
    if kind == "gpt2":
        config = GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=2, n_positions=64)
        model: Any = GPT2LMHeadModel(config)
    elif kind == "qwen3":
        model = Qwen3ForCausalLM(Qwen3Config(**SHAPE, num_key_value_heads=1, head_dim=16))
    elif kind == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**SHAPE, num_key_value_heads=1))
        for name, parameter in model.named_parameters():  # transformers begins with biases of zero
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.1)
    else:
        model = LlamaForCausalLM(LlamaConfig(**SHAPE, num_key_value_heads=1, tie_word_embeddings=False))
    model = model.to(how.pop("dtype", torch.float32)).eval()
    model.save_pretrained(folder, **how)
    write_tokenizer(folder)
    return model


def plan_of(project: Path, text: str, **overrides: Any) -> Plan:
    (project / "recipe.toml").write_text(text)
    settings = {key.replace("__", "."): value for key, value in overrides.items()}
    return make_plan(load_recipe(project / "recipe.toml", settings))


def only_start(model: str = "theirs", more: str = "") -> str:
    return f'name = "s"\n[start]\nmodel = "{model}"\n{more}'


def finished(plan: Plan) -> Run:
    run = work(plan)
    status = run.status()
    assert status["state"] == "finished", status
    return run


def said(run: Run) -> str:
    return "\n".join(event["text"] for event in run.events() if event["kind"] in ("note", "warning"))


HOW = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "gpt2": {},
    "llama in shards": {"max_shard_size": "20KB"},
    "llama in bfloat16": {"dtype": torch.bfloat16},
    "llama in float16": {"dtype": torch.float16},
}


@pytest.mark.parametrize("name", HOW)
def test_what_is_taken_over_computes_what_theirs_does(project: Path, name: str) -> None:
    theirs = write_model(project / "theirs", name.split(maxsplit=1)[0], **HOW[name]).float()
    assert (project / "theirs" / "model.safetensors.index.json").is_file() == ("shards" in name)
    run = finished(plan_of(project, only_start()))
    folder = open_checkpoint(f"{run.name}/start", Path)
    ours = load_model(folder)
    assert next(ours.parameters()).dtype == torch.float32
    ids_BT = torch.randint(0, 300, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        known_BTV = ours(ids_BT)[..., :300]
        torch.testing.assert_close(known_BTV, theirs(ids_BT).logits, atol=2e-5, rtol=1e-4)
    # Two tokens of the chat format were missing: their rows are the mean of the others, and nobody has learned them.
    tokenizer = Tokenizer.load(folder)
    assert ours.config.vocab_size == tokenizer.vocab_size == 302
    rows_VD = ours.embed_tokens.weight
    torch.testing.assert_close(rows_VD[300], rows_VD[:300].mean(dim=0))
    assert "added, in 2 new rows" in said(run)
    assert list(problems_of_run(run)) == []
    assert digest_of_run(run) == digest_of_run(run)


def test_a_model_with_spare_rows_keeps_its_size(project: Path) -> None:
    write_model(project / "theirs")
    write_tokenizer(project / "theirs", vocab_size=290)
    run = finished(plan_of(project, only_start()))
    assert open_checkpoint(run.name, load_model).config.vocab_size == 300
    assert open_checkpoint(run.name, Tokenizer.load).vocab_size == 292
    assert "spare rows" in said(run)


def test_reading_on_begins_with_their_weights_and_tokenizer(project: Path) -> None:
    write_model(project / "theirs")
    plan = plan_of(project, READ_ON.format(model="theirs"))
    assert [stage.name for stage in plan.stages] == ["start", "corpus", "pack", "pretrain"]
    run = finished(plan)
    first = next(event for event in run.metrics("pretrain") if "loss" in event)
    assert 4 < first["loss"] < 7  # random weights, but theirs
    trained = open_checkpoint(f"{run.name}/pretrain", load_model)
    assert trained.config.known_as == "llama"
    assert trained.config.num_key_value_heads == 1
    assert not trained.config.tie_word_embeddings
    ids = open_checkpoint(f"{run.name}/pretrain", Tokenizer.load).encode("the old river")
    theirs = tokenizers.Tokenizer.from_file(str(project / "theirs" / "tokenizer.json"))
    assert ids == theirs.encode("the old river").ids


def test_fine_tuning_alone_needs_no_corpus(project: Path) -> None:
    write_model(project / "theirs", "gpt2")
    row = {"query": "the old", "choices": [" red", " and"], "gold": 0}
    (project / "questions.jsonl").write_text("\n".join(json.dumps(row) for _ in range(3)))
    run = finished(plan_of(project, ANSWER.format(model="theirs") + '[eval]\ntasks = ["questions.jsonl"]\n'))
    assert [stage["name"] for stage in run.plan()["stages"]] == ["start", "sft", "eval"]
    chat = open_checkpoint(f"{run.name}/sft", load_model)
    assert chat.config.known_as == "gpt2"
    figures = next(e for e in run.events() if e["kind"] == "stage_finished" and e["stage"] == "eval")[
        "summary"
    ]
    assert {path.split("/")[0] for path in figures} >= {"start", "sft"}


def test_content_is_the_identity_wherever_it_lies(project: Path) -> None:
    write_model(project / "theirs")
    write_model(project / "copy")
    first, second = (plan_of(project, ANSWER.format(model=name)) for name in ("theirs", "copy"))
    assert first.stage("sft").makes == second.stage("sft").makes
    write_model(project / "copy", "qwen3")
    assert first.stage("sft").makes != plan_of(project, ANSWER.format(model="copy")).stage("sft").makes


def test_a_folder_that_changes_after_the_plan_is_noticed(project: Path) -> None:
    write_model(project / "theirs")
    plan = plan_of(project, only_start())
    write_tokenizer(project / "theirs", vocab_size=280)
    run = work(plan)
    assert "changed after this run was planned" in run.status()["error"]


def test_more_context(project: Path) -> None:
    write_model(project / "theirs")
    text = READ_ON.format(model="theirs")
    with pytest.raises(
        BadInput, match=r"recipe\.toml:12: \[pretrain\] context_length: 128 is more than the 64 pos"
    ):
        plan_of(project, text.replace("context_length = 32", "context_length = 128"))
    longer = {"start__max_position_embeddings": 128, "start__rope_theta": 50_000.0}
    run = finished(plan_of(project, text, pretrain__context_length=128, **longer))
    config = open_checkpoint(f"{run.name}/pretrain", load_model).config
    assert (config.max_position_embeddings, config.rope_theta) == (128, 50_000.0)
    assert "max_position_embeddings: 64 -> 128" in said(run)
    assert "rope_theta: 10000 -> 50000" in said(run)


def test_positions_stretched_as_the_field_does(project: Path) -> None:
    write_model(project / "theirs")
    text = READ_ON.format(model="theirs").replace("context_length = 32", "context_length = 128")
    longer = {"start__rope_scaling": "yarn", "start__rope_scaling_factor": 2.0}
    run = finished(plan_of(project, text, **longer))
    config = open_checkpoint(f"{run.name}/pretrain", load_model).config
    assert config.max_position_embeddings == 128
    assert config.rope_scaling is not None
    assert (config.rope_scaling.rope_type, config.rope_scaling.factor) == ("yarn", 2.0)
    assert config.rope_scaling.original_max_position_embeddings == 64
    assert "rope_scaling: yarn, 2 times as long" in said(run)
    with pytest.raises(BadInput, match="rope_scaling needs rope_scaling_factor"):
        plan_of(project, text, start__rope_scaling="yarn")


def test_learned_positions_end_where_they_end(project: Path) -> None:
    write_model(project / "theirs", "gpt2")
    with pytest.raises(BadInput, match="knows no others"):
        plan_of(project, only_start(more="max_position_embeddings = 128"))


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _cut(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-100])


def _config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps(content))

    return change


def _no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def _larger_vocabulary(folder: Path) -> None:
    write_tokenizer(folder, vocab_size=310)


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "pickle": (_pickled, "is a pickle"),
    "cut": (_cut, "safetensors: has tensors that overlap|bytes that belong to none|not a whole"),
    "other shape": (_config(intermediate_size=64), "has shape"),
    "remote code": (_config(auto_map={"AutoModel": "evil.Model"}), "code of its own"),
    "unknown": (_config(model_type="mamba"), "model_type"),
    "without its biases": (
        _config(model_type="qwen2", architectures=["Qwen2ForCausalLM"]),
        "k_proj.bias is missing",
    ),
    "fewer rows": (_larger_vocabulary, "310 ids, the model in config.json 300 rows"),
    "no tokenizer": (_no_tokenizer, r"there is no tokenizer\.json"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_taken_over_is_refused_in_one_line(project: Path, name: str) -> None:
    damage, message = REFUSED[name]
    write_model(project / "theirs")
    damage(project / "theirs")
    try:
        error = work(plan_of(project, only_start())).status()["error"] or ""
    except (BadInput, Damaged, NotFound) as refused:  # when it is planned already
        error = str(refused)
        assert "recipe.toml:3: [start] model" in error
    assert "\n" not in error
    assert re.search(message, error), error
    assert not list((project / "home" / "store" / "checkpoint").glob("start-*"))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_taken_over_is_refused_before_anything_runs_too(project: Path, name: str) -> None:
    damage, message = REFUSED[name]
    write_model(project / "theirs")
    damage(project / "theirs")
    (project / "recipe.toml").write_text(only_start())
    for look in (check_start, precheck):
        with pytest.raises(BadInput, match=message) as caught:
            loaded = load_recipe(project / "recipe.toml")
            look(make_plan(loaded), loaded)
        assert str(caught.value).startswith(f"{project / 'recipe.toml'}:3: [start] model")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("verb", ["check", "plan"])
def test_the_command_line_refuses_a_start_that_is_none(
    project: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(project / "theirs")
    (project / "recipe.toml").write_text(only_start())
    assert cli.run([verb, str(project / "recipe.toml")]) == 0
    _config(intermediate_size=64)(project / "theirs")
    capsys.readouterr()
    assert cli.run([verb, str(project / "recipe.toml")]) == 2
    told = capsys.readouterr()
    assert re.match(r".*recipe\.toml:3: \[start\] model: .* has shape .*\n$", told.err) and told.out == ""


def test_what_is_not_there(project: Path) -> None:
    for name in ("nothing", "../nothing/here", "nobody/pretrain@3"):
        with pytest.raises(BadInput, match=r"recipe\.toml:3: \[start\] model: "):
            plan_of(project, only_start(name))


def test_tables_that_exclude_each_other(project: Path) -> None:
    write_model(project / "theirs")
    for more, message in {
        '[model]\nsize = "1m"\n': r"\[model\] and \[start\] exclude each other",
        "[corpus]\n[tokenizer]\n": r"\[tokenizer\] and \[start\] exclude each other",
        "[pack]\n": r"\[pack\] needs \[corpus\]",
        'state = "training"\n': r"needs \[pretrain\]",
    }.items():
        with pytest.raises(BadInput, match=message):
            plan_of(project, only_start(more=more))


# -- branches --------------------------------------------------------------------------------------------


@pytest.fixture
def trunk(project: Path) -> Run:
    """Eight steps from a start, with every checkpoint kept."""
    write_model(project / "theirs")
    more = "keep_last = 100\nsave_every_seconds = 1\n"
    return finished(plan_of(project, READ_ON.format(model="theirs") + more))


def branch(project: Path, reference: str, **overrides: Any) -> Plan:
    settings = {key.replace("__", "."): value for key, value in overrides.items()}
    loaded = load_recipe(project / "recipe.toml", settings, start=start_from(reference, home=None))
    return make_plan(loaded)


def test_a_branch_goes_on_with_everything_the_training_was(project: Path, trunk: Run) -> None:
    plan = branch(project, f"{trunk.name}/pretrain@best", pretrain__tokens=2048)
    reference = plan.stage("start").settings["model"]
    assert reference.origin == "--from"
    assert reference.value.startswith(f"{trunk.name}/pretrain@")  # the step, not a word that moves
    step = int(reference.value.rpartition("@")[2])
    run = finished(plan)
    assert f"branching off at step {step}: exact" in said(run)
    assert min(event["step"] for event in run.metrics("pretrain") if "loss" in event) == step + 1
    assert max(event["step"] for event in run.metrics("pretrain") if "loss" in event) == 16
    # The tokenizer is that run's artifact, so nothing is encoded twice.
    assert plan.stage("pack").makes.fingerprint in {s["makes"]["fingerprint"] for s in trunk.plan()["stages"]}


def test_a_branch_that_has_nothing_left_to_do(project: Path, trunk: Run) -> None:
    run = work(branch(project, f"{trunk.name}/pretrain@8"))
    assert "nothing left to do" in run.status()["error"]


def test_a_branch_keeps_its_optimizer(project: Path, trunk: Run) -> None:
    run = work(
        branch(project, f"{trunk.name}/pretrain@8", pretrain__tokens=2048, pretrain__optimizer="adamw")
    )
    assert "cannot branch off there" in run.status()["error"]


def test_weights_alone_have_no_state_of_a_training(project: Path) -> None:
    write_model(project / "theirs")
    text = READ_ON.format(model="theirs").replace("[corpus]", 'state = "training"\n[corpus]')
    with pytest.raises(BadInput, match="holds weights, not the state of a training"):
        plan_of(project, text)
