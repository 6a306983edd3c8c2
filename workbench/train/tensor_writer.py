"""A safetensors file written tensor by tensor: none is kept, and its digest is known when it ends.

The format (huggingface/safetensors): 8 bytes of header length, a JSON header of names, types, shapes and places, then
the tensors' bytes end to end. The library's own writer wants all tensors in memory at once.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from workbench.files import new_digest

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The types of the format that torch has, by their names there."""
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_HEADER_ALIGNMENT = 8


class TensorWriter:
    """Writes the new file `path`; `add` the tensors in the order of `tensors`, then `finish`.

    tensors: the type and shape of each. A context: the file is closed at its end, whole or not. Raises OSError.
    """

    def __init__(self, path: Path, tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]) -> None:
        self._awaited = list(tensors.items())
        self._digest = new_digest()
        self._file = open(path, "xb")  # noqa: SIM115 - closed by the context
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        end = 0
        for name, (dtype, shape) in self._awaited:
            start, end = end, end + math.prod(shape) * dtype.itemsize
            header[name] = {
                "dtype": DTYPE_NAMES[dtype],
                "shape": list(shape),
                "data_offsets": [start, end],
            }
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % _HEADER_ALIGNMENT)
        self._awaited.reverse()
        self._write(len(text).to_bytes(8, "little") + text)

    def __enter__(self) -> TensorWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, name: str, tensor: Tensor) -> None:
        """Write the next tensor, wherever it lies."""
        assert self._awaited.pop() == (name, (tensor.dtype, tuple(tensor.shape))), f"{name} is not the next"
        numbers = tensor.detach().cpu().contiguous().reshape(-1)
        self._write(numbers.view(torch.uint8).numpy().data)

    def finish(self) -> dict[str, Any]:
        """Make all of it durable; gives its `bytes` and `digest`, as a manifest has them."""
        assert not self._awaited, "tensors are missing"
        self._file.flush()
        os.fsync(self._file.fileno())
        return {"bytes": self._file.tell(), "digest": self._digest.hexdigest()}

    def _write(self, content: bytes | memoryview) -> None:
        self._file.write(content)
        self._digest.update(content)
