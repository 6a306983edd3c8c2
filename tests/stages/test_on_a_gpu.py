"""What only a GPU can show: an interrupted training with the bits of one that was not, and memory that runs out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.stages.conftest import Killed, Worker
from workbench.errors import WorkbenchError
from workbench.stages import pretrain
from workbench.train.losses import next_token_loss

# torch looks at it once, at the process's first product on a GPU; a worker sets it by itself.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

# What compilers say of a GPU is no fault of ours.
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]

MORE_THAN_ANY_GPU = 1 << 50


@pytest.fixture(autouse=True)
def in_any_order_again() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("compiling", ["never", "always", "graphs"])
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


def test_a_full_gpu_ends_the_training_with_the_cut_that_fits_and_it_goes_on_with_that(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = 0

    def loss(model: Any, batch: Any, **more: Any) -> Any:
        nonlocal passes
        passes += 1
        if passes == 5:
            torch.empty(MORE_THAN_ANY_GPU, dtype=torch.uint8, device="cuda")
        return next_token_loss(model, batch, **more)

    monkeypatch.setattr(pretrain, "next_token_loss", loss)
    with pytest.raises(WorkbenchError, match="micro_batch_tokens = 32") as caught:
        worker.work(micro_batch_tokens=64)
    assert "out of memory after step 4 with 64 tokens at once" in str(caught.value)
    assert worker.work(micro_batch_tokens=32)["steps"] == 24


def test_a_cut_that_nobody_named_is_halved_on_the_gpu_until_it_fits(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(model: Any, batch: Any, **more: Any) -> Any:
        if batch.inputs_BT.numel() > 32:
            torch.empty(MORE_THAN_ANY_GPU, dtype=torch.uint8, device="cuda")
        return next_token_loss(model, batch, **more)

    monkeypatch.setattr(pretrain, "next_token_loss", loss)
    assert worker.work()["steps"] == 24
    assert "out of memory with 64 tokens at once: trying 32" in worker.texts("warning")
