"""Which files the tensors of a folder lie in: one safetensors file, or parts of it and an index that names them.

    model.safetensors                  or      model.safetensors.index.json, model-00001-of-00004.safetensors, …
    training/state.safetensors         or      training/state.safetensors.index.json, training/state-00001-of-…

The parts of a model are divided by tensors, as everybody's are; those of a training's state may divide a tensor too
(train/state_files.py). Knows names and indexes; no tensors.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from workbench.hf_values import read_json_object

MODEL = "model.safetensors"
STATE_TENSORS = "training/state.safetensors"
STATE_NUMBERS = "training/state.json"
"""The rest of a training's state: no tensors."""
MAX_INDEX_BYTES = 100_000_000


def index_name(single: str) -> str:
    """The name of the index of the parts that stand in the place of `single`."""
    return f"{single}.index.json"


def part_name(single: str, number: int, count: int) -> str:
    """The name of part `number`, from 1 on, of `count`: as Hugging Face has it."""
    path = PurePosixPath(single)
    return str(path.with_name(f"{path.stem}-{number:05d}-of-{count:05d}{path.suffix}"))


def tensor_files(folder: Path, single: str) -> list[str]:
    """The files in `folder` that hold what `single` is the name for, the index first; none where there is nothing.

    A part may be missing, and one that is named elsewhere is left out: whoever reads the tensors refuses both.
    Raises Damaged when there is an index that cannot be read.
    """
    if (folder / single).is_file():
        return [single]
    index = index_name(single)
    if not (folder / index).is_file():
        return []
    read = read_json_object(folder / index, most_bytes=MAX_INDEX_BYTES)
    places, files = read.get("weight_map"), read.get("files")
    named = places.values() if isinstance(places, dict) else files if isinstance(files, dict) else ()
    parts = {str(name) for name in named}
    beside = PurePosixPath(single).parent
    return [index, *(str(beside / name) for name in sorted(parts) if PurePosixPath(name).name == name)]
