"""A child process that takes the first steps of a pretraining for good, to tell what all of them will take.

    python -m workbench.stages.probe < REQUEST > FIGURES        both JSON; talk goes to stderr

It is the real stage, on the packed tokens where they exist and else on text drawn from a seed, in a folder that is
thrown away. Whoever asks (`workbench/probe.py`) loses nothing when the machine kills it for memory.
"""

from __future__ import annotations

import json
import random
import string
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from workbench.data.corpus_folder import heldout_writer, train_writer, write_document
from workbench.data.documents import Document
from workbench.data.shards import write_shards
from workbench.errors import WorkbenchError
from workbench.events import EventWriter
from workbench.hardware import forget_peak_memory, peak_memory_bytes
from workbench.recipe import Pretrain
from workbench.recipe_model import Model
from workbench.runs import Run
from workbench.stage_run import StageInputs, StageRun
from workbench.stages import pretrain
from workbench.stages.pace import WARM_UP_STEPS
from workbench.tokenizer import train_tokenizer

DOCUMENT_WORDS = 300
DOCUMENT_TOKENS = 400
"""Of text that stands for a corpus that is not there yet."""


def probe(settings: Pretrain, inputs: StageInputs, folder: Path, *, steps: int) -> dict[str, float]:
    """What so many steps of the stage take, in seconds and bytes, as a training tells its cost."""
    run = Run(folder / "runs" / "probe")
    (run.path / "control").mkdir(parents=True)
    handle = StageRun(run, stage="pretrain", folder=folder / "building", events=EventWriter(run.events_path))
    handle.folder.mkdir()
    forget_peak_memory()
    started = time.perf_counter()
    pretrain.run(shortened(settings, steps), inputs, handle)
    return {
        **handle.cost,
        "peak_bytes": peak_memory_bytes(),
        "seconds": round(time.perf_counter() - started, 3),
    }


def shortened(settings: Pretrain, steps: int) -> Pretrain:
    """The same steps, but only the first ones, at full size, and one measurement at their end."""
    steps += WARM_UP_STEPS
    changes = {
        "tokens": steps * settings.batch_tokens,
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
            return probe(settings, inputs, folder, steps=request["steps"])
        except WorkbenchError as error:
            return {"error": error.one_line()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer(json.load(sys.stdin))) + "\n")
