"""What runs are compared by: figures, tensors, texts and what was made."""

from __future__ import annotations

import pytest
import torch

from workbench.model.weights import read_tensors, stored_tensors
from workbench.runs import Run
from workbench.tensor_files import MODEL, STATE_TENSORS
from workbench.train.checkpoint_folder import finished_checkpoint
from workbench.train.state_files import open_state

COMPARED = ("loss", "grad_norm", "val_loss", "val_bpb", "nll", "tokens", "learning_rate")
STEPS = 8


def figures(run: Run) -> dict[tuple[str, int, str], float]:
    """Each figure of each step, as it was told last."""
    return {
        (event["stage"], event["step"], name): event[name]
        for event in run.events()
        if event["kind"] == "metric"
        for name in COMPARED
        if event.get(name) is not None
    }


def check_equal(run: Run, alone: Run, *, stages: tuple[str, ...] = ("pretrain",), rel: float = 2e-5) -> None:
    expected = {key: figure for key, figure in figures(alone).items() if key[0] in stages}
    found = figures(run)
    assert found.keys() == expected.keys()
    assert len([key for key in found if key[2] == "loss"]) >= STEPS * len(stages) // 2
    for key, figure in found.items():
        assert figure == pytest.approx(expected[key], rel=rel, abs=1e-6), key


def check_tensors_equal(run: Run, alone: Run, *, share: float, but: tuple[str, ...] = ()) -> None:
    """Weights, averages and moments after the last step of pretraining: whole ones, whoever saved them.

    but: parts of the names of those that are not looked at.
    """
    found, expected = (last_tensors(each) for each in (run, alone))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        if any(part in name for part in but):
            continue
        scale = float(tensor.abs().max())
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=max(1e-7, share * scale), msg=name)


def last_tensors(run: Run) -> dict[str, torch.Tensor]:
    (folder,) = (run.home / "store" / "checkpoint").glob("pretrain-*")
    last = finished_checkpoint(folder, "last")
    state = {name: each[()] for name, each in open_state(last).items() if not name.startswith("random.")}
    weights = read_tensors(stored_tensors(last), device="cpu", dtype=torch.float32)
    return {
        f"{file}: {name}": tensor.double()
        for file, tensors in ((MODEL, weights), (STATE_TENSORS, state))
        for name, tensor in tensors.items()
    }


def last_digests(run: Run) -> dict[str, bytes]:
    """Weights, and optimizer with random numbers, after the last step of pretraining."""
    (folder,) = (run.home / "store" / "checkpoint").glob("pretrain-*")
    last = finished_checkpoint(folder, "last")
    return {name: (last / name).read_bytes() for name in ("model.safetensors", "training/state.safetensors")}


def texts(run: Run, kind: str) -> str:
    return "\n".join(event["text"] for event in run.events() if event["kind"] == kind)


def samples(run: Run, stage: str) -> list[str]:
    return [event["text"] for event in run.events() if event["kind"] == "sample" and event["stage"] == stage]


def made(run: Run) -> set[str]:
    return {str(folder.relative_to(run.home)) for folder in (run.home / "store").glob("*/*-*")}
