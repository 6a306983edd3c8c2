"""Tensors written one after the other, whole or in blocks, and read by any block; what does not fit is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from workbench.errors import Damaged
from workbench.files import digest_file
from workbench.tensor_files import STATE_TENSORS, index_name, part_name, tensor_files
from workbench.train.state_files import index_text, open_state
from workbench.train.tensor_writer import TensorWriter

MATRIX = torch.arange(35.0).view(7, 5)
CUTS = [(slice(0, 3), slice(0, 5)), (slice(3, 7), slice(0, 2)), (slice(3, 7), slice(2, 5))]
INDEX = index_name(STATE_TENSORS)
FIRST, SECOND, THIRD = (part_name(STATE_TENSORS, number, 3) for number in (1, 2, 3))


def write(path: Path, tensors: dict[str, Tensor]) -> dict[str, Any]:
    path.parent.mkdir(exist_ok=True)
    kinds = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    with TensorWriter(path, kinds) as writer:
        for name, tensor in tensors.items():
            writer.add(name, tensor)
        return writer.finish()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A matrix in three blocks, a count in the first file, bytes in the second."""
    files: dict[str, dict[str, Tensor]] = {
        name: {"m": MATRIX[cut]} for name, cut in zip((FIRST, SECOND, THIRD), CUTS, strict=True)
    }
    files[FIRST] |= {"step": torch.tensor(4.0)}
    files[SECOND] |= {"random.cpu": torch.arange(9, dtype=torch.uint8)}
    starts = {name: {"m": [span.start for span in cut]} for name, cut in zip(files, CUTS, strict=True)}
    starts[FIRST]["step"], starts[SECOND]["random.cpu"] = [], [0]
    for name, tensors in files.items():
        write(tmp_path / name, tensors)
    kinds = {
        "m": (torch.float32, (7, 5)),
        "step": (torch.float32, ()),
        "random.cpu": (torch.uint8, (9,)),
    }
    text = index_text(kinds, {Path(name).name: each for name, each in starts.items()})
    (tmp_path / INDEX).write_text(text)
    return tmp_path


def test_a_file_written_tensor_by_tensor_is_what_the_library_reads(tmp_path: Path) -> None:
    tensors = {
        "turned": MATRIX.T,
        "none": torch.zeros(0, 4),
        "narrow": MATRIX.bfloat16(),
        "one": torch.tensor(3),
        "bytes": torch.arange(5, dtype=torch.uint8),
    }
    entry = write(tmp_path / "x.safetensors", tensors)
    read = load_file(tmp_path / "x.safetensors")
    assert {name: (each.dtype, each.shape) for name, each in read.items()} == {
        name: (each.dtype, each.shape) for name, each in tensors.items()
    }
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
    file = tmp_path / "x.safetensors"
    assert entry == {"bytes": file.stat().st_size, "digest": digest_file(file)}


@pytest.mark.parametrize("rows", [slice(0, 7), slice(0, 3), slice(2, 5), slice(6, 7), slice(4, 4)])
@pytest.mark.parametrize("columns", [slice(0, 5), slice(1, 3), slice(4, 5)])
def test_any_block_is_read_whichever_blocks_were_written(
    checkpoint: Path, tmp_path_factory: pytest.TempPathFactory, rows: slice, columns: slice
) -> None:
    single = tmp_path_factory.mktemp("single")
    write(single / STATE_TENSORS, {"m": MATRIX})
    for folder in (checkpoint, single):
        stored = open_state(folder)["m"]
        assert (stored.shape, stored.dtype) == (MATRIX.shape, torch.float32)
        assert torch.equal(stored[rows, columns], MATRIX[rows, columns])
        assert torch.equal(stored[()], MATRIX)


def test_what_has_no_dimensions_and_what_is_no_float_is_read_too(checkpoint: Path) -> None:
    state = open_state(checkpoint)
    assert float(state["step"][()]) == 4.0 and state["step"].shape == ()
    assert state["random.cpu"][()].tolist() == list(range(9))
    assert set(tensor_files(checkpoint, STATE_TENSORS)) == {INDEX, FIRST, SECOND, THIRD}


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(checkpoint: Path) -> None:
        index = json.loads((checkpoint / INDEX).read_text())
        change(index)
        (checkpoint / INDEX).write_text(json.dumps(index))

    return edit


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a part is missing": (lambda folder: (folder / SECOND).unlink(), "state-00002-of-00003"),
    "a part is cut": (lambda folder: (folder / THIRD).write_bytes(b"abc"), "state-00003-of-00003"),
    "no index": (lambda folder: (folder / INDEX).write_text("{"), "index"),
    "of another version": (edited(lambda index: index.update(format=2)), "another version"),
    "a part is not named": (
        edited(lambda index: index["files"].pop(Path(THIRD).name)),
        "m is not whole",
    ),
    "a block lies outside": (
        edited(lambda index: index["files"][Path(THIRD).name].update(m=[4, 2])),
        "not the block",
    ),
    "of another type": (edited(lambda index: index["tensors"]["m"].update(dtype="F16")), "not the block"),
    "a name leads elsewhere": (
        edited(lambda index: index["files"].update({"../x.safetensors": {}})),
        "does not fit",
    ),
    "no shape": (edited(lambda index: index["tensors"]["m"].pop("shape")), "does not fit"),
    "no start": (edited(lambda index: index["files"][Path(FIRST).name].pop("m")), "does not fit"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_what_does_not_fit_is_damaged_in_one_line(checkpoint: Path, what: str) -> None:
    damage, told = DAMAGES[what]
    damage(checkpoint)
    with pytest.raises(Damaged, match=told) as caught:
        open_state(checkpoint)
    assert "\n" not in str(caught.value) and "training" in str(caught.value)
