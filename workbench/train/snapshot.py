"""What a checkpoint holds, as tensors apart from the training, and how it becomes a folder: whole or not at all.

    take_snapshot  ->  Snapshot  ->  copy     while the training waits: milliseconds
                                 ->  write_snapshot                   here, or in a thread while the next steps run

Writing asks torch for nothing and leaves Python's lock to others: files are written and digested by native code that
lets go of it (safetensors 0.8, hashlib), and the finite numbers are checked by numpy. An operation of torch would start
a team of threads of its own beside the one that trains. Knows no model, no optimizer and no clock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from workbench.errors import DiskFull, NoSpace, TrainingDiverged
from workbench.files import (
    TEMPORARY_PREFIX,
    disk_error,
    free_bytes,
    human_bytes,
    publish_folder,
    remove_folder,
)
from workbench.model.folder import write_model
from workbench.model_config import ModelConfig
from workbench.tensor_files import STATE_NUMBERS, STATE_TENSORS
from workbench.tokenizer import Tokenizer, stop_ids
from workbench.train.checkpoint_folder import prune, step_folder, write_manifest


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """All that others load and that the next step depends on, as it was after `step` steps.

    weights: of model.safetensors, named and laid out as there. tensors: of training/state.safetensors.
    numbers: the text of training/state.json. best_step: the one with the lowest held-out loss so far.
    """

    step: int
    best_step: int | None
    shape: ModelConfig
    weights: Mapping[str, Tensor]
    tensors: Mapping[str, Tensor]
    numbers: str

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for part in (self.weights, self.tensors) for tensor in part.values())

    def copy(self, *, into: Snapshot | None = None) -> Snapshot:
        """The same in host memory of its own: in that of `into`, an earlier copy, where its tensors fit.

        Memory that was used before is there already; new memory the kernel zeroes page by page.
        """
        return dataclasses.replace(
            self,
            weights=_copied(self.weights, {} if into is None else into.weights),
            tensors=_copied(self.tensors, {} if into is None else into.tensors),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint that was just written, and is durable."""

    folder: Path
    bytes: int


def write_snapshot(
    folder: Path,
    snapshot: Snapshot,
    *,
    tokenizer: Tokenizer,
    keep_last: int = 2,
    keep: Collection[int] = (),
) -> Saved:
    """Write `folder/step-…` and delete older checkpoints beyond `keep_last`, but never the best or those in `keep`.

    Whoever kills this at any instant finds either the whole checkpoint or none under its name.
    Raises DiskFull, before it writes or with everything cleared away; NoSpace when the disk refuses otherwise;
    TrainingDiverged when a weight or moment is not finite, because a poisoned checkpoint would outlive the good
    ones.
    """
    for name, tensor in (*snapshot.weights.items(), *snapshot.tensors.items()):
        check_finite(name, tensor)
    final = step_folder(folder, snapshot.step)
    building = folder / f"{TEMPORARY_PREFIX}{final.name}-{secrets.token_hex(4)}"
    with whole_or_nothing(building, needed=snapshot.nbytes):
        write_model(
            building,
            snapshot.shape,
            snapshot.weights,
            bos_id=tokenizer.bos_id,
            stop_ids=stop_ids(tokenizer),
            pad_id=tokenizer.pad_id,
        )
        (building / STATE_TENSORS).parent.mkdir()
        safetensors.torch.save_file(
            {name: tensor.contiguous() for name, tensor in snapshot.tensors.items()}, building / STATE_TENSORS
        )
        size = publish_checkpoint(
            building, final, numbers=snapshot.numbers, step=snapshot.step, tokenizer=tokenizer
        )
    prune(folder, keep_last=keep_last, keep={*keep, snapshot.best_step})
    return Saved(final, size)


def publish_checkpoint(
    building: Path,
    final: Path,
    *,
    numbers: str,
    step: int,
    tokenizer: Tokenizer,
    known: Mapping[str, dict[str, Any]] | None = None,
) -> int:
    """Put the last files beside the tensors in `building` and give it its name; gives the bytes of all files.

    known: what is known already of some files, as their entries in the manifest.
    """
    for name, content in tokenizer.files.items():
        (building / name).write_bytes(content)
    (building / STATE_NUMBERS).write_text(numbers, encoding="utf-8")
    size = write_manifest(building, step=step, known=known)
    remove_folder(final)  # only there when a resumed training comes to the same step again
    publish_folder(building, final)
    return size


@torch.no_grad()
def _copied(tensors: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> dict[str, Tensor]:
    copies: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        place = into.get(name)
        if place is None or (place.shape, place.dtype) != (tensor.shape, tensor.dtype):
            place = torch.empty(tensor.shape, dtype=tensor.dtype)
        copies[name] = place.copy_(tensor)
    return copies


@contextlib.contextmanager
def whole_or_nothing(building: Path, *, needed: int) -> Iterator[None]:
    """Make the folder `building` for the block, and leave no trace of it when the block fails.

    A full disk shows itself as OSError, SafetensorError or RuntimeError, so what decides is the free space.
    """
    folder, with_margin = building.parent, needed * 11 // 10

    def full(problem: str) -> DiskFull:
        message = f"the disk is full: a checkpoint needs {human_bytes(with_margin)}, {problem}"
        return DiskFull(message, file=folder, fix="free some space on this disk", needed=with_margin)

    if (free := free_bytes(folder)) < with_margin:
        raise full(f"{human_bytes(free)} are free")
    try:
        building.mkdir()
        yield
    except BaseException as error:
        free = free_bytes(folder)
        shutil.rmtree(building, ignore_errors=True)
        if isinstance(error, Exception) and free < with_margin:
            raise full("it filled up meanwhile") from error
        if isinstance(error, OSError | SafetensorError):  # a quota, a read-only or broken disk
            refused = NoSpace(f"a checkpoint cannot be written ({error})", file=folder, fix="see to the disk")
            raise disk_error(error, folder) or refused from error
        raise


def check_finite(name: str, tensor: Tensor) -> None:
    """Raise TrainingDiverged when a number of `tensor` is not finite."""
    if not _is_finite(tensor):
        raise TrainingDiverged(f"{name} is not finite, so no checkpoint was written")


def _is_finite(tensor: Tensor) -> bool:
    """Whether all numbers are: the largest and the smallest are, and one that is none would be both."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    if tensor.device.type != "cpu" or tensor.dtype == torch.bfloat16:  # numpy has no such numbers
        return bool(tensor.isfinite().all())
    numbers = tensor.detach().numpy()
    return math.isfinite(numbers.max()) and math.isfinite(numbers.min())
