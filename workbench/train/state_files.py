"""The tensors of a training's state in a checkpoint, wherever they lie: in one file, or in blocks that ranks wrote.

    training/state.safetensors                      whole tensors; or
    training/state-00001-of-00002.safetensors …     blocks of tensors, and
    training/state.safetensors.index.json           at which row, column… of the whole each begins:

        {"format": 1, "tensors": {NAME: {"dtype": "F32", "shape": [300, 32]}, …},
         "files": {"state-00001-of-00002.safetensors": {NAME: [0, 0], …}, …}}

Nothing is read but what is asked for, so that whoever goes on, on however many devices, reads its own part. No pickle.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from workbench.errors import Damaged
from workbench.hf_values import read_json_object
from workbench.model.stored_weights import Sliceable
from workbench.tensor_files import MAX_INDEX_BYTES, STATE_TENSORS, index_name
from workbench.train.tensor_writer import DTYPE_NAMES, DTYPES

FORMAT = 1


@dataclass(frozen=True, slots=True)
class _Block:
    file: Path
    start: tuple[int, ...]
    shape: tuple[int, ...]


@dataclass(slots=True)
class StoredTensor:
    """A tensor in files: indexed by a slice a dimension it is read, or all of it by `[()]`."""

    name: str
    dtype: torch.dtype
    shape: torch.Size
    opened: Mapping[Path, Any]
    blocks: list[_Block] = field(default_factory=list)

    def __getitem__(self, index: tuple[slice, ...]) -> Tensor:
        spans = [slice(0, size) for size in self.shape] if index == () else index
        wanted = [(span.start, span.stop) for span in spans]
        if index == () and len(self.blocks) == 1:
            return self._read(self.blocks[0], None)
        found = torch.empty([stop - start for start, stop in wanted], dtype=self.dtype)
        for block in self.blocks:
            ends = [first + size for first, size in zip(block.start, block.shape, strict=True)]
            meet = [
                (max(start, first), min(stop, end))
                for (start, stop), first, end in zip(wanted, block.start, ends, strict=True)
            ]
            if all(first < end for first, end in meet):
                there = [slice(a - first, b - first) for (a, b), first in zip(meet, block.start, strict=True)]
                here = [slice(a - start, b - start) for (a, b), (start, _) in zip(meet, wanted, strict=True)]
                found[tuple(here)] = self._read(block, tuple(there))
        return found

    def _read(self, block: _Block, index: tuple[slice, ...] | None) -> Tensor:
        file = self.opened[block.file]
        try:
            if not index:
                tensor: Tensor = file.get_tensor(self.name)
            else:
                tensor = file.get_slice(self.name)[index]
        except (SafetensorError, OSError) as error:
            raise Damaged(f"cannot be read ({str(error)[:80]})", file=block.file) from None
        return tensor


def open_state(checkpoint: Path) -> Mapping[str, Sliceable]:
    """Name -> tensor of the state of a training, none of them read. Raises Damaged."""
    single, index = checkpoint / STATE_TENSORS, checkpoint / index_name(STATE_TENSORS)
    if single.is_file() or not index.is_file():
        opened = {single: _opened(single)}
        return {
            name: StoredTensor(
                name, dtype, torch.Size(shape), opened, [_Block(single, (0,) * len(shape), shape)]
            )
            for name, dtype, shape in _headers(single, opened[single])
        }
    return _in_parts(index)


def _in_parts(index: Path) -> Mapping[str, Sliceable]:
    told = read_json_object(index, most_bytes=MAX_INDEX_BYTES)
    if told.get("format") != FORMAT:
        raise Damaged("was written by another version", file=index, fix="update workbench")
    opened: dict[Path, Any] = {}
    tensors: dict[str, StoredTensor] = {}
    try:
        for name, each in told["tensors"].items():
            shape = torch.Size(each["shape"])
            tensors[name] = StoredTensor(name, DTYPES[each["dtype"]], shape, opened)
        for name, starts in told["files"].items():
            file = index.with_name(name)
            if file.parent != index.parent:
                raise ValueError(name)
            opened[file] = _opened(file)
            for key, dtype, part in _headers(file, opened[file]):
                block = _Block(file, tuple(starts[key]), part)
                if not _lies_inside(block, tensors[key], dtype):
                    raise Damaged(f"{key} is not the block that the index says", file=file)
                tensors[key].blocks.append(block)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Damaged("does not fit its files", file=index) from None
    for name, tensor in tensors.items():
        if sum(math.prod(block.shape) for block in tensor.blocks) != tensor.shape.numel():
            raise Damaged(f"{name} is not whole in its files", file=index)
    return tensors


def _lies_inside(block: _Block, tensor: StoredTensor, dtype: torch.dtype) -> bool:
    if dtype != tensor.dtype or not len(block.start) == len(block.shape) == len(tensor.shape):
        return False
    spans = zip(block.start, block.shape, tensor.shape, strict=True)
    return all(start >= 0 and start + size <= whole for start, size, whole in spans)


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt", device="cpu")
    except (OSError, SafetensorError) as error:
        raise Damaged(f"cannot be read ({error})", file=file) from None


def _headers(file: Path, opened: Any) -> Iterator[tuple[str, torch.dtype, tuple[int, ...]]]:
    """Name, type and shape of every tensor of a file."""
    for name in opened.keys():  # noqa: SIM118 - it is no mapping
        place = opened.get_slice(name)
        if place.get_dtype() not in DTYPES:
            raise Damaged(f"{name} is {place.get_dtype()}", file=file)
        yield name, DTYPES[place.get_dtype()], tuple(place.get_shape())


def index_text(
    tensors: Mapping[str, tuple[torch.dtype, Sequence[int]]], files: Mapping[str, Mapping[str, Sequence[int]]]
) -> str:
    """The index of blocks: type and shape of the whole tensors; of every file where its blocks begin."""
    whole = {
        name: {"dtype": DTYPE_NAMES[dtype], "shape": list(shape)} for name, (dtype, shape) in tensors.items()
    }
    return json.dumps({"format": FORMAT, "tensors": whole, "files": files}, indent=1) + "\n"
