"""Checkpoints as folders: a name that exists only when its content is whole, found again and checked.

    FOLDER/                         of one training stage
      step-00000200/                a complete Hugging Face folder, and
        training/state.safetensors    the optimizer and the random numbers; or in parts, see tensor_files.py
        training/state.json           step, tokens, best…
        manifest.json                 size and digest of every file; written last
      step-00000400/
      damaged-step-00000600/        failed its digests; set aside, never deleted, never used
      summary.json                  {"last": 400, "best": 200}, when the training is done

Knows files and digests; no tensors, no torch.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from workbench.errors import BadInput, Damaged, NotFound
from workbench.files import digest_file, fsync_folder, remove_folder, sweep, write_atomic
from workbench.tensor_files import MODEL, STATE_NUMBERS, STATE_TENSORS, index_name, tensor_files

MANIFEST = "manifest.json"
MANIFEST_FORMAT = 1
SUMMARY = "summary.json"
REQUIRED = ("config.json", MODEL, STATE_TENSORS, STATE_NUMBERS)
"""Of the tensors an index of their parts will do."""

_STEP_FOLDER = re.compile(r"step-([0-9]{8,})")
_DAMAGED_PREFIX = "damaged-"


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """The newest whole checkpoint. `set_aside` says, a line each, which newer ones were damaged."""

    folder: Path
    step: int
    set_aside: tuple[str, ...] = ()


def step_folder(folder: Path, step: int) -> Path:
    """Where the checkpoint after `step` updates is, or will be."""
    return folder / f"step-{step:08d}"


def steps_in(folder: Path) -> list[int]:
    """The steps there are checkpoints of, oldest first."""
    names = [_STEP_FOLDER.fullmatch(entry.name) for entry in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(match[1]) for match in names if match)


def latest_good(folder: Path) -> Found | None:
    """The newest checkpoint whose every file is as its manifest says; None when there never was one.

    Newer, damaged ones are renamed to `damaged-…`. Also clears away what killed writers left.
    Raises Damaged, with the list, when there are checkpoints and not one is good: starting from scratch in
    silence would throw the training away.
    """
    sweep(folder)
    problems: dict[Path, str] = {}
    for step in reversed(steps_in(folder)):
        candidate = step_folder(folder, step)
        problem = damage(candidate)
        if problem is None:
            for bad in problems:
                _set_aside(bad)
            return Found(candidate, step, tuple(problems.values()))
        problems[candidate] = f"{candidate.name}: {problem}"
    if problems:
        raise Damaged(
            f"every checkpoint is damaged ({'; '.join(problems.values())})",
            file=folder,
            fix="`workbench run RECIPE --force STAGE` starts the stage over",
        )
    return None


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, in a few words; None when every file is as its manifest says.

    Raises BadInput when a newer version of this program wrote it.
    """
    try:
        files = read_manifest(checkpoint)
    except Damaged as error:
        return error.message
    for name in REQUIRED:
        if name not in files and index_name(name) not in files:
            return f"{MANIFEST} does not list {name}"
    for name, entry in files.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if (size := path.stat().st_size) != entry["bytes"]:
            return f"{name} has {size} bytes instead of {entry['bytes']}"
        if digest_file(path) != entry["digest"]:
            return f"{name} is not what was written (its digest differs)"
    return None


def read_manifest(checkpoint: Path) -> dict[str, dict[str, Any]]:
    """The files of a checkpoint, each with its `bytes` and `digest`, by path. Raises Damaged, BadInput."""
    path = checkpoint / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        written_by: object = manifest["format"]
        files: dict[str, dict[str, Any]] = dict(manifest["files"])
        named_well = all(
            isinstance(entry["bytes"], int) and isinstance(entry["digest"], str) and _is_inside(name)
            for name, entry in files.items()
        )
    except FileNotFoundError:
        raise Damaged(f"{MANIFEST} is missing", file=path) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Damaged(f"{MANIFEST} cannot be read", file=path) from None
    if written_by != MANIFEST_FORMAT:
        raise BadInput(
            f"format {written_by!r} is not known to this version", file=path, fix="update workbench"
        )
    if not named_well:
        raise Damaged(f"{MANIFEST} names files it should not", file=path)
    return files


def training_files(checkpoint: Path) -> list[str]:
    """The files of the state of a training that are in a folder. Raises Damaged when their index cannot be read."""
    numbers = [STATE_NUMBERS] if (checkpoint / STATE_NUMBERS).is_file() else []
    return [*numbers, *tensor_files(checkpoint, STATE_TENSORS)]


def write_manifest(building: Path, *, step: int, known: Mapping[str, dict[str, Any]] | None = None) -> int:
    """Write the manifest over all files of `building`; gives their bytes. The last file of a checkpoint.

    known: the entries of files whose writers counted and digested them; the others are read here.
    Not durable by itself: `publish_folder` makes the whole folder so before it gives it its name.
    """
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(building.rglob("*")):
        name = path.relative_to(building).as_posix()
        if path.is_file() and name != MANIFEST:
            told = (known or {}).get(name)
            files[name] = told or {"bytes": path.stat().st_size, "digest": digest_file(path)}
    manifest = {"kind": "checkpoint-step", "format": MANIFEST_FORMAT, "step": step, "files": files}
    write_atomic(building / MANIFEST, json.dumps(manifest, indent=1) + "\n", durable=False)
    return sum(entry["bytes"] for entry in files.values())


def prune(folder: Path, *, keep_last: int, keep: Collection[int | None] = ()) -> None:
    """Delete all but the newest `keep_last` checkpoints and those of the steps in `keep`."""
    assert keep_last >= 1
    for step in steps_in(folder)[:-keep_last]:
        if step not in keep:
            remove_folder(step_folder(folder, step))


def write_summary(folder: Path, *, last: int, best: int) -> None:
    """Say which checkpoint is the last and which the best, once the training is done."""
    write_atomic(folder / SUMMARY, json.dumps({"last": last, "best": best}) + "\n")


def finished_checkpoint(folder: Path, which: Literal["last", "best"] = "best") -> Path:
    """The folder of the last or best checkpoint of a finished training. Raises NotFound, Damaged."""
    path = folder / SUMMARY
    try:
        step = json.loads(path.read_bytes())[which]
        chosen = step_folder(folder, int(step))
    except FileNotFoundError:
        raise NotFound("there is no finished training here", file=folder) from None
    except (ValueError, KeyError, TypeError):
        raise Damaged(f"{SUMMARY} cannot be read", file=path) from None
    if not chosen.is_dir():
        raise NotFound(f"the {which} checkpoint {chosen.name} is not there", file=folder)
    return chosen


def _is_inside(name: str) -> bool:
    return bool(name) and not Path(name).is_absolute() and ".." not in Path(name).parts


def _set_aside(checkpoint: Path) -> None:
    name, count = f"{_DAMAGED_PREFIX}{checkpoint.name}", 1
    while (target := checkpoint.with_name(name)).exists():
        count += 1
        name = f"{_DAMAGED_PREFIX}{checkpoint.name}-{count}"
    checkpoint.rename(target)
    fsync_folder(checkpoint.parent)
