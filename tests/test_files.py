from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import files
from workbench.errors import BadInput, NoSpace


def test_write_atomic_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_atomic(path, "one")
    files.write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a.json"]


def test_write_atomic_on_a_full_disk_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    files.write_atomic(path, "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpace, match=r"a\.json"):
        files.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_publish_folder_syncs_before_it_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    rename, fsync = os.rename, os.fsync
    monkeypatch.setattr(os, "rename", lambda a, b: (calls.append("rename"), rename(a, b)))
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd)))
    building = tmp_path / ".building"
    (building / "inner").mkdir(parents=True)
    (building / "inner" / "file").write_text("x")
    files.publish_folder(building, tmp_path / "final")
    assert (tmp_path / "final" / "inner" / "file").read_text() == "x"
    # file, inner folder, building folder; then the rename; then the parent.
    assert calls == ["fsync", "fsync", "fsync", "rename", "fsync"]


def test_publish_folder_never_replaces(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(FileExistsError):
        files.publish_folder(tmp_path / "a", tmp_path / "b")


def test_publish_folder_honours_the_umask(tmp_path: Path) -> None:
    building = tmp_path / "a"
    building.mkdir()
    (building / "secretive").touch(mode=0o600)
    before = os.umask(0o022)
    try:
        files.publish_folder(building, tmp_path / "b")
    finally:
        os.umask(before)
    assert (tmp_path / "b" / "secretive").stat().st_mode & 0o777 == 0o644


def test_sweep_removes_only_what_killed_writers_left(tmp_path: Path) -> None:
    (tmp_path / ".tmp-x").mkdir()
    (tmp_path / ".tmp-x" / "f").touch()
    (tmp_path / ".trash-y").touch()
    (tmp_path / "kept").touch()
    files.sweep(tmp_path)
    assert os.listdir(tmp_path) == ["kept"]


def test_a_lock_is_seen_and_freed_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    assert not files.is_locked(path)
    held = files.lock_file(path)
    assert held is not None
    assert files.is_locked(path)
    assert files.lock_file(path, wait_seconds=0) is None
    held.close()
    assert not files.is_locked(path)


@pytest.mark.parametrize(
    ("text", "value"), [("2M", 2_000_000), ("1.5k", 1500), ("7", 7), ("3B", 3 * 10**9), (12, 12)]
)
def test_counts(text: str | int, value: int) -> None:
    assert files.parse_count(text) == value


@pytest.mark.parametrize("text", ["", "M", "-3", "1e6", "nan", "2 Mx"])
def test_bad_counts_say_what_to_write(text: str) -> None:
    with pytest.raises(BadInput, match="write a number"):
        files.parse_count(text)


def test_bytes() -> None:
    assert files.parse_bytes("32MB") == 32_000_000
    assert files.parse_bytes("1 GiB") == 10**9


@given(st.integers(0, 10**15))
def test_human_sizes_are_short_and_near(value: int) -> None:
    text = files.human_count(value)
    assert len(text) <= 6
    unit = {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}.get(text[-1], 1)
    number = float(text.rstrip("kMBT")) * unit
    assert number == pytest.approx(value, rel=0.006)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4s"), (12, "12s"), (75, "1m 15s"), (9930, "2h 45m"), (260_000, "3d 0h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert files.human_duration(seconds) == text


@pytest.mark.parametrize(
    ("kilowatt_hours", "text"), [(2.64, "2.6 kWh"), (0.0123, "12.3 Wh"), (8e-5, "0.08 Wh"), (0.0, "0 Wh")]
)
def test_energy_for_people(kilowatt_hours: float, text: str) -> None:
    assert files.human_energy(kilowatt_hours) == text


def test_the_umask_is_read_and_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0o027)
    try:
        assert files._umask() == 0o027
        monkeypatch.setattr(files, "_SELF", Path("/nowhere"))  # where the kernel does not tell
        assert files._umask() == 0o027
    finally:
        assert os.umask(before) == 0o027
