"""What is kept of a block between two steps: named numpy arrays in one safetensors file under zstandard.

    facts     one row a document: ids, sizes, digests, what cleaning changed; and the records that are bad
    text      the texts, cleaned
    figures…  one row a document: what the rules decide by

The checksum of zstandard tells a damaged file from a whole one, so a reader takes a layer or leaves it. No pickle.
Strings lie end to end as UTF-8, with the place where each ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

Arrays = Mapping[str, NDArray[Any]]
LEVEL = 1
"""Of zstandard: 500 MB/s, and what twice the time saves is gone when the cache is cleaned."""
MAX_LAYER_BYTES = 1 << 32
"""A layer that claims to unpack to more is damaged: a block holds 8 MB, or one line of 16 MB."""


def packed(arrays: Arrays) -> bytes:
    """`arrays` as the bytes of one layer. Equal arrays give equal bytes."""
    plain = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(save(plain))


def unpacked(data: bytes) -> dict[str, NDArray[Any]] | None:
    """The arrays of a layer; None when it is damaged."""
    try:
        if zstandard.frame_content_size(data) > MAX_LAYER_BYTES:
            return None
        content = zstandard.ZstdDecompressor().decompress(data)
        return dict(load(content))
    except (zstandard.ZstdError, SafetensorError, ValueError, KeyError):
        return None


def strings_to_arrays(name: str, strings: Sequence[str]) -> dict[str, NDArray[Any]]:
    """`strings` as the arrays NAME, [bytes] of uint8, and NAME_ends, [strings] of uint64."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in strings]
    ends = np.cumsum(np.fromiter(map(len, encoded), dtype=np.uint64, count=len(encoded)), dtype=np.uint64)
    return {name: np.frombuffer(b"".join(encoded), dtype=np.uint8), f"{name}_ends": ends}


class Strings(Sequence[str]):
    """The strings that `strings_to_arrays` packed, decoded one at a time."""

    def __init__(self, arrays: Arrays, name: str) -> None:
        self._bytes = arrays[name]
        self._ends = arrays[f"{name}_ends"]

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        start = int(self._ends[index - 1]) if index else 0
        return self._bytes[start : int(self._ends[index])].tobytes().decode("utf-8", "surrogatepass")
