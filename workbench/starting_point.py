"""Where a recipe with [start] begins: the folder that `[start] model` means, what it says of its shape, its identity.

    model = "../SmolLM2-135M"         a folder in Hugging Face format, relative to the recipe
    model = "RUN/pretrain@400"        a checkpoint of ours; the plan names the step, whatever @best meant that day

The identity is the content of the files that are read, wherever they lie. Reads config.json, no tensors.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from workbench.artifacts import ArtifactName
from workbench.errors import BadInput, NotFound, WorkbenchError
from workbench.hf_config import read_config
from workbench.model_config import ModelConfig
from workbench.recipe_start import Start
from workbench.source_identity import SourceDigests
from workbench.tensor_files import MODEL, STATE_NUMBERS, STATE_TENSORS, tensor_files


@dataclasses.dataclass(frozen=True)
class StartingPoint:
    """The folder, how a plan names it, the model's shape, and the tokenizer of its run when that is in the store."""

    folder: Path
    reference: str
    shape: ModelConfig
    tokenizer: ArtifactName | None = None

    def identity(self, table: Start, digests: SourceDigests) -> list[Any]:
        """Name, size and digest of every file that is read; plain data. Raises BadInput when one cannot be."""
        entries = []
        for name in _files_read(self.folder, with_training=table.state == "training"):
            file = self.folder / name
            try:
                entries.append(["start", os.fsencode(name).hex(), file.stat().st_size, digests.of(file)])
            except OSError as error:
                raise BadInput(
                    f"cannot be read ({error.strerror})",
                    file=file,
                    fix="get the folder again from its source",
                ) from None
        return entries


def find_starting_point(table: Start, *, base: Path, home: Path) -> StartingPoint:
    """What `[start] model` means now, its shape with the table's changes. Raises NotFound, BadInput or Damaged."""
    folder, reference, tokenizer = base / table.model, table.model, None
    if not folder.is_dir():
        # Deferred: a reference is looked up in the plan of its run, and a plan is made from this module.
        from workbench.references import find_trained

        trained = find_trained(table.model, home=home)
        folder, reference, tokenizer = trained.folder, trained.reference, trained.tokenizer
    if table.state == "training" and not _holds_training(folder):
        raise BadInput(
            "holds weights, not the state of a training",
            file=folder,
            fix='write state = "weights", or name a checkpoint of a run as RUN/STAGE@STEP',
        )
    return StartingPoint(folder, reference, _shape(table, folder), tokenizer)


def start_from(reference: str, *, home: Path | None) -> dict[str, str]:
    """The [start] table that `--from REFERENCE` means: a branch where it names a checkpoint of pretraining."""
    if Path(reference).is_dir():
        is_branch = _holds_training(Path(reference))
        return {"model": str(Path(reference).absolute()), "state": "training" if is_branch else "weights"}
    from workbench.references import find_trained  # deferred as above

    found = find_trained(reference, home=home).reference
    return {"model": found, "state": "training" if "/pretrain@" in found else "weights"}


def _holds_training(folder: Path) -> bool:
    return (folder / STATE_NUMBERS).is_file() and bool(tensor_files(folder, STATE_TENSORS))


def _shape(table: Start, folder: Path) -> ModelConfig:
    config = read_config(folder)
    if "auto_map" in config.ignored:
        raise BadInput(
            "comes with code of its own (auto_map), which is not run here: what it computes is not known",
            file=folder / "config.json",
            fix="start from a Llama, Mistral, Qwen2, Qwen3, Granite or GPT-2",
        )
    return table.shape(config.model)


def _files_read(folder: Path, *, with_training: bool) -> list[str]:
    """The files of a model folder that a start reads, as far as they are there, by relative path."""
    wanted = ["config.json", "generation_config.json", "tokenizer.json", *tensor_files(folder, MODEL)]
    wanted += [STATE_NUMBERS, *tensor_files(folder, STATE_TENSORS)] if with_training else ()
    return [name for name in wanted if (folder / name).is_file()]


def still_there(table: Start, *, base: Path, home: Path) -> StartingPoint:
    """`find_starting_point` for a run that was planned with it: NotFound is told as what changed since then."""
    try:
        return find_starting_point(table, base=base, home=home)
    except WorkbenchError as error:
        raise NotFound(
            f"[start] {error.message}",
            file=error.file,
            fix="this run was planned with it; name another start",
        ) from None
