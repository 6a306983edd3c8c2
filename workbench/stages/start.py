"""The `start` stage: somebody's model taken over, checked whole and written down in our form, to go on from.

What is left in the store is a checkpoint with float32 weights and the tokenizer beside it: what comes after does not
depend on the folder any more. Nothing in that folder is run, and a pickle is never opened.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from workbench.errors import BadInput, Damaged
from workbench.files import TEMPORARY_PREFIX, disk_errors_named, publish_folder
from workbench.hf_config import read_config
from workbench.model.extend import extended
from workbench.model.folder import load_model, save_model
from workbench.model.transformer import Decoder
from workbench.recipe_start import Start as Settings
from workbench.stage_run import StageInputs, StageRun
from workbench.tensor_files import STATE_NUMBERS
from workbench.tokenizer import Adopted, adopt_tokenizer, stop_ids
from workbench.train.checkpoint_folder import step_folder, training_files, write_manifest, write_summary


def run(settings: Settings, inputs: StageInputs, run: StageRun) -> dict[str, Any]:
    """Write the model of `inputs.start` as a checkpoint into `run.folder`; gives what is worth knowing about it.

    Raises NotFound, BadInput or Damaged, in one line, for what cannot be taken over: pickles, quantised weights,
    another architecture, tensors that do not fit config.json, a tokenizer that is not byte-level BPE or does not fit.
    """
    assert inputs.start is not None, "the plan gives this stage its folder"
    run.start_over()
    source = inputs.start
    adopted = adopt_tokenizer(source)
    check_vocabulary(source, adopted, keeps_training=settings.state == "training")
    run.progress(0, 1, "models")
    model = taken_over(load_model(source), settings, adopted)
    run.check_stop()
    announce(run, source, model, adopted)

    step = steps_taken(source) if settings.state == "training" else 0
    building = run.folder / f"{TEMPORARY_PREFIX}start"
    building.mkdir()
    tokenizer = adopted.tokenizer
    save_model(
        model, building, bos_id=tokenizer.bos_id, stop_ids=stop_ids(tokenizer), pad_id=tokenizer.pad_id
    )
    tokenizer.save(building)
    if settings.state == "training":
        copy_training(source, building)
    write_manifest(building, step=step)
    publish_folder(building, step_folder(run.folder, step))
    tokenizer.save(run.folder)  # for the stages that read text and no weights
    write_summary(run.folder, last=step, best=step)
    run.progress(1, 1, "models")
    return {
        "architecture": model.config.known_as or "workbench",
        "parameters": model.config.num_parameters,
        "vocab_size": tokenizer.vocab_size,
        "added_tokens": list(adopted.added),
        "max_position_embeddings": model.config.max_position_embeddings,
        "step": step,
    }


def check_vocabulary(source: Path, adopted: Adopted, *, keeps_training: bool) -> None:
    """Raise BadInput when the tokenizer has ids that the model has no row for, or a branch would need new rows."""
    rows = read_config(source).model.vocab_size
    if adopted.known_ids > rows:
        raise BadInput(
            f"the tokenizer has {adopted.known_ids:,} ids, the model in config.json {rows:,} rows",
            file=source / "tokenizer.json",
            fix="the two are not of one model; get the folder again",
        )
    if keeps_training and adopted.tokenizer.vocab_size > rows:
        raise BadInput(
            "the optimizer's memory has no place for the tokens of the chat format",
            file=source,
            fix='write state = "weights"',
        )


def taken_over(model: Decoder, settings: Settings, adopted: Adopted) -> Decoder:
    """The model with a row for every token, and with the context that the table asks for."""
    rows = max(model.config.vocab_size, adopted.tokenizer.vocab_size)
    config = dataclasses.replace(settings.shape(model.config), vocab_size=rows)
    return extended(model, config)


def announce(run: StageRun, source: Path, model: Decoder, adopted: Adopted) -> None:
    """Say what was found, and everything that is not as it was there."""
    before = read_config(source)
    config, old = model.config, before.model
    run.note(
        f"starts from {source.name}: {config.known_as or 'workbench'}, {config.num_parameters:,} parameters, "
        f"{adopted.tokenizer.vocab_size:,} tokens, context {config.max_position_embeddings:,}"
    )
    if before.ignored:
        run.note(f"config.json: {', '.join(before.ignored[:8])} not read")
    if adopted.added:
        new_rows = config.vocab_size - old.vocab_size
        rows = f"{new_rows} new rows, the mean of all others" if new_rows else "spare rows of the model"
        run.note(f"the tokenizer lacks {' '.join(adopted.added)} of the chat format: added, in {rows}")
    for key in ("max_position_embeddings", "rope_theta"):
        if getattr(config, key) != getattr(old, key):
            run.note(f"{key}: {getattr(old, key):g} -> {getattr(config, key):g}")
    if config.rope_scaling is not None and config.rope_scaling != old.rope_scaling:
        run.note(
            f"rope_scaling: {config.rope_scaling.rope_type}, {config.rope_scaling.factor:g} times as long"
        )


def steps_taken(source: Path) -> int:
    """The step that a checkpoint of ours stands at. Raises Damaged."""
    file = source / STATE_NUMBERS
    try:
        return int(json.loads(file.read_bytes())["step"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"cannot be read ({error})", file=file, fix="name another checkpoint") from None


def copy_training(source: Path, target: Path) -> None:
    """The training state of a checkpoint beside its weights, in one file or in parts, as it lies there.

    Raises Damaged when a part is missing.
    """
    with disk_errors_named(target):
        for name in training_files(source):
            if not (source / name).is_file():
                raise Damaged("is missing", file=source / name, fix="name another checkpoint")
            (target / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, target / name)
