"""Runs that many tests look at, trained once."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.ranks.training import RECIPE, WORDS, Train, new_run, plan_in, trainer
from workbench import other_ranks, worker
from workbench.runs import Run
from workbench.stages import meter


@pytest.fixture(scope="session")
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


@pytest.fixture(autouse=True)
def every_step_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "METRIC_SECONDS", 0.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


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
def train(project: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Train:
    return trainer(project, monkeypatch, of=request.node.nodeid)


@pytest.fixture(scope="session")
def alone(project: Path) -> Run:
    """What one process makes of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meter, "METRIC_SECONDS", 0.0)
        patch.setenv("OMP_NUM_THREADS", "1")
        run = trainer(project, patch)("alone", nproc=1, until=None)
    assert run.state() == "finished"
    return run


@pytest.fixture(scope="session")
def together(project: Path) -> Run:
    """What two make of it: weights, gradients and moments in two shards (FSDP)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meter, "METRIC_SECONDS", 0.0)
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        run = trainer(project, patch)("together", nproc=2, until=None)
    assert run.state() == "finished"
    return run
