"""What the tests of the pretrain stage share: a tiny corpus, and a worker that can be asked, killed and looked at."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import pytest

from workbench.data.corpus_folder import heldout_writer, train_writer, write_document
from workbench.data.documents import Document
from workbench.data.shards import SourceNumbers, write_shards
from workbench.events import EventWriter, read_events
from workbench.files import digest_file
from workbench.recipe import Pretrain
from workbench.recipe_model import Model
from workbench.runs import Run
from workbench.stage_run import StageInputs, StageRun
from workbench.stages import checkpoints, meter, pretrain
from workbench.tokenizer import train_tokenizer
from workbench.train.checkpoint_folder import finished_checkpoint

WORDS = "the of a to in is it for on as with by from at or an be this that are not we you one all"
NUM_STEPS = 24
SETTINGS = {
    "tokens": NUM_STEPS * 64,
    "batch_tokens": 64,
    "context_length": 16,
    "warmup_steps": 4,
    "weight_decay": 0.05,
    "eval_every_steps": 8,
    "eval_documents": 4,
    "sample_every_steps": 12,
    "dtype": "float32",
    "compile": "never",
    "seed": 7,
}


@pytest.fixture
def every_step_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "METRIC_SECONDS", 0.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """60 documents of random words, drawn from Python's own generator, which is the same in every version."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in ("documents", "tokenizer", "tokens")}
    drawn, words = random.Random(0), WORDS.split()
    texts = [" ".join(drawn.choices(words, weights=range(len(words), 0, -1), k=40)) + "." for _ in range(60)]
    with train_writer(folders["documents"]) as writer:
        for number, text in enumerate(texts[:54]):
            write_document(writer, Document(f"t{number}", text, "test"))
    with heldout_writer(folders["documents"]) as writer:
        for number, text in enumerate(texts[54:]):
            write_document(writer, Document(f"h{number}", text, "test"))
    tokenizer = train_tokenizer(texts[:54], vocab_size=290, max_token_length=8)
    tokenizer.save(folders["tokenizer"])
    ids = [[tokenizer.bos_id, *tokenizer.encode(text)] for text in texts[:54]]
    sources = SourceNumbers()
    for number in range(54):
        sources.note("book.txt" if number < 6 else "web")
    write_shards(folders["tokens"], ids, vocab_size=tokenizer.vocab_size, shard_tokens=1000, sources=sources)
    return folders


class Worker:
    """Runs the stage in one folder as often as it takes; a script answers its looks at the controls."""

    def __init__(self, base: Path, artifacts: dict[str, Path]) -> None:
        self.run = Run(base / "run")
        (self.run.path / "control").mkdir(parents=True)
        self.folder = self.run.path / "building"
        self.folder.mkdir()
        self.inputs = StageInputs(
            recipe_folder=base,
            artifacts=artifacts,
            model=Model(
                size=None,
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=32,
            ),
        )

    def work(self, *, ask: dict[int, str] | None = None, kill_at: int | None = None, **changes: Any) -> Any:
        """Work; at the n-th look at the controls find what `ask` says, at look `kill_at` die."""
        handle = Handle(
            self.run, stage="pretrain", folder=self.folder, events=EventWriter(self.run.events_path)
        )
        handle.script = iter(self._script(ask or {}, kill_at))
        started = time.perf_counter()
        self.summary = pretrain.run(Pretrain(**(SETTINGS | changes)), self.inputs, handle)
        self.cost, self.seconds = handle.cost, time.perf_counter() - started
        return self.summary

    @staticmethod
    def _script(ask: dict[int, str], kill_at: int | None) -> Iterator[str | None]:
        look = 0
        while True:
            look += 1
            if look == kill_at:
                raise Killed
            yield ask.get(look)

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in read_events(self.run.events_path) if event["kind"] == kind]

    def texts(self, kind: str) -> str:
        return "\n".join(event["text"] for event in self.events(kind))

    def rates(self) -> dict[int, float]:
        return {event["step"]: event["learning_rate"] for event in self.events("metric") if "loss" in event}

    def losses(self) -> dict[int, float]:
        return {event["step"]: event["loss"] for event in self.events("metric") if "loss" in event}

    def digests(self) -> dict[str, str]:
        """Of weights, optimizer and random numbers after the last step."""
        last = finished_checkpoint(self.folder, "last")
        return {
            name: digest_file(last / name) for name in ("model.safetensors", "training/state.safetensors")
        }


class Handle(StageRun):
    script: Iterator[str | None]

    def request(self) -> str | None:
        return next(self.script)


class Killed(BaseException):
    """No `except Exception` sees it, like a kill."""


@pytest.fixture
def worker(tmp_path: Path, artifacts: dict[str, Path]) -> Worker:
    return Worker(tmp_path, artifacts)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, artifacts: dict[str, Path]) -> Worker:
    """A training that nobody interrupted."""
    whole = Worker(tmp_path_factory.mktemp("whole"), artifacts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meter, "METRIC_SECONDS", 0.0)
        patch.setenv("OMP_NUM_THREADS", "1")
        whole.work()
    return whole


@pytest.fixture
def saving(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who writes a checkpoint that need not be there at once; a thread is done before the next step is."""
    worth = {"training": math.inf, "a thread": -1.0}[request.param]
    monkeypatch.setattr(checkpoints, "WORTH_A_THREAD_SECONDS", worth)
    in_background = StageRun.in_background

    def waited_for(run: StageRun, work: Callable[[], Any]) -> Future[Any]:
        future = in_background(run, work)
        wait([future])
        return future

    monkeypatch.setattr(StageRun, "in_background", waited_for)


whoever_writes = pytest.mark.parametrize("saving", ["training", "a thread"], indirect=True)
