"""A training is killed at every rename, fsync, mkdir and unlink of its life, and goes on to the same bits every time.

The kills are real: each happens to a process of its own, forked by this file run as a program, because a process
that has trained, or runs tests, has threads that a fork does not take along.

A thread writes the checkpoints. It is held until the training has taken another step and asked twice for requests,
then let go and waited for: so every call of one life has a number that is the same in every other, and what is written
is the past of a training that has moved on.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

from workbench.data.corpus_folder import heldout_writer
from workbench.data.shards import write_shards
from workbench.events import EventWriter, read_events
from workbench.files import digest_file
from workbench.recipe import Pretrain
from workbench.recipe_model import Model
from workbench.runs import Run
from workbench.stage_run import StageInputs, StageRun
from workbench.stages import checkpoints, course, pretrain
from workbench.tokenizer import train_tokenizer
from workbench.train.checkpoint_folder import damage, finished_checkpoint, step_folder, steps_in

CALLS = ("rename", "fsync", "unlink", "mkdir", "rmdir")
NUM_STEPS = 5
SETTINGS = {
    "tokens": NUM_STEPS * 32,
    "batch_tokens": 32,
    "context_length": 16,
    "warmup_steps": 1,
    "eval_every_steps": 100,
    "sample_every_steps": 100,
    "ema_decay": 0.5,
    "dtype": "float32",
}


def test_killed_at_every_call_that_changes_the_disk_it_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    lives = subprocess.run(
        [sys.executable, __file__, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert lives.returncode == 0, lives.stderr
    whole, *killed = map(json.loads, lives.stdout.splitlines())
    assert whole["saved"] == [1, 3, 5]
    assert whole["calls"].count("checkpoint") > 30 and whole["calls"].count("main") > 20
    assert [life["at"] for life in killed] == list(range(1, len(whole["calls"]) + 1))
    for life in killed:
        assert life["damaged"] == [], life
        assert life["digests"] == whole["digests"], life
        assert life["left"] == [], life
        assert max(life["told"], default=0) <= (life["resumed"] or 0), (
            life
        )  # a checkpoint that was told was there
    assert {life["resumed"] for life in killed} == {None, 1, 3, 5}


class Handle(StageRun):
    """Holds what the background is to do for two looks at the controls, then waits until it is done."""

    holds = True
    held: tuple[threading.Event, Future[Any]] | None = None
    looks = 0

    def in_background(self, work: Callable[[], Any]) -> Future[Any]:
        if not self.holds:
            return super().in_background(work)
        gate = threading.Event()

        def do() -> Any:
            gate.wait()
            return work()

        self.held, self.looks = (gate, super().in_background(do)), 0
        return self.held[1]

    def request(self) -> str | None:
        self.looks += 1
        if self.held is not None and self.looks == 2:
            gate, writing = self.held
            gate.set()
            wait([writing])
            self.held = None
        return None


class Life:
    """One process's work on the training in `folder`, until it is done or its `kill_at`-th call to the disk."""

    def __init__(
        self, folder: Path, artifacts: dict[str, Path], *, kill_at: int | None = None, resumes: bool = False
    ) -> None:
        self.run = Run(folder)
        self.building = folder / "building"
        self.building.mkdir(parents=True, exist_ok=True)
        self.artifacts = artifacts
        self.calls: list[str] = []
        self.kill_at = kill_at
        self.resumes = resumes

    def live(self) -> None:
        model = Model(
            size=None,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=16,
            value_embeddings=True,
            bigram_embedding_rows=31,
            initializer="bigrams",
            tie_word_embeddings=False,
        )
        inputs = StageInputs(recipe_folder=self.run.path, artifacts=self.artifacts, model=model)
        handle = Handle(
            self.run, stage="pretrain", folder=self.building, events=EventWriter(self.run.events_path)
        )
        handle.holds = not self.resumes  # else the last step would come before the second look
        checkpoints.WORTH_A_THREAD_SECONDS = -1.0
        checkpoints.SaveClock.is_due = lambda clock: True  # type: ignore[method-assign]
        course.matmul_peak = lambda machine: None  # type: ignore[attr-defined]
        for name in CALLS:
            setattr(os, name, self._counted(getattr(os, name)))
        # One is kept, fewer than a recipe may ask for: old ones are deleted sooner.
        pretrain.run(Pretrain(**SETTINGS).model_copy(update={"keep_last": 1}), inputs, handle)
        handle.end_background()

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any, **options: Any) -> Any:
            in_thread = threading.current_thread() is not threading.main_thread()
            self.calls.append("checkpoint" if in_thread else "main")
            if len(self.calls) == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return instead

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in read_events(self.run.events_path) if event["kind"] == kind]

    def saved(self) -> list[int]:
        return [event["step"] for event in self.events("checkpoint")]

    def digests(self) -> dict[str, str]:
        last = finished_checkpoint(self.building, "last")
        return {
            name: digest_file(last / name) for name in ("model.safetensors", "training/state.safetensors")
        }


def make_artifacts(base: Path) -> dict[str, Path]:
    folders = {kind: base / kind for kind in ("documents", "tokenizer", "tokens")}
    for folder in folders.values():
        folder.mkdir()
    texts = [" ".join(random.Random(number).choices(["the", "of", "a", "to"], k=40)) for number in range(20)]
    with heldout_writer(folders["documents"]):
        pass
    tokenizer = train_tokenizer(texts, vocab_size=262, max_token_length=8)
    tokenizer.save(folders["tokenizer"])
    ids = [[tokenizer.bos_id, *tokenizer.encode(text)] for text in texts]
    write_shards(folders["tokens"], ids, vocab_size=tokenizer.vocab_size, shard_tokens=1000)
    return folders


def forked(work: Callable[[], object]) -> int:
    """Do `work` in a child; gives how it ended, as `waitpid` has it."""
    sys.stdout.flush()
    if not (child := os.fork()):
        try:
            work()
            sys.stdout.flush()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitpid(child, 0)[1]


def tell(**facts: Any) -> None:
    print(json.dumps(facts))


def main(base: Path) -> int:
    import torch._dynamo  # a second's work of the first optimizer, done once for all lives  # noqa: F401

    artifacts = make_artifacts(base)
    whole = Life(base / "whole", artifacts)

    def live_undisturbed() -> None:
        whole.live()
        (base / "calls").write_text(json.dumps(whole.calls))

    assert forked(live_undisturbed) == 0
    calls = json.loads((base / "calls").read_text())
    tell(calls=calls, saved=whole.saved(), digests=whole.digests())
    for at in range(1, len(calls) + 1):
        folder = base / f"killed-{at}"
        assert forked(Life(folder, artifacts, kill_at=at).live) == signal.SIGKILL, at
        killed = Life(folder, artifacts, resumes=True)
        told, folder = killed.saved(), killed.building
        damaged = [step for step in steps_in(folder) if damage(step_folder(folder, step))]
        assert forked(killed.live) == 0, at
        notes = [event["text"] for event in killed.events("note")]
        resumed = [int(note.split()[3].rstrip(":")) for note in notes if note.startswith("resuming at step")]
        assert all(note.endswith(": exact") for note in notes if note.startswith("resuming")), notes
        tell(
            at=at,
            told=told,
            damaged=damaged,
            resumed=resumed[0] if resumed else None,
            digests=killed.digests(),
            left=[path.name for path in killed.building.rglob(".t*")],
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
