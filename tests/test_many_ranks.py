"""Two processes that train together, over gloo: the same losses as one, whatever happens to one of them.

The worker runs in this process, as rank 0; the other rank is a child, as in a real run.
"""

from __future__ import annotations

import functools
import json
import os
import random
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from workbench import other_ranks, worker
from workbench.audit import problems_of_run
from workbench.errors import ExitCode
from workbench.plan import Plan, make_plan
from workbench.recipe_file import load_recipe
from workbench.runs import Run, create_run
from workbench.stages import meter
from workbench.stages.meter import Meter
from workbench.train import device, parallel, working_model
from workbench.train.checkpoint_folder import finished_checkpoint
from workbench.train.float8 import use_float8

# 5 rows a step, in micro-batches of 2 a process: with two processes one of 4 rows and one of a single row, of
# which there is none for the second process.
RECIPE = """name = "tiny"
[corpus]
sources = ["texts.jsonl"]
heldout_fraction = 0.1
[tokenizer]
vocab_size = 300
[pack]
[model]
hidden_size = 32
num_hidden_layers = 2
num_attention_heads = 4
num_key_value_heads = 2
max_position_embeddings = 64
[pretrain]
tokens = 640
batch_tokens = 80
context_length = 16
micro_batch_tokens = 16
warmup_steps = 2
weight_decay = 0.05
eval_every_steps = 4
eval_documents = 3
sample_every_steps = 8
dtype = "float32"
[sft]
sources = ["chats.jsonl"]
context_length = 64
batch_tokens = 256
eval_every_steps = 4
dtype = "float32"
[dpo]
sources = ["pairs.jsonl"]
context_length = 64
batch_pairs = 3
eval_every_steps = 4
dtype = "float32"
"""
# What no other program's models have: every table of its own, gates, and an untied, capped head.
OWN_PARTS = {
    "model.value_embeddings": True,
    "model.num_hidden_layers": 3,
    "model.bigram_embedding_rows": 61,
    "model.initializer": "bigrams",
    "model.tie_word_embeddings": False,
    "model.feed_forward": "relu2",
    "model.final_logit_softcapping": 15.0,
}
STEPS = 8
WORDS = "the a old new red river stone bird house sings falls opens under over by night day and then it"
COMPARED = ("loss", "grad_norm", "val_loss", "val_bpb", "nll", "tokens", "learning_rate")

Train = Callable[..., Run]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with its sources, and a home in which everything before the training is made."""
    folder = tmp_path_factory.mktemp("project")
    dice = random.Random(7)

    def sentence(length: int) -> str:
        return " ".join(dice.choices(WORDS.split(), k=length)) + "."

    def write(name: str, records: list[dict[str, Any]]) -> None:
        (folder / name).write_text("\n".join(map(json.dumps, records)))

    write("texts.jsonl", [{"text": " ".join(sentence(9) for _ in range(4))} for _ in range(40)])
    write("chats.jsonl", [{"prompt": sentence(4), "completion": sentence(5)} for _ in range(24)])
    write(
        "pairs.jsonl",
        [{"prompt": sentence(4), "chosen": sentence(4), "rejected": sentence(5)} for _ in range(16)],
    )
    (folder / "tiny.toml").write_text(RECIPE)
    plan = plan_in(folder, "home")
    worker.work_on(new_run(plan), until="pack")
    return folder


def plan_in(project: Path, home: str, *, name: str = "x", **settings: Any) -> Plan:
    return make_plan(load_recipe(project / "tiny.toml", settings), home=project / home, name=name)


def new_run(plan: Plan) -> Run:
    return create_run(plan.home, plan.name, recipe_text=plan.recipe_text, plan=plan.to_dict())


@pytest.fixture(autouse=True)
def every_step_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "METRIC_SECONDS", 0.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


@pytest.fixture
def followers(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The other ranks that are started, as they are."""
    started: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(other_ranks.subprocess, "Popen", Noted)
    return started


@pytest.fixture
def train(project: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    return trainer(project, monkeypatch)


def trainer(project: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Trains in a home by name, with `nproc` processes; after pretraining step `at` something is done to the run."""
    show = Meter.show

    def train(
        home: str,
        *,
        nproc: int,
        until: str | None = "pretrain",
        at: int | None = None,
        do: Callable[[Run], object] = lambda run: run.request("stop"),
        name: str = "x",
        **settings: Any,
    ) -> Run:
        if not (project / home).exists():
            shutil.copytree(project / "home" / "store", project / home / "store")
        run = new_run(plan_in(project, home, name=name, **settings))

        def then_do(meter: Any, report: Any, state: Any) -> None:
            show(meter, report, state)
            if report.step == at:
                do(run)

        monkeypatch.setattr(Meter, "show", then_do)
        worker.work_on(run, until=until, nproc=nproc)
        assert list(problems_of_run(run)) == []
        return run

    return train


@pytest.fixture(scope="module")
def alone(project: Path) -> Run:
    """What one process makes of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meter, "METRIC_SECONDS", 0.0)
        patch.setenv("OMP_NUM_THREADS", "1")
        run = trainer(project, patch)("alone", nproc=1, until=None)
    assert run.state() == "finished"
    return run


def figures(run: Run) -> dict[tuple[str, int, str], float]:
    """Each figure of each step, as it was told last."""
    return {
        (event["stage"], event["step"], name): event[name]
        for event in run.events()
        if event["kind"] == "metric"
        for name in COMPARED
        if event.get(name) is not None
    }


def check_equal(run: Run, alone: Run, *, stages: tuple[str, ...] = ("pretrain",), rel: float = 2e-5) -> None:
    expected = {key: figure for key, figure in figures(alone).items() if key[0] in stages}
    found = figures(run)
    assert found.keys() == expected.keys()
    assert len([key for key in found if key[2] == "loss"]) >= STEPS * len(stages) // 2
    for key, figure in found.items():
        assert figure == pytest.approx(expected[key], rel=rel, abs=1e-6), key


def check_tensors_equal(run: Run, alone: Run, *, share: float) -> None:
    """Weights, averages and moments after the last step of pretraining: whole ones, whoever saved them."""
    found, expected = (last_tensors(each) for each in (run, alone))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        scale = float(tensor.abs().max())
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=max(1e-7, share * scale), msg=name)


def last_tensors(run: Run) -> dict[str, torch.Tensor]:
    (folder,) = (run.home / "store" / "checkpoint").glob("pretrain-*")
    last = finished_checkpoint(folder, "last")
    files = ("model.safetensors", "training/state.safetensors")
    return {
        f"{file}: {name}": tensor.double()
        for file in files
        for name, tensor in load_file(last / file).items()
        if not name.startswith("random.")
    }


def texts(run: Run, kind: str) -> str:
    return "\n".join(event["text"] for event in run.events() if event["kind"] == kind)


def samples(run: Run, stage: str) -> list[str]:
    return [event["text"] for event in run.events() if event["kind"] == "sample" and event["stage"] == stage]


def made(run: Run) -> set[str]:
    return {str(folder.relative_to(run.home)) for folder in (run.home / "store").glob("*/*-*")}


def last_digests(run: Run) -> dict[str, bytes]:
    """Weights, and optimizer with random numbers, after the last step of pretraining."""
    (folder,) = (run.home / "store" / "checkpoint").glob("pretrain-*")
    last = finished_checkpoint(folder, "last")
    return {name: (last / name).read_bytes() for name in ("model.safetensors", "training/state.safetensors")}


@pytest.fixture(scope="module")
def together(project: Path) -> Run:
    """What two make of it: weights, gradients and moments in two shards (FSDP)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meter, "METRIC_SECONDS", 0.0)
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        run = trainer(project, patch)("together", nproc=2, until=None)
    assert run.state() == "finished"
    return run


def test_two_processes_do_what_one_does_in_all_stages(together: Run, alone: Run) -> None:
    check_equal(together, alone, stages=("pretrain", "sft", "dpo"))
    assert together.status()["nproc"] == 2
    assert samples(together, "pretrain") == samples(alone, "pretrain") != []
    assert samples(together, "sft") == samples(alone, "sft") != []
    assert made(together) == made(alone), "the number of processes is no part of what is made"


@pytest.mark.parametrize(
    "settings",
    [
        {"pretrain.replicate": 2, "pretrain.activation_checkpointing": "layer"},  # HSDP
        {"pretrain.tensor_parallel": 2},
    ],
    ids=["copies", "slices"],
)
def test_so_they_do_however_they_share(
    train: Train, alone: Run, settings: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    run = train(request.node.callspec.id, nproc=2, **settings)
    assert run.status()["exit_code"] == 0, run.status()["error"]
    check_equal(run, alone)
    assert samples(run, "pretrain") == samples(alone, "pretrain")


@pytest.mark.parametrize(
    "settings",
    [
        {"pretrain.ema_decay": 0.9, "pretrain.optimizer": "adafactor", "pretrain.learning_rate": 0.05},
        {"pretrain.average_last": 0.7, "pretrain.replicate": 2},
        {"pretrain.optimizer": "adafactor", "pretrain.tensor_parallel": 2},
        {
            "model.initializer": "bigrams",
            "model.tie_word_embeddings": False,
            "model.bigram_embedding_rows": 61,
        },
        {**OWN_PARTS, "pretrain.tensor_parallel": 2, "pretrain.ema_decay": 0.9},
        {**OWN_PARTS, "pretrain.replicate": 2},
    ],
    ids=[
        "average-and-adafactor",
        "average-of-copies",
        "adafactor-of-slices",
        "bigrams",
        "own-parts-of-slices",
        "own-parts-of-copies",
    ],
)
def test_averages_tables_and_adafactor_are_those_of_one_process_whoever_goes_on(
    train: Train, settings: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    alone = train(f"{name}-alone", nproc=1, **settings)
    if name in ("average-and-adafactor", "own-parts-of-slices"):
        run = train(name, nproc=2, at=3, **settings)
        assert run.state() == "stopped", run.status()["error"]
        train(name, nproc=1, at=5, **settings)
    run = train(name, nproc=2, **settings)
    assert run.status()["exit_code"] == 0, run.status()["error"]
    check_equal(run, alone)
    check_tensors_equal(run, alone, share=1e-4)


def test_eight_bit_moments_are_cut_between_blocks(train: Train) -> None:
    """300 and 256 rows in two equal shards, then in three that are not, then whole again."""
    pytest.importorskip("torchao", reason="torchao is not installed")
    settings = {
        "pretrain.optimizer": "adamw8bit",
        "pretrain.learning_rate": 0.003,
        "model.hidden_size": 256,
        "model.intermediate_size": 256,
        "model.num_hidden_layers": 1,
    }
    alone = train("eight-bits-alone", nproc=1, **settings)
    assert train("eight-bits", nproc=2, at=3, **settings).state() == "stopped"
    assert train("eight-bits", nproc=3, at=5, **settings).state() == "stopped"
    run = train("eight-bits", nproc=1, **settings)
    assert run.status()["exit_code"] == 0, run.status()["error"]
    # A moment beside the border between two codes may fall on its other side: hence not the tensors, and this much.
    check_equal(run, alone)


def test_float8_products_of_weights_in_shards(
    train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Rounded as one process rounds them, in torchao's emulation. Cut alike: a scale is of a micro-batch."""
    pytest.importorskip("torchao", reason="torchao is not installed")
    emulated = functools.partial(use_float8, emulate=True)
    monkeypatch.setattr(device, "require_float8", lambda device: None)
    monkeypatch.setattr(parallel, "use_float8", emulated)
    monkeypatch.setattr(working_model, "use_float8", emulated)
    (tmp_path / "sitecustomize.py").write_text(
        "import functools, os\n"
        "if os.environ.get('RANK') == '1':\n"
        "    from workbench.train import device, float8, parallel\n"
        "    device.require_float8 = lambda device: None\n"
        "    parallel.use_float8 = functools.partial(float8.use_float8, emulate=True)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    settings = {"pretrain.dtype": "float8", "pretrain.batch_tokens": 64, "pretrain.micro_batch_tokens": 32}
    alone = train("float8-alone", nproc=1, **settings)
    plain = train("float8-plain", nproc=1, **settings | {"pretrain.dtype": "bfloat16"})
    run = train("float8", nproc=2, **settings)
    assert run.status()["exit_code"] == 0, run.status()["error"]
    second = [("pretrain", 2, name) for name in ("loss", "grad_norm")]
    for key in second:
        assert figures(run)[key] == pytest.approx(figures(alone)[key], rel=1e-5)
        assert figures(plain)[key] != pytest.approx(figures(alone)[key], rel=2e-5)
    check_equal(run, alone, rel=0.05)  # roundings of 8 bits grow apart


def test_narrow_weights_are_gathered_narrow_and_stepped_wide(train: Train) -> None:
    """Cut alike, a micro-batch of one process is a process's share: what remains is the order of sums."""
    settings = {
        "pretrain.weights_dtype": "bfloat16",
        "pretrain.dtype": "bfloat16",
        "pretrain.batch_tokens": 64,
        "pretrain.micro_batch_tokens": 32,
        "pretrain.ema_decay": 0.9,
        "pretrain.activation_checkpointing": "layer",
    }
    alone = train("narrow-alone", nproc=1, **settings)
    run = train("narrow", nproc=2, **settings)
    assert run.status()["exit_code"] == 0, run.status()["error"]
    first = ("pretrain", 1, "loss")
    assert figures(run)[first] == pytest.approx(figures(alone)[first], rel=1e-5)
    check_equal(run, alone, rel=5e-3)
    found, expected = (last_tensors(each) for each in (run, alone))
    for name, tensor in expected.items():
        if "model.safetensors" in name or "weights." in name:  # of moments little is left after cancelling
            torch.testing.assert_close(found[name], tensor, rtol=0.02, atol=0.02 * float(tensor.abs().max()))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_compiled_layers_in_shards(
    train: Train, alone: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Traced and run as a program in both processes, without the C++ compiler; measuring stays uncompiled."""
    monkeypatch.setattr(working_model, "BACKEND", "aot_eager")
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "if os.environ.get('RANK') == '1':\n"
        "    from workbench.train import working_model\n"
        "    working_model.BACKEND = 'aot_eager'\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    torch._dynamo.reset()
    programs = torch._dynamo.utils.counters["stats"]
    programs.clear()
    run = train("compiled", nproc=2, **{"pretrain.compile": "always"})
    assert run.status()["exit_code"] == 0, run.status()["error"]
    assert 0 < programs["unique_graphs"] <= 8
    check_equal(run, alone)
    torch._dynamo.reset()


def test_deepspeed_does_what_one_process_does_and_each_goes_on_from_the_other(
    project: Path, train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("deepspeed")
    (tmp_path / "sitecustomize.py").write_text(
        "from workbench.stages import meter\nmeter.METRIC_SECONDS = 0.0\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    settings: dict[str, Any] = {
        "pretrain.optimizer": "adamw",
        "pretrain.schedule": "wsd",
        "pretrain.warmup_steps": 0,
        **OWN_PARTS,
    }
    engine = {f"{stage}.engine": "deepspeed" for stage in ("pretrain", "sft", "dpo")}
    longer = settings | {"pretrain.tokens": 1280}

    def by_deepspeed(home: str, *more: str, name: str, **settings: Any) -> Run:
        """In processes of its own: DeepSpeed leaves its traces in whatever process it worked."""
        if not (project / home).exists():
            shutil.copytree(project / "home" / "store", project / home / "store")
        run = new_run(plan_in(project, home, name=name, **settings, **engine))
        command = [sys.executable, "-m", "workbench.worker", str(run.path), "--nproc", "2", *more]
        subprocess.run(command, check=False)
        assert run.status()["exit_code"] == 0, run.status()["error"]
        assert list(problems_of_run(run)) == []
        return run

    alone = train("zero-alone", nproc=1, until=None, **settings)
    run = by_deepspeed("zero", name="x", **settings)
    check_equal(run, alone, stages=("pretrain", "sft", "dpo"))
    check_tensors_equal(run, alone, share=1e-4)
    assert samples(run, "sft") == samples(alone, "sft") != []
    assert made(run) == made(alone)

    expected = figures(train("zero-longer", nproc=1, **longer))
    last = max(key for key in expected if key[2] == "val_loss")
    without = train("zero", nproc=1, name="y", **longer)
    assert "optimizer adamw-deepspeed -> adamw-fused" in texts(without, "warning")
    assert figures(without)[last] == pytest.approx(expected[last], rel=2e-5)
    with_it = by_deepspeed("zero-alone", "--until", "pretrain", name="y", **longer)
    assert "optimizer adamw-fused -> adamw-deepspeed" in texts(with_it, "warning")
    assert figures(with_it)[last] == pytest.approx(expected[last], rel=2e-5)


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


def test_a_rank_that_is_killed_is_named_and_one_process_goes_on(
    train: Train, alone: Run, followers: list[subprocess.Popen[bytes]]
) -> None:
    run = train("killed", nproc=2, at=4, do=lambda run: followers[0].kill())
    assert (run.state(), run.status()["exit_code"]) == ("failed", ExitCode.FAILED)
    assert run.status()["error"].startswith("rank 1 was killed by SIGKILL; run the same command again")
    assert "RANK" not in os.environ
    train("killed", nproc=1)
    check_equal(run, alone)


def test_what_ends_a_rank_alone_is_told(
    train: Train, followers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "if os.environ.get('RANK') == '1':\n"
        "    from workbench.stages import pretrain\n"
        "    def run(*_):\n"
        "        raise MemoryError('no room on this device')\n"
        "    pretrain.run = run\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    run = train("bug", nproc=2)
    assert run.status()["error"].startswith("rank 1 ended: MemoryError: no room on this device;")


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="how to wait for a process of somebody else's")
def test_nobody_is_left_when_the_worker_is_killed(project: Path) -> None:
    shutil.copytree(project / "home" / "store", project / "orphans" / "store")
    run = new_run(plan_in(project, "orphans", **{"pretrain.tokens": 80_000}))
    command = [sys.executable, "-m", "workbench.worker", str(run.path), "--until", "pretrain", "--nproc", "2"]
    with subprocess.Popen(command) as killed:
        assert any(event["kind"] == "metric" for event in run.follow())
        children = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text()
        follower = os.pidfd_open(int(children))
        killed.kill()
    ended = select.poll()
    ended.register(follower, select.POLLIN)
    assert ended.poll(20_000), "the follower lives on"
    os.close(follower)
    assert run.state() == "crashed"


def test_one_process_never_loads_the_engine_for_many() -> None:
    code = (
        "import sys, workbench.stages.pretrain, workbench.stages.sft, workbench.stages.dpo\n"
        "assert not {'workbench.train.parallel', 'torch.distributed.fsdp'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
