"""What only a GPU can show: an interrupted training with the bits of one that was not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.stages.conftest import Killed, Worker

# torch looks at it once, at the process's first product on a GPU; a worker sets it by itself.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

# What compilers say of a GPU is no fault of ours.
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]

@pytest.fixture(autouse=True)
def in_any_order_again() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("compiling", ["never", "always"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_killed_training_ends_with_the_bits_of_one_that_nobody_killed(
    tmp_path: Path, artifacts: dict[str, Path], compiling: str, dtype: str
) -> None:
    how = {"deterministic": True, "compile": compiling, "dtype": dtype}
    whole, killed = (Worker(tmp_path / name, artifacts) for name in ("whole", "killed"))
    whole.work(**how)
    with pytest.raises(Killed):
        killed.work(ask={10: "save"}, kill_at=15, **how)
    killed.work(**how)
    assert killed.texts("note").count(": exact") == 1 and "not exact" not in killed.texts("warning")
    assert killed.digests() == whole.digests()


def test_by_default_a_gpu_promises_no_bits(worker: Worker) -> None:
    with pytest.raises(Killed):
        worker.work(ask={10: "save"}, kill_at=15)
    worker.work()
    assert "not exact: kernels of this device add in no fixed order" in worker.texts("warning")
