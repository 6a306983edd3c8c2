"""A child process that takes the first steps of a pretraining for good, to tell what all of them will take.

    python -m workbench.stages.probe < REQUEST > FIGURES        both JSON; talk goes to stderr

It is the real stage with the real settings, stopped after some steps, one evaluation, one round of samples and a
checkpoint; on the packed tokens where they exist and else on text drawn from a seed, in a folder that is thrown away.
All that it keeps is what compiling was measured to give. Whoever asks (`workbench/probe.py`) loses nothing when the
machine kills it for memory.
"""

from __future__ import annotations

import contextlib
import json
import random
import string
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from workbench.artifacts import describe_files
from workbench.data.corpus_folder import heldout_writer, train_writer, write_document
from workbench.data.documents import Document
from workbench.data.shards import write_shards
from workbench.errors import Stopped, WorkbenchError
from workbench.events import EventWriter
from workbench.hardware import forget_peak_memory, peak_memory_bytes
from workbench.recipe import Pretrain
from workbench.recipe_model import Model
from workbench.runs import Run
from workbench.stage_run import RunStatus, StageInputs, StageRun
from workbench.stages import pretrain
from workbench.stages.pace import WARM_UP_STEPS
from workbench.tokenizer import train_tokenizer
from workbench.training_step import prepare_cublas

DOCUMENT_WORDS = 300
DOCUMENT_TOKENS = 400
"""Of text that stands for a corpus that is not there yet."""


class Probe(StageRun):
    """The handle of a stage that is to stop after `steps` steps; what compiling gives stands in `compile_times`."""

    def __init__(self, folder: Path, *, steps: int, compile_times: Path) -> None:
        run, status = Run(folder / "runs" / "probe"), RunStatus()
        (run.path / "control").mkdir(parents=True)
        super().__init__(
            run,
            stage="pretrain",
            folder=folder / "building",
            events=EventWriter(run.events_path),
            status=status,
            stop_signalled=lambda: (status.snapshot().get("progress") or {"done": 0})["done"] >= steps,
        )
        self._compile_times = compile_times
        self.folder.mkdir()

    @property
    def compile_times_path(self) -> Path:
        """That of the home that the plan is for."""
        return self._compile_times


def probe(
    settings: Pretrain, inputs: StageInputs, folder: Path, *, steps: int, compile_times: Path
) -> dict[str, float]:
    """What so many steps of the stage take, in seconds and bytes, as a training tells its cost."""
    steps += WARM_UP_STEPS
    handle = Probe(folder, steps=steps, compile_times=compile_times)
    forget_peak_memory()
    started = time.perf_counter()
    with contextlib.suppress(Stopped):
        pretrain.run(at_full_size(settings, steps), inputs, handle)
    handle.end_background()
    ended, peak_bytes = time.perf_counter(), peak_memory_bytes()
    describe_files(handle.folder)  # of one checkpoint; what is published has more
    publishing = settings.keep_last * (time.perf_counter() - ended)
    return {
        **handle.cost,
        "peak_bytes": peak_bytes,
        "seconds": round(ended - started + publishing, 3),
    }


def at_full_size(settings: Pretrain, steps: int) -> Pretrain:
    """The same training with all steps as the last ones are, and all that comes between steps after so many."""
    changes = {
        "eval_every_steps": steps,
        "sample_every_steps": steps,
        "batch_ramp": None,
        "context_ramp": None,
        "mixture": None,
        "curriculum": (),
        "milestones": (),
        "keep_every_steps": None,
    }
    return settings.model_copy(update=changes)


def made_up_inputs(folder: Path, settings: Pretrain, model: Model, *, vocab_size: int) -> StageInputs:
    """Documents, tokenizer and tokens of words that mean nothing, enough for the first steps."""
    drawn = random.Random(0)
    words = ["".join(drawn.choices(string.ascii_lowercase, k=drawn.randint(2, 9))) for _ in range(vocab_size)]
    texts = [" ".join(drawn.choices(words, k=DOCUMENT_WORDS)) for _ in range(settings.eval_documents)]
    folders = {kind: folder / kind for kind in ("documents", "tokenizer", "tokens")}
    for each in folders.values():
        each.mkdir()
    with train_writer(folders["documents"]) as writer:
        write_document(writer, Document("train", texts[0], "made up"))
    with heldout_writer(folders["documents"]) as writer:
        for number, text in enumerate(texts):
            write_document(writer, Document(str(number), text, "made up"))
    every_word = " ".join(words)  # twice: what occurs once is never merged
    tokenizer = train_tokenizer([every_word, every_word], vocab_size=vocab_size, max_token_length=16)
    tokenizer.save(folders["tokenizer"])
    tokens = np.random.default_rng(0)
    documents = (
        [tokenizer.bos_id, *tokens.integers(256, tokenizer.vocab_size, DOCUMENT_TOKENS - 1).tolist()]
        for _ in range(4 * settings.batch_tokens // DOCUMENT_TOKENS + 8)
    )
    write_shards(folders["tokens"], documents, vocab_size=tokenizer.vocab_size, shard_tokens=1 << 22)
    return StageInputs(recipe_folder=folder, artifacts=folders, model=model)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The figures that a request asks for; `{"error": …}` where the stage says in words that it cannot."""
    settings = Pretrain.model_validate(request["settings"])
    prepare_cublas([settings])
    model = None if request["model"] is None else Model.model_validate(request["model"])
    with tempfile.TemporaryDirectory(prefix="workbench-probe-", dir=request["folder"]) as name:
        folder = Path(name)
        try:
            if request["artifacts"] is None:
                assert model is not None, "without artifacts there is a shape to build"
                inputs = made_up_inputs(folder, settings, model, vocab_size=request["vocab_size"])
            else:
                inputs = StageInputs(
                    recipe_folder=folder,
                    artifacts={kind: Path(path) for kind, path in request["artifacts"].items()},
                    model=model,
                    start=Path(request["start"]) if request["start"] else None,
                )
            compile_times = Path(request["compile_times"])
            return probe(settings, inputs, folder, steps=request["steps"], compile_times=compile_times)
        except WorkbenchError as error:
            return {"error": error.one_line()}


if __name__ == "__main__":
    loading = time.process_time()  # torch above all: the process of a run loads it in this stage
    told = answer(json.load(sys.stdin))
    if "seconds" in told:
        told["seconds"] += loading
    sys.stdout.write(json.dumps(told) + "\n")
