"""Tensors in safetensors files: written plainly, read with distrust.

A file from elsewhere is checked by its header alone, before a tensor is allocated: sizes that add up, names
that are there once, types we know. Pickles (.bin, .pt, .ckpt) run code when opened and are never opened.
Knows tensors and files; which names a model needs is `folder.py`'s business.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from workbench.errors import BadInput, Damaged, NotFound
from workbench.files import disk_errors_named
from workbench.hf_values import parse_json_object, read_json_object
from workbench.tensor_files import MODEL, index_name

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
MAX_TENSORS = 100_000
DTYPE_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
_OS_ERROR = re.compile(r"os error (\d+)")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies and what it is, as the header of `file` says."""

    file: Path
    dtype: str
    shape: tuple[int, ...]


def write_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write `path`, in the form every loader of PyTorch models reads. Raises NoSpace when the disk refuses.

    Not atomic and not durable: the folder around it is still being built, `publish_folder` makes it both.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with disk_errors_named(path):
        try:
            save_file(whole, path, metadata={"format": "pt"})
        except SafetensorError as error:  # it wraps the operating system's error as text
            if found := _OS_ERROR.search(str(error)):
                raise OSError(int(found[1]), str(error)) from error
            raise


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Name -> place of every tensor in the folder's `model.safetensors`, or in the shards its index names.

    Raises NotFound, BadInput (a pickle instead) or Damaged.
    """
    single, index = folder / MODEL, folder / index_name(MODEL)
    if single.is_file():
        return read_header(single)
    if not index.is_file():
        raise _no_weights(folder)
    names = read_json_object(index, most_bytes=MAX_HEADER_BYTES).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(shard, str) for shard in names.values()):
        raise Damaged("has no weight_map from tensor names to files", file=index, fix="get the folder again")
    found: dict[str, StoredTensor] = {}
    for shard in sorted(set(names.values())):
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise Damaged(
                f"names {shard[:60]!r}, not a safetensors file beside it", file=index, fix="do not use it"
            )
        for name, stored in read_header(folder / shard).items():
            if names.get(name) != shard:
                raise Damaged("holds a tensor that the index does not place there", file=folder / shard)
            found[name] = stored
    if found.keys() != names.keys():
        raise Damaged("names tensors that its files do not hold", file=index, fix="get the folder again")
    return found


def read_header(file: Path) -> dict[str, StoredTensor]:
    """Name -> tensor, from the header alone. Raises NotFound, or Damaged if the header is not sound.

    The format: 8 bytes of header length, a JSON header, then the tensors' bytes end to end without a hole.
    """
    if not file.is_file():
        raise NotFound("there is no such file", file=file, fix="get the folder again")
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
            raise _damaged(file, "is not a whole safetensors file")
        header = parse_json_object(stream.read(length), file)
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise _damaged(file, f"holds more than {MAX_TENSORS} tensors")
    tensors: dict[str, StoredTensor] = {}
    spans: list[tuple[int, int]] = []
    for name, entry in header.items():
        tensors[name], span = _entry(file, entry)
        spans.append(span)
    spans.sort()
    ends = [0, *(end for _, end in spans)]
    if [start for start, _ in spans] != ends[:-1] or ends[-1] != size - 8 - length:
        raise _damaged(file, "has tensors that overlap, or bytes that belong to none")
    return tensors


def read_tensors(
    stored: Mapping[str, StoredTensor], *, device: str | torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The tensors themselves, as `dtype` on `device`. Raises Damaged if one holds NaN or infinity."""
    tensors: dict[str, Tensor] = {}
    for file in sorted({place.file for place in stored.values()}):
        try:
            with safe_open(file, framework="pt", device="cpu") as opened:
                for name in (name for name, place in stored.items() if place.file == file):
                    tensor = opened.get_tensor(name)
                    if not torch.isfinite(tensor).all():
                        raise _damaged(file, f"{name} holds NaN or infinity")
                    tensors[name] = tensor.to(device=device, dtype=dtype, copy=True)
        except SafetensorError as error:
            raise _damaged(file, f"cannot be read ({str(error)[:80]})") from None
    return tensors


def _entry(file: Path, entry: object) -> tuple[StoredTensor, tuple[int, int]]:
    """One tensor of the header and the bytes it lies in; Damaged if they do not agree."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _damaged(file, "has a malformed header")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    sound = (
        isinstance(dtype, str)
        and dtype in DTYPE_BYTES
        and isinstance(shape, list)
        and len(shape) <= 8
        and isinstance(offsets, list)
        and len(offsets) == 2
        and all(type(number) is int and 0 <= number < 2**48 for number in (*shape, *offsets))
        and offsets[1] - offsets[0] == math.prod(shape) * DTYPE_BYTES[dtype]
    )
    if not sound:
        raise _damaged(file, "has a tensor whose type, shape and size do not agree")
    return StoredTensor(file, dtype, tuple(shape)), (offsets[0], offsets[1])


def _damaged(file: Path, message: str) -> Damaged:
    return Damaged(message, file=file, fix="get the folder again from its source")


def _no_weights(folder: Path) -> BadInput | NotFound:
    for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl"):
        for pickle in sorted(folder.glob(pattern)):
            return BadInput(
                "is a pickle, which can run code when opened; it was not opened",
                file=pickle,
                fix="get the safetensors version, or convert it on a machine you can lose",
            )
    return NotFound("there is no such file", file=folder / MODEL, fix="name a model folder")
