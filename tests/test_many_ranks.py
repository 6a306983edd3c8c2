"""Two processes that train together, over gloo: the same losses as one, whatever happens to one of them.

The worker runs in this process, as rank 0; the other rank is a child, as in a real run.
"""

from __future__ import annotations

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

from workbench import other_ranks, worker
from workbench.audit import problems_of_run
from workbench.errors import ExitCode
from workbench.plan import Plan, make_plan
from workbench.recipe_file import load_recipe
from workbench.runs import Run, create_run
from workbench.stages import meter
from workbench.stages.meter import Meter
from workbench.train.checkpoint_folder import finished_checkpoint

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


def plan_in(project: Path, home: str, **settings: Any) -> Plan:
    return make_plan(load_recipe(project / "tiny.toml", settings), home=project / home, name="x")


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
        **settings: Any,
    ) -> Run:
        if not (project / home).exists():
            shutil.copytree(project / "home" / "store", project / home / "store")
        run = new_run(plan_in(project, home, **settings))

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


def check_equal(run: Run, alone: Run, *, stages: tuple[str, ...] = ("pretrain",)) -> None:
    expected = {key: figure for key, figure in figures(alone).items() if key[0] in stages}
    found = figures(run)
    assert found.keys() == expected.keys()
    assert len([key for key in found if key[2] == "loss"]) >= STEPS * len(stages) // 2
    for key, figure in found.items():
        assert figure == pytest.approx(expected[key], rel=2e-5, abs=1e-6), key


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
