from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench import source_identity
from workbench.accelerators import Accelerator
from workbench.budget import CPU_FLOPS, GPU_FLOPS, estimate, require_fit
from workbench.errors import BadInput
from workbench.plan import Plan, make_plan
from workbench.plan_difference import difference
from workbench.recipe_fields import identifying_values
from workbench.recipe_file import load_recipe
from workbench.source_check import check_sources
from workbench.training_cost import model_shape, training_cost

Write = Callable[[str], Path]
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
[eval]
tasks = ["heldout"]
"""


@pytest.fixture
def planned(write_recipe: Write, tmp_path: Path, home: Path) -> Callable[..., Plan]:
    (tmp_path / "text.txt").write_text("some text\n" * 100)

    def plan(**overrides: object) -> Plan:
        settings = {key.replace("__", "."): value for key, value in overrides.items()}
        return make_plan(load_recipe(write_recipe(RECIPE), settings))

    return plan


def fingerprints(plan: Plan) -> dict[str, str]:
    return {stage.name: stage.makes.fingerprint for stage in plan.stages}


def changed(before: Plan, after: Plan) -> set[str]:
    return {name for name, value in fingerprints(before).items() if fingerprints(after)[name] != value}


def test_the_same_recipe_is_the_same_run(planned: Callable[..., Plan]) -> None:
    assert planned().name == planned().name
    assert planned().name.startswith("x-")


def test_a_change_touches_only_what_follows(planned: Callable[..., Plan]) -> None:
    before = planned()
    assert changed(before, planned(pretrain__seed=1)) == {"pretrain", "eval"}
    assert changed(before, planned(tokenizer__vocab_size=400)) == {"tokenizer", "pack", "pretrain", "eval"}
    assert changed(before, planned(model__rope_theta=5000.0)) == {"pretrain", "eval"}
    assert changed(before, planned(eval__limit=3)) == {"eval"}


def test_cosmetic_keys_make_another_run_of_the_same_artifacts(planned: Callable[..., Plan]) -> None:
    before, after = planned(), planned(pretrain__keep_last=5)
    assert changed(before, after) == set()
    assert before.name != after.name
    assert changed(before, planned(corpus__workers=1, corpus__cache_bytes="1GB")) == set()


def test_values_inside_a_table_have_origins_and_differences(planned: Callable[..., Plan]) -> None:
    settings: dict[str, object] = {"corpus.filters": ["fineweb"], "corpus.fineweb.max_short_line_share": 0.5}
    plan = planned(**settings)
    fineweb = plan.stage("corpus").settings["fineweb"]
    assert fineweb.inside is not None and fineweb.value["max_short_line_share"] == 0.5
    assert fineweb.inside["max_short_line_share"] == "--set"
    assert fineweb.inside["max_newline_word_ratio"] == "default"
    assert plan.stage("corpus").settings["c4"].inside is None
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict())), home=plan.home).stages == plan.stages
    assert difference(plan, planned(**settings, **{"corpus.fineweb.max_unspaced_share": 0.4})) == [
        "corpus.fineweb.max_unspaced_share: 0.3 -> 0.4"
    ]
    assert changed(plan, planned(**settings, **{"corpus.fineweb.max_unspaced_share": 0.4})) >= {"corpus"}


def test_a_changed_source_file_is_noticed(planned: Callable[..., Plan], tmp_path: Path) -> None:
    before = planned()
    text = (tmp_path / "text.txt").read_text()
    (tmp_path / "text.txt").write_text(text.replace("e", "E", 1))  # of the same size
    assert changed(before, planned()) == {"corpus", "tokenizer", "pack", "pretrain", "eval"}


def test_a_file_that_was_touched_or_copied_is_the_same(
    planned: Callable[..., Plan], tmp_path: Path, home: Path
) -> None:
    home.mkdir(exist_ok=True)
    before = planned()
    os.utime(tmp_path / "text.txt", (1, 1))
    assert planned().name == before.name
    check_sources(before, before.stage("corpus"))


def test_a_file_is_read_for_its_digest_once(
    planned: Callable[..., Plan], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir(exist_ok=True)
    before = planned()
    monkeypatch.setattr(source_identity, "digest_file", None)
    assert planned().name == before.name
    (home / "cache" / "source-digests.json").write_text("[")  # a memory that is none costs time only
    monkeypatch.undo()
    assert planned().name == before.name


def test_a_missing_source_is_named(planned: Callable[..., Plan], tmp_path: Path) -> None:
    (tmp_path / "text.txt").unlink()
    with pytest.raises(BadInput, match=r"text\.txt"):
        planned()


def test_a_plan_survives_its_json(planned: Callable[..., Plan], home: Path) -> None:
    before = planned(pretrain__seed=7)
    after = Plan.from_dict(
        json.loads(json.dumps(before.to_dict())), home=home, recipe_text=before.recipe_text
    )
    assert after == before
    assert after.stage("pretrain").table() == before.stage("pretrain").table()
    assert after.stage("pretrain").settings["seed"].origin == "--set"


@pytest.mark.parametrize("facts", [{}, {"version": 99}, {"version": 1}, {"version": 1, "stages": 3}])
def test_plans_that_are_none(facts: dict[str, object], home: Path) -> None:
    with pytest.raises(BadInput):
        Plan.from_dict(facts, home=home)


def test_differences_are_named(planned: Callable[..., Plan]) -> None:
    assert difference(planned(), planned()) == []
    assert difference(planned(), planned(pretrain__seed=1)) == ["pretrain.seed: 0 -> 1"]


def test_a_key_that_was_added_later_renames_nothing_at_its_default(
    planned: Callable[..., Plan], home: Path
) -> None:
    now, asked = planned(), planned(pretrain__deterministic=True)
    assert "deterministic" not in identifying_values(now.stage("pretrain").table())
    assert planned(pretrain__deterministic=False).name == now.name
    assert changed(now, asked) == {"pretrain", "eval"} and asked.name != now.name
    facts = now.to_dict()
    for stage in facts["stages"]:  # as a Workbench wrote it that did not know the key
        stage["settings"].pop("deterministic", None)
    before = Plan.from_dict(facts, home=home, recipe_text=now.recipe_text)
    assert before.stage("pretrain").table() == now.stage("pretrain").table()
    assert difference(before, now) == []
    assert difference(before, asked) == ["pretrain.deterministic: false -> true"]


def test_reuse_says_why(planned: Callable[..., Plan]) -> None:
    plan = planned()
    corpus, tokenizer = plan.stages[:2]
    assert plan.reuse(corpus) == (False, "not made yet with these settings")
    assert plan.reuse(tokenizer) == (False, "waits for corpus")
    plan.store.start(corpus.makes)
    plan.store.publish(corpus.makes, stage="corpus", settings={}, inputs={}, summary={})
    assert plan.reuse(corpus)[0]
    with plan.store.lock(tokenizer.makes) or pytest.fail("the lock is free"):
        assert "another run" in plan.reuse(tokenizer)[1]


def test_the_budget_grows_with_what_is_asked(planned: Callable[..., Plan]) -> None:
    small, large = estimate(planned()), estimate(planned(pretrain__tokens="10M", model__size="20m"))
    assert large.parameters > small.parameters
    assert large.flops > 20 * small.flops
    assert large.seconds > small.seconds
    assert large.peak_bytes > small.peak_bytes
    assert small.problems == ()


def test_what_cannot_fit_is_said_with_what_would(
    planned: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.budget.memory_bytes", lambda: 16 << 30)
    plan = planned(model__size="7b", pretrain__batch_tokens=65_536, pretrain__dtype="bfloat16")
    (problem,) = [p for p in estimate(plan).problems if "memory" in p]
    found = re.search(r'\[model\] size = "(\w+)" with micro_batch_tokens = (\d+) is the largest', problem)
    assert found and "GB" in problem
    changes = {"model__size": found[1], "pretrain__micro_batch_tokens": int(found[2])}
    fits = planned(pretrain__batch_tokens=65_536, pretrain__dtype="bfloat16", **changes)
    assert estimate(fits).problems == ()


def test_a_batch_that_cannot_fit_at_once_is_told_into_what_to_cut_it(
    planned: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.budget.memory_bytes", lambda: 2 << 30)
    changes = {"pretrain__batch_tokens": "1M", "pretrain__tokens": "10M", "pretrain__context_length": 500}
    too_much = planned(**changes, pretrain__micro_batch_tokens="1M")
    (problem,) = [p for p in estimate(too_much).problems if "memory" in p]
    found = re.search(r"micro_batch_tokens = (\d+) is the largest that fits", problem)
    assert found and 1_000_000 % int(found[1]) == 0 and "size" not in problem
    assert estimate(planned(**changes, pretrain__micro_batch_tokens=int(found[1]))).problems == ()


def test_left_open_the_batch_is_cut_as_the_free_memory_asks(
    planned: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.training_step.available_bytes", lambda: 2 << 30)
    changes = {"pretrain__batch_tokens": "1M", "pretrain__tokens": "10M", "pretrain__context_length": 500}
    budget = estimate(planned(**changes))
    pretrain = budget.stages["pretrain"]
    assert pretrain.tokens_at_once is not None and 500 <= pretrain.tokens_at_once < 1_000_000
    assert pretrain.peak_bytes <= 0.9 * (2 << 30) and budget.problems == ()
    assert estimate(planned()).stages["pretrain"].tokens_at_once == 2048


def test_the_copy_of_a_checkpoint_is_counted_where_there_is_room_for_it(
    planned: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(model__size="20m")
    roomy = estimate(plan).stages["pretrain"]
    assert roomy.memory is not None and roomy.memory.snapshot > 4 * 20_000_000
    monkeypatch.setattr("workbench.budget.memory_bytes", lambda: round(roomy.peak_bytes / 0.95) - 100)
    budget = estimate(plan)
    tight = budget.stages["pretrain"]
    assert budget.problems == ()  # training will wait while checkpoints are written
    assert tight.peak_bytes == roomy.peak_bytes - roomy.memory.snapshot


GIGABYTE = 1 << 30


@pytest.fixture
def gpus_of_40_gb(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU, and a terabyte of its own."""
    for place in ("budget", "training_cost", "training_step"):
        monkeypatch.setattr(f"workbench.{place}.has_gpu", lambda: True)
    for place in ("budget", "training_step", "accelerators"):
        monkeypatch.setattr(
            f"workbench.{place}.accelerators", lambda: [Accelerator("A100", 40 * GIGABYTE, 700.0)]
        )
    monkeypatch.setattr("workbench.budget.memory_bytes", lambda: 1024 * GIGABYTE)
    monkeypatch.setattr("workbench.budget.free_bytes", lambda folder: 9999 * GIGABYTE)


LARGE = {"model__size": "7b", "pretrain__batch_tokens": 65_536, "pretrain__context_length": 256}
LARGE |= {
    "pretrain__weights_dtype": "bfloat16",
    "pretrain__dtype": "bfloat16",
    "pretrain__optimizer": "adamw",
}


def test_what_one_gpu_cannot_hold_the_number_that_can_is_named(
    planned: Callable[..., Plan], gpus_of_40_gb: None
) -> None:
    plan = planned(**LARGE)
    (problem,) = [p for p in estimate(plan).problems if "of memory" in p]
    found = re.search(r"--nproc (\d+) is the fewest such GPUs that hold it; \[model\] size", problem)
    assert found, problem
    enough = int(found[1])
    budget = estimate(plan, nproc=enough)
    assert budget.problems == () and budget.stages["pretrain"].peak_bytes < 40 * GIGABYTE
    (problem,) = estimate(plan, nproc=enough - 1).problems
    assert f"on each of {enough - 1} devices and a GPU has" in problem and f"--nproc {enough} " in problem


def test_devices_share_time_and_state_and_what_is_saved(
    planned: Callable[..., Plan], gpus_of_40_gb: None
) -> None:
    one, eight = (estimate(planned(**LARGE), nproc=nproc) for nproc in (1, 8))
    a, b = one.stages["pretrain"], eight.stages["pretrain"]
    assert a.memory is not None and b.memory is not None
    assert b.memory.optimizer == pytest.approx(a.memory.optimizer / 8, rel=0.01)
    assert b.memory.gathered > 0
    assert b.tokens_per_second == pytest.approx(8 * (a.tokens_per_second or 0), rel=1e-3)
    assert b.seconds < a.seconds / 4, "all but starting, saving and samples"
    assert eight.power_watts > 5 * one.power_watts
    assert b.devices == "8 (1 x 8 x 1)"
    assert b.machine_bytes > 8 * 4 * eight.parameters
    assert b.saved_together and b.copy_bytes < 4 * eight.parameters / 20, "nobody holds the whole"
    small = estimate(planned(**LARGE | {"model__size": "100m"}), nproc=8)
    first = small.stages["pretrain"]
    assert not first.saved_together and first.copy_bytes > 4 * small.parameters, (
        "the first keeps a copy of all"
    )
    by_deepspeed = estimate(planned(**LARGE, pretrain__engine="deepspeed"), nproc=8).stages["pretrain"]
    assert not by_deepspeed.saved_together and by_deepspeed.copy_bytes > 4 * eight.parameters


def test_a_machine_too_small_for_all_processes_is_refused(
    planned: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.budget.memory_bytes", lambda: 3 * GIGABYTE)
    plan = planned(model__size="20m")
    assert estimate(plan, nproc=2).problems == ()
    (problem,) = estimate(plan, nproc=8).problems
    found = re.search(r"of this machine's memory in all.*--nproc (\d+) fits", problem)
    assert found and estimate(plan, nproc=int(found[1])).problems == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "bfloat16"),
        ({"pretrain__dtype": "float32"}, "float32"),
        ({"pretrain__dtype": "float8"}, "bfloat16"),  # a run refuses it
        ({"pretrain__dtype": "float32", "pretrain__float32_matmul_precision": "high"}, "float32"),
    ],
)
def test_a_cpu_is_told_in_the_arithmetic_that_is_asked_for(
    planned: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], words: str
) -> None:
    for place in ("budget", "training_step"):
        monkeypatch.setattr(f"workbench.{place}.has_fast_bfloat16", lambda: True)
        monkeypatch.setattr(f"workbench.{place}.has_gpu", lambda: False)
    monkeypatch.setattr("workbench.budget.usable_cores", lambda: 2)
    budget = estimate(planned(**changes))
    assert budget.device == f"2 CPU cores in {words}"
    speed = budget.stages["pretrain"].tokens_per_second or 0.0
    plain = estimate(planned()).stages["pretrain"].tokens_per_second or 0.0
    assert speed == pytest.approx(plain * CPU_FLOPS[words] / CPU_FLOPS["bfloat16"], rel=1e-3)


def test_a_cpu_without_instructions_for_bfloat16_is_slower_at_it(
    planned: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("budget", "training_step"):
        monkeypatch.setattr(f"workbench.{place}.has_fast_bfloat16", lambda: False)
    seconds = {}
    for flags in ({"avx2", "avx512f"}, {"avx2"}):
        monkeypatch.setattr("workbench.budget.cpu_flags", lambda flags=flags: flags)
        own, asked = estimate(planned()), estimate(planned(pretrain__dtype="bfloat16"))
        assert "in float32" in own.device and "in bfloat16" in asked.device
        assert asked.stages["pretrain"].seconds > own.stages["pretrain"].seconds
        seconds[len(flags)] = asked.stages["pretrain"].seconds
    assert seconds[1] > 3 * seconds[2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "bfloat16"),
        ({"pretrain__dtype": "float8"}, "float8"),
        ({"pretrain__dtype": "float32"}, "float32"),
        ({"pretrain__dtype": "float32", "pretrain__float32_matmul_precision": "high"}, "TF32"),
        ({"pretrain__dtype": "float32", "pretrain__float32_matmul_precision": "medium"}, "TF32"),
        ({"pretrain__float32_matmul_precision": "high"}, "bfloat16"),  # its products are none of float32
    ],
)
def test_a_gpu_is_told_in_the_arithmetic_that_is_asked_for(
    planned: Callable[..., Plan], gpus_of_40_gb: None, changes: dict[str, str], words: str
) -> None:
    budget = estimate(planned(**changes))
    assert budget.device == f"the GPU (A100) in {words}"
    assert estimate(planned(**changes), nproc=2).device == f"2 GPUs (A100) in {words}"
    speed = budget.stages["pretrain"].tokens_per_second or 0.0
    plain = estimate(planned()).stages["pretrain"].tokens_per_second or 0.0
    assert speed == pytest.approx(plain * GPU_FLOPS[words] / GPU_FLOPS["bfloat16"], rel=1e-3)


def test_trainings_in_different_arithmetic_are_both_told(
    write_recipe: Write, tmp_path: Path, home: Path, gpus_of_40_gb: None
) -> None:
    (tmp_path / "chats.jsonl").write_text((json.dumps(EXAMPLE) + "\n") * 20)
    text = (
        RECIPE.replace('sources = ["text.txt"]', "") + '[sft]\nsources = ["chats.jsonl"]\ndtype = "float32"\n'
    )
    assert (
        estimate(make_plan(load_recipe(write_recipe(text)))).device
        == "the GPU (A100) in bfloat16 and float32"
    )


def test_a_gpu_of_unknown_memory_refuses_nothing(
    planned: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.budget.training_memory_bytes", lambda: None)
    assert not [p for p in estimate(planned(model__size="7b")).problems if "of memory" in p]


@pytest.mark.parametrize("key", ["eval_every_steps", "sample_every_steps"])
def test_the_time_of_a_training_has_what_comes_between_its_steps(
    planned: Callable[..., Plan], key: str
) -> None:
    seldom, often = (
        estimate(planned(**{f"pretrain__{key}": every})).stages["pretrain"] for every in (400, 10)
    )
    assert often.seconds > 1.05 * seldom.seconds
    assert often.tokens_per_second == seldom.tokens_per_second


def test_the_held_out_side_is_as_long_as_it_was_packed(planned: Callable[..., Plan]) -> None:
    plan = planned(pretrain__eval_documents=50, pretrain__eval_every_steps=10)
    guessed = estimate(plan).stages["pretrain"].seconds
    pack = plan.stage("pack")
    for documents, tokens in ((100, 2_000_000), (10, 200_000), (0, 0)):
        plan.store.remove(pack.makes)
        plan.store.start(pack.makes)
        summary = {"heldout_documents": documents, "heldout_tokens": tokens}
        plan.store.publish(pack.makes, stage="pack", settings={}, inputs={}, summary=summary)
        cost = training_cost(plan, plan.stage("pretrain"), model_shape(plan) or pytest.fail("has a shape"))
        assert cost is not None
        assert cost.evaluation_tokens == {100: 1_000_000, 10: 200_000, 0: 0}[documents]
    assert estimate(plan).stages["pretrain"].seconds < guessed


def test_where_batches_grow_it_takes_more_steps_and_hardly_more_time(planned: Callable[..., Plan]) -> None:
    alike, growing = (
        estimate(planned()),
        estimate(planned(pretrain__batch_ramp__start=512, pretrain__batch_ramp__until=0.5)),
    )
    steps = [budget.stages["pretrain"].steps or 0 for budget in (alike, growing)]
    assert steps[1] > 1.5 * steps[0]
    assert growing.seconds == pytest.approx(alike.seconds, rel=0.5)


def test_the_budget_names_the_parts_and_the_scaling_law(planned: Callable[..., Plan]) -> None:
    budget = estimate(planned())
    pretrain = budget.to_dict()["stages"]["pretrain"]
    assert sum(pretrain["memory"].values()) < pretrain["peak_bytes"]
    assert pretrain["steps"] == 1_000_000 // 2048 and pretrain["tokens_at_once"] == 2048
    assert budget.compute_optimal_tokens == 20 * budget.parameters
    assert budget.energy_kwh == pytest.approx(budget.power_watts * budget.seconds / 3.6e6)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../../evil", "/tmp/x", "-x", "a b", "x\n", "\x1b[2J", "x" * 65, "é"]
)
def test_a_name_that_cannot_be_a_folder_is_refused(write_recipe: Write, name: str) -> None:
    loaded = load_recipe(write_recipe(RECIPE.replace('sources = ["text.txt"]', "")))
    with pytest.raises(BadInput, match=r"^--name .* at most 64") as caught:
        make_plan(loaded, name=name)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)
    assert make_plan(loaded, name="x" * 64).name == "x" * 64


EXAMPLE = {"messages": [{"role": "user", "content": "hé"}, {"role": "assistant", "content": "ho"}]}


def test_a_finished_stage_tells_how_many_examples_it_had(
    write_recipe: Write, tmp_path: Path, home: Path
) -> None:
    (tmp_path / "chats.jsonl").write_text((json.dumps(EXAMPLE) + "\n") * 20)
    text = RECIPE.replace('sources = ["text.txt"]', "") + '[sft]\nsources = ["chats.jsonl"]\n'
    plan = make_plan(load_recipe(write_recipe(text)))
    assert estimate(plan).stages["sft"].summary == "~19 examples"
    made = plan.stage("sft").makes
    plan.store.start(made)
    plan.store.publish(made, stage="sft", settings={}, inputs={}, summary={"examples": 18})
    assert estimate(plan).stages["sft"].summary == "18 examples"


def test_a_full_disk_is_no_fault_of_the_model(
    planned: Callable[..., Plan], write_recipe: Write, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.budget.free_bytes", lambda folder: 1_000_000)
    plan = planned()
    with pytest.raises(BadInput, match=r"MB of disk and 1 MB are free in ") as caught:
        require_fit(plan, load_recipe(write_recipe(RECIPE)))
    assert str(home) in str(caught.value)
    assert "[model]" not in str(caught.value) and "recipe.toml" not in str(caught.value)


def test_a_home_that_is_no_disk_is_named(write_recipe: Write, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("some text")
    loaded = load_recipe(write_recipe(RECIPE))
    with pytest.raises(BadInput, match=r"the home /proc/wb cannot be written"):
        require_fit(make_plan(loaded, home=Path("/proc/wb")), loaded)
