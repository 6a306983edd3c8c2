"""Several processes that train together, over gloo: the same losses as one, however they share the model."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.ranks.compared import (
    check_equal,
    check_tensors_equal,
    figures,
    last_tensors,
    made,
    samples,
)
from tests.ranks.training import OWN_PARTS, Train
from workbench.runs import Run
from workbench.train import device, parallel, working_model
from workbench.train.float8 import use_float8


def test_two_processes_do_what_one_does_in_all_stages(together: Run, alone: Run) -> None:
    check_equal(together, alone, stages=("pretrain", "sft", "dpo"))
    assert together.status()["nproc"] == 2
    assert samples(together, "pretrain") == samples(alone, "pretrain") != []
    assert samples(together, "sft") == samples(alone, "sft") != []
    assert made(together) == made(alone), "the number of processes is no part of what is made"


@pytest.mark.parametrize(
    "settings",
    [
        {"pretrain.replicate": 2, "pretrain.activation_checkpointing": "layer"},  # HSDP
        {"pretrain.tensor_parallel": 2},
    ],
    ids=["copies", "slices"],
)
def test_so_they_do_however_they_share(
    train: Train, alone: Run, settings: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    run = train(request.node.callspec.id, nproc=2, **settings)
    assert run.status()["exit_code"] == 0, run.status()["error"]
    check_equal(run, alone)
    assert samples(run, "pretrain") == samples(alone, "pretrain")


@pytest.mark.parametrize(
    "settings",
    [
        {"pretrain.ema_decay": 0.9, "pretrain.optimizer": "adafactor", "pretrain.learning_rate": 0.05},
        {"pretrain.optimizer": "adafactor", "pretrain.tensor_parallel": 2},
        {**OWN_PARTS, "pretrain.tensor_parallel": 2, "pretrain.ema_decay": 0.9},
        {**OWN_PARTS, "pretrain.replicate": 2, "pretrain.average_last": 0.7},
    ],
    ids=[
        "average-and-adafactor",
        "adafactor-of-slices",
        "own-parts-of-slices",
        "own-parts-of-copies",
    ],
)
def test_averages_tables_and_adafactor_are_those_of_one_process_whoever_goes_on(
    train: Train, settings: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    alone = train(f"{name}-alone", nproc=1, **settings)
    if name in ("average-and-adafactor", "own-parts-of-slices"):
        run = train(name, nproc=2, at=3, **settings)
        assert run.state() == "stopped", run.status()["error"]
        train(name, nproc=1, at=5, **settings)
    run = train(name, nproc=2, **settings)
    assert run.status()["exit_code"] == 0, run.status()["error"]
    check_equal(run, alone)
    check_tensors_equal(run, alone, share=1e-4)


def test_eight_bit_moments_are_cut_between_blocks(train: Train) -> None:
    """300 and 256 rows in two equal shards, then in three that are not, then whole again."""
    pytest.importorskip("torchao", reason="torchao is not installed")
    settings = {
        "pretrain.optimizer": "adamw8bit",
        "pretrain.learning_rate": 0.003,
        "model.hidden_size": 256,
        "model.intermediate_size": 256,
        "model.num_hidden_layers": 1,
    }
    alone = train("eight-bits-alone", nproc=1, **settings)
    assert train("eight-bits", nproc=2, at=3, **settings).state() == "stopped"
    assert train("eight-bits", nproc=3, at=5, **settings).state() == "stopped"
    run = train("eight-bits", nproc=1, **settings)
    assert run.status()["exit_code"] == 0, run.status()["error"]
    # A moment beside the border between two codes may fall on its other side: hence not the tensors, and this much.
    check_equal(run, alone)


def test_float8_products_of_weights_in_shards(
    train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Rounded as one process rounds them, in torchao's emulation. Cut alike: a scale is of a micro-batch."""
    pytest.importorskip("torchao", reason="torchao is not installed")
    emulated = functools.partial(use_float8, emulate=True)
    monkeypatch.setattr(device, "require_float8", lambda device: None)
    monkeypatch.setattr(parallel, "use_float8", emulated)
    monkeypatch.setattr(working_model, "use_float8", emulated)
    (tmp_path / "sitecustomize.py").write_text(
        "import functools, os\n"
        "if os.environ.get('RANK') == '1':\n"
        "    from workbench.train import device, float8, parallel\n"
        "    device.require_float8 = lambda device: None\n"
        "    parallel.use_float8 = functools.partial(float8.use_float8, emulate=True)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    settings = {"pretrain.dtype": "float8", "pretrain.batch_tokens": 64, "pretrain.micro_batch_tokens": 32}
    alone = train("float8-alone", nproc=1, **settings)
    plain = train("float8-plain", nproc=1, **settings | {"pretrain.dtype": "bfloat16"})
    run = train("float8", nproc=2, **settings)
    assert run.status()["exit_code"] == 0, run.status()["error"]
    second = [("pretrain", 2, name) for name in ("loss", "grad_norm")]
    for key in second:
        assert figures(run)[key] == pytest.approx(figures(alone)[key], rel=1e-5)
        assert figures(plain)[key] != pytest.approx(figures(alone)[key], rel=2e-5)
    check_equal(run, alone, rel=0.05)  # roundings of 8 bits grow apart


def test_narrow_weights_are_gathered_narrow_and_stepped_wide(train: Train) -> None:
    """Cut alike, a micro-batch of one process is a process's share: what remains is the order of sums."""
    settings = {
        "pretrain.weights_dtype": "bfloat16",
        "pretrain.dtype": "bfloat16",
        "pretrain.batch_tokens": 64,
        "pretrain.micro_batch_tokens": 32,
        "pretrain.ema_decay": 0.9,
        "pretrain.activation_checkpointing": "layer",
    }
    alone = train("narrow-alone", nproc=1, **settings)
    run = train("narrow", nproc=2, **settings)
    assert run.status()["exit_code"] == 0, run.status()["error"]
    first = ("pretrain", 1, "loss")
    assert figures(run)[first] == pytest.approx(figures(alone)[first], rel=1e-5)
    check_equal(run, alone, rel=5e-3)
    found, expected = (last_tensors(each) for each in (run, alone))
    for name, tensor in expected.items():
        if "model.safetensors" in name or "weights." in name:  # of moments little is left after cancelling
            torch.testing.assert_close(found[name], tensor, rtol=0.02, atol=0.02 * float(tensor.abs().max()))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_compiled_layers_in_shards(
    train: Train, alone: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Traced and run as a program in both processes, without the C++ compiler; measuring stays uncompiled."""
    monkeypatch.setattr(working_model, "BACKEND", "aot_eager")
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "if os.environ.get('RANK') == '1':\n"
        "    from workbench.train import working_model\n"
        "    working_model.BACKEND = 'aot_eager'\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    torch._dynamo.reset()
    programs = torch._dynamo.utils.counters["stats"]
    programs.clear()
    run = train("compiled", nproc=2, **{"pretrain.compile": "always"})
    assert run.status()["exit_code"] == 0, run.status()["error"]
    assert 0 < programs["unique_graphs"] <= 8
    check_equal(run, alone)
    torch._dynamo.reset()


def test_one_process_never_loads_the_engine_for_many() -> None:
    code = (
        "import sys, workbench.stages.pretrain, workbench.stages.sft, workbench.stages.dpo\n"
        "assert not {'workbench.train.parallel', 'torch.distributed.fsdp'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
