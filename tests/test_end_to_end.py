"""The whole house once: text to an aligned model by the command line, killed on the way, exact all the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from workbench.runs import Run, open_run

RECIPE = """name = "tiny"
[corpus]
sources = ["texts"]
heldout_fraction = 0.1
[tokenizer]
vocab_size = 300
[pack]
[model]
hidden_size = 32
num_hidden_layers = 2
num_attention_heads = 2
max_position_embeddings = 128
[pretrain]
tokens = 40_000
batch_tokens = 256
context_length = 64
eval_every_steps = 50
eval_documents = 4
sample_every_steps = 100
save_every_seconds = 1
dtype = "float32"
[sft]
sources = ["chats.jsonl"]
context_length = 128
epochs = 10
batch_tokens = 512
eval_every_steps = 10
save_every_seconds = 1
dtype = "float32"
[dpo]
sources = ["pairs.jsonl"]
context_length = 128
epochs = 8
batch_pairs = 4
eval_every_steps = 10
save_every_seconds = 1
dtype = "float32"
[eval]
tasks = ["heldout", "questions.jsonl"]
"""
WORDS = "the a old new red river stone bird house sings falls opens under over by night day and then it"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, texts, conversations, preferences and questions, the same every time."""
    folder = tmp_path_factory.mktemp("project")
    dice = random.Random(7)

    def sentence(length: int) -> str:
        return " ".join(dice.choices(WORDS.split(), k=length)) + "."

    (folder / "texts").mkdir()
    lines = [json.dumps({"text": " ".join(sentence(9) for _ in range(6))}) for _ in range(150)]
    (folder / "texts" / "a.jsonl").write_text("\n".join(lines))
    chats = [
        {
            "messages": [
                {"role": "user", "content": sentence(4)},
                {"role": "assistant", "content": sentence(5)},
            ]
        }
        for _ in range(60)
    ]
    (folder / "chats.jsonl").write_text("\n".join(map(json.dumps, chats)))
    pairs = [{"prompt": sentence(4), "chosen": sentence(5), "rejected": sentence(6)} for _ in range(40)]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    questions = [{"query": sentence(4), "choices": [sentence(3), sentence(4)], "gold": 1} for _ in range(10)]
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)))
    (folder / "tiny.toml").write_text(RECIPE)
    return folder


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def workbench_in(project: Path) -> Command:
    """Runs `workbench` in the project folder with a home by name."""

    def command(home: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "WORKBENCH_HOME": str(project / home),
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }
        return subprocess.run(
            [sys.executable, "-m", "workbench", *arguments],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return command


@pytest.fixture(scope="module")
def finished(workbench_in: Command) -> str:
    """The name of the run that nobody disturbed."""
    done = workbench_in("quiet", "run", "tiny.toml")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def kill_once(workbench: Command, project: Path, home: str, *, in_stage: str, after: Sequence[str]) -> None:
    """Start the run detached and kill its worker as soon as `in_stage` has emitted all of `after`."""
    name = workbench(home, "run", "tiny.toml", "--detach").stdout.strip()
    run = open_run(project / home, name)
    missing = set(after)
    for event in run.follow(poll_seconds=0.01):
        if event.get("stage") == in_stage:
            missing.discard(event["kind"])
        if not missing:
            os.kill(int(run.status()["pid"]), signal.SIGKILL)
            break
    else:
        raise AssertionError(f"the run was over before the kill: {run.status()}")
    while run.is_alive():
        pass
    assert run.state() == "crashed"


def test_killed_in_every_training_stage_it_ends_bit_for_bit_the_same(
    workbench_in: Command, project: Path, finished: str
) -> None:
    for stage in ("pretrain", "sft", "dpo"):
        kill_once(workbench_in, project, "killed", in_stage=stage, after=["checkpoint", "metric"])
        assert workbench_in("killed", "verify", finished).returncode == 0
    again = workbench_in("killed", "run", "tiny.toml")
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1] == finished
    digests = [workbench_in(home, "digest", finished).stdout for home in ("quiet", "killed")]
    assert digests[0] == digests[1]
    assert len(digests[0].strip()) == 32
    notes = [
        event["text"]
        for event in Run(project / "killed" / "runs" / finished).events()
        if event["kind"] == "note"
    ]
    assert sum("exact" in note for note in notes) >= 3


def test_a_finished_run_returns_at_once(workbench_in: Command, finished: str) -> None:
    again = workbench_in("quiet", "run", "tiny.toml")
    assert (again.returncode, again.stdout.strip()) == (0, finished)


def test_a_changed_key_is_another_run_that_shares_what_it_can(workbench_in: Command, finished: str) -> None:
    other = workbench_in("quiet", "run", "tiny.toml", "--set", "dpo.beta=0.3", "--set", "dpo.epochs=1")
    name = other.stdout.strip()
    assert name != finished
    stages = json.loads(workbench_in("quiet", "show", name, "--json").stdout)["stages"]
    assert {stage["name"]: stage["reused"] for stage in stages} == {
        "corpus": True, "tokenizer": True, "pack": True, "pretrain": True, "sft": True, "dpo": False, "eval": False,
    }  # fmt: skip


def test_a_polite_stop_saves_and_resumes(workbench_in: Command, project: Path, finished: str) -> None:
    name = workbench_in("stopped", "run", "tiny.toml", "--detach").stdout.strip()
    run = open_run(project / "stopped", name)
    next(event for event in run.follow(poll_seconds=0.01) if event["kind"] == "metric")
    assert workbench_in("stopped", "stop", name).returncode == 0
    assert run.state() == "stopped"
    assert run.status()["exit_code"] == 75
    assert workbench_in("stopped", "run", "tiny.toml").returncode == 0
    assert workbench_in("stopped", "digest", name).stdout == workbench_in("quiet", "digest", finished).stdout


def test_the_scorecard_and_the_reply(workbench_in: Command, finished: str) -> None:
    shown = json.loads(workbench_in("quiet", "show", finished, "--json").stdout)
    assert shown["state"] == "finished"
    assert all(stage["state"] == "finished" for stage in shown["stages"])
    reply = json.loads(
        workbench_in(
            "quiet",
            "generate",
            finished,
            "--prompt",
            "the old",
            "--max-new-tokens",
            "5",
            "--temperature",
            "0",
            "--json",
        ).stdout
    )
    assert reply["new_tokens"] <= 5
    assert reply["stopped_by"] in ("stop_token", "max_new_tokens")


def test_damage_is_found_and_named(workbench_in: Command, project: Path, finished: str) -> None:
    assert workbench_in("killed", "run", "tiny.toml").returncode == 0
    weights = max((project / "killed" / "store" / "checkpoint").glob("dpo-*/step-*/model.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    checked = workbench_in("killed", "verify", finished)
    assert checked.returncode == 1
    assert "model.safetensors" in checked.stderr
    used = workbench_in("killed", "generate", f"{finished}/dpo", "--prompt", "x")
    assert used.returncode == 2
    assert "Traceback" not in used.stderr
