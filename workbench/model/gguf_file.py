"""A GGUF file: typed pairs, then tensors, in the one file that llama.cpp and its kin load.

    "GGUF"   version   how many tensors   how many pairs         every number little-endian
    pairs    key, type, value
    tensors  name, dimensions (the one that varies fastest first), type, offset
    data     each tensor from a multiple of 32 bytes on

Version 3 of the format, as ggml's docs/gguf.md has it. Knows neither models nor tokenizers.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from workbench.files import disk_errors_named

Value = bool | int | float | str | Sequence[str] | Sequence[int]
"""int is stored as uint32, or int32 in a list; float as float32."""

_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_TENSOR_TYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 30}
FILE_TYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 32}
"""What `general.file_type` says of a file whose matrices are of this type."""
ALIGNMENT = 32
LONGEST_NAME = 63
"""Bytes of a tensor's name that ggml has room for."""


def write_gguf(path: Path, pairs: Mapping[str, Value], tensors: Mapping[str, Tensor]) -> None:
    """Write `path`. Memory: one tensor at a time beside those given.

    Not atomic and not durable: the folder around it is still being built. Raises NoSpace when the disk refuses.
    """
    with disk_errors_named(path), path.open("wb") as stream:
        stream.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)))
        for key, value in pairs.items():
            stream.write(_string(key) + _typed(value))
        offset = 0
        for name, tensor in tensors.items():
            assert len(name.encode()) <= LONGEST_NAME, name
            dimensions = struct.pack(f"<I{tensor.ndim}Q", tensor.ndim, *reversed(tensor.shape))
            stream.write(_string(name) + dimensions)
            stream.write(struct.pack("<IQ", _TENSOR_TYPES[tensor.dtype], offset))
            offset += _aligned(tensor.nbytes)
        stream.write(bytes(_aligned(stream.tell()) - stream.tell()))
        for tensor in tensors.values():
            plain = tensor.detach().cpu().contiguous().flatten()
            stream.write(plain.view(torch.uint8).numpy().data)
            stream.write(bytes(_aligned(tensor.nbytes) - tensor.nbytes))


def _aligned(count: int) -> int:
    return -(-count // ALIGNMENT) * ALIGNMENT


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _typed(value: Value) -> bytes:
    """The number of the type, and the value."""
    if isinstance(value, bool):  # before int, which a bool is too
        return struct.pack("<IB", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _UINT32, value)
    if isinstance(value, float):
        return struct.pack("<If", _FLOAT32, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _string(value)
    items = list(value)
    texts = [item for item in items if isinstance(item, str)]
    numbers = [item for item in items if isinstance(item, int)]
    assert len(items) in (len(texts), len(numbers)), "a list of one type"
    head = struct.pack("<IIQ", _ARRAY, _STRING if texts else _INT32, len(items))
    return head + (b"".join(map(_string, texts)) if texts else struct.pack(f"<{len(numbers)}i", *numbers))
