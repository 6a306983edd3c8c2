"""A checkpoint that goes while it is read: the reference is looked up again, and only then."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from workbench import references
from workbench.artifacts import MANIFEST
from workbench.errors import Damaged, NotFound
from workbench.references import TRIES, Trained, open_checkpoint


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders of checkpoints; the last that is there is what every reference means."""
    folders = [tmp_path / f"step-{number:08}" for number in range(1, 9)]
    for folder in folders:
        folder.mkdir()
        (folder / MANIFEST).write_text("{}")

    def newest(reference: str, *, home: Path | None = None) -> Trained:
        there = [folder for folder in folders if folder.is_dir()]
        if not there:
            raise NotFound("no checkpoint yet")
        return Trained(there[0], reference, None)

    monkeypatch.setattr(references, "find_trained", newest)
    monkeypatch.setattr(references, "verify", lambda folder: None)
    return folders


def test_what_a_reference_means_is_read_once(steps: list[Path]) -> None:
    read: list[Path] = []
    assert open_checkpoint("run/sft", lambda folder: read.append(folder) or 7) == 7
    assert read == steps[:1]


@pytest.mark.parametrize("error", [NotFound("no such file"), Damaged("cut off"), FileNotFoundError("gone")])
def test_one_that_goes_while_it_is_read_is_looked_up_again(steps: list[Path], error: Exception) -> None:
    def read(folder: Path) -> str:
        if folder in steps[:2]:
            shutil.rmtree(folder)
            raise error
        return folder.name

    assert open_checkpoint("run/sft", read) == steps[2].name


def test_one_that_stays_and_cannot_be_read_is_told_at_once(steps: list[Path]) -> None:
    read: list[Path] = []

    def fail(folder: Path) -> None:
        read.append(folder)
        raise Damaged("cut off")

    with pytest.raises(Damaged):
        open_checkpoint("run/sft", fail)
    assert len(read) == 1


def test_a_run_that_is_taken_away_meanwhile_is_told_and_nobody_tries_for_ever(steps: list[Path]) -> None:
    read: list[Path] = []

    def fail(folder: Path) -> None:
        read.append(folder)
        shutil.rmtree(folder)
        raise FileNotFoundError(str(folder))

    with pytest.raises(FileNotFoundError):
        open_checkpoint("run/sft", fail)
    assert len(read) == TRIES


def test_a_folder_of_somebody_else_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    def fail(folder: Path) -> None:
        raise NotFound("has no weights")

    assert open_checkpoint(str(tmp_path), lambda folder: folder) == tmp_path
    with pytest.raises(NotFound):
        open_checkpoint(str(tmp_path), fail)
