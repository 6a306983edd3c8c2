"""A checkpoint that all ranks write, each what it holds: as good as single files, whoever goes on with it."""

from __future__ import annotations

import os
import re
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.ranks.compared import check_equal, check_tensors_equal, last_tensors, texts
from tests.ranks.training import Train
from workbench.audit import TRAINED_FILES
from workbench.files import free_bytes
from workbench.model.export import export_hf
from workbench.model.stored_weights import StoredWeights
from workbench.runs import Run
from workbench.stages import checkpoints
from workbench.train import parallel, snapshot
from workbench.train.checkpoint_folder import (
    damage,
    finished_checkpoint,
    latest_good,
    read_manifest,
    steps_in,
)
from workbench.train.together import share_out, take_turns

WEIGHTS = {
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
}
STATE = {
    "state-00001-of-00002.safetensors",
    "state-00002-of-00002.safetensors",
    "state.safetensors.index.json",
    "state.json",
}

GPT2 = {"model.architecture": "gpt2", "model.num_key_value_heads": 4, "pretrain.optimizer": "adamw"}


@pytest.fixture(autouse=True)
def however_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a checkpoint is written in is the first rank's to say."""
    monkeypatch.setattr(checkpoints, "IN_PARTS_FROM_BYTES", 0)


@pytest.fixture
def rank_1_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Lets the second process do something when it opens a file to write tensors into: `path` is there."""

    def change(code: str) -> None:
        (tmp_path / "sitecustomize.py").write_text(
            "import os, signal\n"
            "if os.environ.get('RANK') == '1':\n"
            "    from workbench.errors import TrainingDiverged\n"
            "    from workbench.train import tensor_writer\n"
            "    opens, seen = tensor_writer.TensorWriter.__init__, []\n"
            "    def init(self, path, tensors):\n"
            "        opens(self, path, tensors)\n"
            f"        {code}\n"
            "    tensor_writer.TensorWriter.__init__ = init\n"
        )
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))

    return change


def folder_of(run: Run) -> Path:
    """Of the checkpoints of pretraining, finished or not."""
    folders = (run.home / "store" / "checkpoint").glob("*pretrain-*")
    (folder,) = (folder for folder in folders if folder.is_dir())
    return folder


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The most bytes of tensors that had come together, or been read, and were still there when the next one came."""
    there: list[weakref.ref[Tensor]] = []
    most = [0]

    def counted(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def make_and_count(*arguments: Any) -> Tensor:
            made = make(*arguments)
            there.append(weakref.ref(made))
            most[0] = max(most[0], sum(each.nbytes for ref in there if (each := ref()) is not None))
            return made

        return make_and_count

    def never(*_: object) -> None:
        raise AssertionError("nobody is to hold the whole")

    monkeypatch.setattr(parallel, "whole", counted(parallel.whole))
    monkeypatch.setattr(StoredWeights, "read", counted(StoredWeights.read))
    monkeypatch.setattr(parallel.ManyRanks, "gather", never)
    monkeypatch.setattr("workbench.train.ranks.load_model", never)
    return most


def test_parts_hold_to_the_bit_what_single_files_hold_and_others_load_them(
    train: Train, together: Run, alive: list[int], tmp_path: Path
) -> None:
    assert train("parts", nproc=2, at=5).state() == "stopped"
    run = train("parts", nproc=2)
    assert "resuming at step 5: exact" in texts(run, "note"), run.status()["error"]
    found, expected = last_tensors(run), last_tensors(together)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name

    largest = max(tensor.numel() * 4 for tensor in expected.values())
    assert 0 < alive[0] <= 2 * largest, (
        "of the whole no rank has more than its own tensor and the one that comes"
    )
    last = finished_checkpoint(folder_of(run), "last")
    assert {path.name for path in last.iterdir() if "safetensors" in path.name} == WEIGHTS
    assert {path.name for path in (last / "training").iterdir()} == STATE
    trained = {Path(name).name for name in read_manifest(last) if TRAINED_FILES.fullmatch(name)}
    assert trained == WEIGHTS | STATE - {"state.json"}

    checked = export_hf(last, tmp_path / "out", check_with_transformers=True)
    assert checked.checked_with == ("workbench", "transformers")
    assert {path.name for path in checked.folder.iterdir()} > WEIGHTS

    for number, name in enumerate([*WEIGHTS, *(f"training/{name}" for name in STATE)]):
        copy = tmp_path / f"{number}" / last.name
        shutil.copytree(last, copy)
        (copy / name).write_bytes((copy / name).read_bytes()[:-1] + b"x")
        told = damage(copy)
        assert told is not None and name in told and "\n" not in told
        (copy / name).unlink()
        assert damage(copy) == f"{name} is missing"


@pytest.mark.parametrize(
    "settings",
    [{"pretrain.ema_decay": 0.9}, GPT2],
    ids=["llama", "gpt2"],
)
def test_slices_shards_copies_and_one_process_go_on_with_each_others_parts(
    train: Train, settings: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    alone = train(f"{name}-alone", nproc=1, **settings)
    run = train(name, nproc=4, at=2, **settings, **{"pretrain.tensor_parallel": 2})
    assert run.state() == "stopped", run.status()["error"]
    assert (folder_of(run) / "step-00000002" / "training" / "state-00004-of-00004.safetensors").is_file()
    if name == "llama":
        train(name, nproc=2, at=4, **settings)
        train(name, nproc=1, at=5, **settings)
        train(name, nproc=2, at=6, **settings, **{"pretrain.replicate": 2})
        train(name, nproc=1, **settings)
    run = train(name, nproc=2, **settings)
    assert run.status()["exit_code"] == 0, run.status()["error"]
    check_equal(run, alone)
    # To softmax a bias of all keys is nothing: its gradient is rounding, which AdamW makes steps of.
    check_tensors_equal(run, alone, share=1e-4, but=("k_proj.bias", "c_attn.bias"))


def test_moments_of_eight_bits_and_their_scales_are_written_in_blocks(train: Train) -> None:
    pytest.importorskip("torchao", reason="torchao is not installed")
    settings = {
        "pretrain.optimizer": "adamw8bit",
        "pretrain.learning_rate": 0.003,
        "model.hidden_size": 256,
        "model.intermediate_size": 256,
        "model.num_hidden_layers": 1,
    }
    alone = train("eight-parts-alone", nproc=1, **settings)
    assert train("eight-parts", nproc=3, at=3, **settings).state() == "stopped"
    assert train("eight-parts", nproc=2, at=5, **settings).state() == "stopped"
    run = train("eight-parts", nproc=1, **settings)
    assert run.status()["exit_code"] == 0, run.status()["error"]
    check_equal(run, alone)


def test_a_rank_that_is_killed_while_it_writes_leaves_the_checkpoint_before(
    train: Train, alone: Run, rank_1_has: Callable[[str], None]
) -> None:
    rank_1_has("'step-00000004' in str(path) and os.kill(os.getpid(), signal.SIGKILL)")
    run = train("killed-writing", nproc=2, **{"pretrain.keep_every_steps": 2})
    assert run.status()["error"].startswith("rank 1 was killed by SIGKILL; run the same command again")
    found = latest_good(folder_of(run))
    assert found is not None and found.set_aside == ()
    assert found.step in (2, 3), "the clock may have asked for one after step 3"
    assert not list(folder_of(run).glob("*step-00000004*"))
    train("killed-writing", nproc=1, **{"pretrain.keep_every_steps": 2})
    check_equal(run, alone)


def test_what_is_not_finite_on_one_rank_is_written_by_none_and_a_full_disk_is_waited_for(
    train: Train, rank_1_has: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    rank_1_has(
        "if 'step-00000004' in str(path) and not seen: seen.append(1); raise TrainingDiverged('m is not finite')"
    )
    free = iter([10])
    monkeypatch.setattr(snapshot, "free_bytes", lambda folder: next(free, None) or free_bytes(folder))
    run = train("diverged", nproc=2, **{"pretrain.keep_every_steps": 2})
    assert run.status()["exit_code"] == 0, run.status()["error"]
    warnings = texts(run, "warning")
    assert re.search("m is not finite: went back from step 4 to the checkpoint of step [23];", warnings)
    assert "the disk is full: a checkpoint needs" in warnings
    assert {2, 4, 6, 8} <= set(steps_in(folder_of(run)))


def test_a_block_is_written_by_one_of_its_holders_and_all_write_about_as_much() -> None:
    first, second = ((0, 0), (2, 4)), ((2, 0), (2, 4))
    everywhere = ((), ())
    places = [
        {"a": first, "b": first, "step": everywhere, "random": ((0,), (9,))},
        {"a": second, "b": second, "step": everywhere},
        {"a": first, "b": first, "step": everywhere},
        {"a": second, "b": second, "step": everywhere},
    ]
    shares = share_out(places)
    assert shares == [["a", "step", "random"], ["a"], ["b"], ["b"]]
    assert share_out([{"a": ((0,), (4,))}, {"a": ((4,), (0,))}]) == [["a"], []], "nothing is not written"


def test_whole_tensors_fall_to_ranks_in_turn_the_largest_first() -> None:
    assert take_turns({"a": 1, "b": 9, "c": 8, "d": 1, "e": 2}, 2) == [["b", "c"], ["e", "a"], ["d"]]
