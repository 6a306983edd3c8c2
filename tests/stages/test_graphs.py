"""A training by CUDA graphs, which a stand-in records on the CPU: the same losses, and a resume that replays too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.stages.conftest import Killed, Worker
from tests.train.recorded_graphs import RecordedGraph, stand_in_for_cuda
from workbench.errors import BadInput
from workbench.recipe import Pretrain
from workbench.stages import course
from workbench.stages.training import in_words
from workbench.train import working_model
from workbench.train.compile_choice import CompileChoice

pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
GRAPHS = {"compile": "graphs", "micro_batch_tokens": 32}


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[RecordedGraph]]:
    monkeypatch.setattr(working_model, "BACKEND", "eager")
    monkeypatch.setattr(working_model, "why_no_graphs", lambda **_: "")
    torch._dynamo.reset()
    yield stand_in_for_cuda(monkeypatch)
    torch._dynamo.reset()


@pytest.mark.usefixtures("every_step_is_shown")
def test_they_train_alike_and_a_resume_is_exact(
    tmp_path: Path, artifacts: dict[str, Path], graphs: type[RecordedGraph]
) -> None:
    plain, whole, killed = (Worker(tmp_path / name, artifacts) for name in ("plain", "whole", "killed"))
    plain.work(micro_batch_tokens=32)
    whole.work(**GRAPHS)
    assert graphs.replays >= 2 * 2 * 24, "two micro-batches a step, forward and backward"
    assert whole.losses() == pytest.approx(plain.losses(), rel=1e-4)
    with pytest.raises(Killed):
        killed.work(ask={10: "save"}, kill_at=15, **GRAPHS)
    killed.work(**GRAPHS)
    assert killed.texts("note").count(": exact") == 1
    assert killed.digests() == whole.digests()


def test_where_they_cannot_be_it_goes_on_without_and_says_so(
    worker: Worker, graphs: type[RecordedGraph], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Killed):
        worker.work(ask={10: "save"}, kill_at=15, **GRAPHS)
    monkeypatch.setattr(working_model, "why_no_graphs", lambda **_: "they need a GPU")
    with pytest.raises(BadInput, match=r'compile = "graphs" cannot be here: they need a GPU'):
        worker.work(**GRAPHS)
    before = graphs.replays
    worker.work(compile="auto", micro_batch_tokens=32)
    assert "not exact: compiled graphs -> True" in worker.texts("warning")
    assert graphs.replays == before


def test_the_events_tell_what_was_chosen(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = CompileChoice(True, "layers are compiled: 1.0 ms a pass")
    monkeypatch.setattr(course, "choose_compiling", lambda *_, **__: chosen)
    worker.work(compile="auto")
    told = [event for event in worker.events("note") if "environment" in event]
    assert [event["environment"]["compiled"] for event in told] == [None, True]
    assert told[1]["text"] == chosen.reason


def test_tf32_is_told_where_products_are_float32() -> None:
    of = {"dtype": "float32", "device": "NVIDIA H200", "optimizer": "muon", "working_model": "plain"}
    of |= {"micro_batch_tokens": 64, "threads": 1, "float32_matmul_precision": "high"}
    assert in_words(of).startswith("float32 (TF32 inside) on NVIDIA H200, muon")
    assert in_words(of | {"dtype": "bfloat16"}).startswith("bfloat16 on NVIDIA H200")
    assert in_words(of | {"device": "cpu"}).startswith("float32 on 1 CPU thread")


def test_checkpointed_layers_are_not_replayed() -> None:
    with pytest.raises(ValueError, match="contradicts activation_checkpointing"):
        Pretrain(
            tokens=64, batch_tokens=64, context_length=16, compile="graphs", activation_checkpointing="layer"
        )
