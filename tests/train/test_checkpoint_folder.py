"""Checkpoints as folders: damage is noticed, said, set aside, and never quietly replaced by nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.errors import BadInput, Damaged, NotFound
from workbench.train.checkpoint_folder import (
    MANIFEST,
    REQUIRED,
    damage,
    finished_checkpoint,
    latest_good,
    prune,
    step_folder,
    steps_in,
    write_manifest,
    write_summary,
)


def write_checkpoint(folder: Path, step: int) -> Path:
    checkpoint = step_folder(folder, step)
    (checkpoint / "training").mkdir(parents=True)
    for name in REQUIRED:
        (checkpoint / name).write_text(f"{name} of step {step}")
    write_manifest(checkpoint, step=step)
    return checkpoint


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


DAMAGES: dict[str, Callable[[Path], None]] = {"bit": flip_a_bit, "cut": truncate, "missing": Path.unlink}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", REQUIRED)
def test_any_damage_to_any_file_makes_the_previous_one_the_latest(
    tmp_path: Path, name: str, how: str
) -> None:
    for step in (1, 2, 3):
        write_checkpoint(tmp_path, step)
    DAMAGES[how](step_folder(tmp_path, 3) / name)
    found = latest_good(tmp_path)
    assert found is not None
    assert (found.step, found.folder) == (2, step_folder(tmp_path, 2))
    (line,) = found.set_aside
    assert "step-00000003" in line and name in line
    assert (tmp_path / "damaged-step-00000003").is_dir()
    assert latest_good(tmp_path).set_aside == ()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "manifest",
    [None, b"", b"[]", b'{"format": 1}', b'{"format": 1, "files": {"../../x": {"bytes": 1, "digest": ""}}}'],
)
def test_a_checkpoint_without_a_whole_manifest_is_damaged(tmp_path: Path, manifest: bytes | None) -> None:
    path = write_checkpoint(tmp_path, 1) / MANIFEST
    path.unlink()
    if manifest is not None:
        path.write_bytes(manifest)
    assert MANIFEST in str(damage(path.parent))


def test_a_manifest_of_a_newer_version_is_refused_not_guessed(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, 1) / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(BadInput, match="update workbench"):
        latest_good(tmp_path)
    assert steps_in(tmp_path) == [1]


def test_when_all_are_damaged_it_never_starts_from_scratch(tmp_path: Path) -> None:
    for step in (1, 2):
        truncate(write_checkpoint(tmp_path, step) / "config.json")
    for _ in range(2):  # a second try says the same
        with pytest.raises(Damaged, match=r"step-00000002.*step-00000001"):
            latest_good(tmp_path)


def test_what_killed_writers_left_is_cleared_and_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / ".tmp-step-00000007-abcd").mkdir()
    (tmp_path / ".trash-step-00000001-abcd").mkdir()
    assert latest_good(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    assert latest_good(tmp_path / "not there") is None


def test_damaged_folders_of_one_name_stand_side_by_side(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1)
    for _ in range(2):
        truncate(write_checkpoint(tmp_path, 2) / "config.json")
        latest_good(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "step-00000001", "damaged-step-00000002", "damaged-step-00000002-2"
    }  # fmt: skip


def test_prune_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4, 5):
        write_checkpoint(tmp_path, step)
    prune(tmp_path, keep_last=2, keep={2})
    assert steps_in(tmp_path) == [2, 4, 5]


def test_the_finished_training_says_which_is_best(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        finished_checkpoint(tmp_path)
    write_checkpoint(tmp_path, 4)
    write_summary(tmp_path, last=4, best=2)
    assert finished_checkpoint(tmp_path, "last") == step_folder(tmp_path, 4)
    with pytest.raises(NotFound, match="step-00000002"):
        finished_checkpoint(tmp_path, "best")
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(Damaged):
        finished_checkpoint(tmp_path)
