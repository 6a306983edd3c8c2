"""Arrays with one number per document that lie in files, so that they may be longer than memory is wide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from workbench.files import disk_errors_named


def disk_array(path: Path, *, dtype: DTypeLike, length: int) -> NDArray[Any]:
    """`length` zeros in the new file `path`, which takes room only where something else is written. Raises NoSpace."""
    with disk_errors_named(path), path.open("xb") as file:
        file.truncate(max(length, 1) * np.dtype(dtype).itemsize)
    return np.memmap(path, dtype=dtype, mode="r+", shape=(length,)) if length else np.zeros(0, dtype=dtype)
