"""What exists: immutable folders in a store, named by kind, label and fingerprint, with a manifest written last.

    store/checkpoint/pretrain-a81d0c44/          published: `manifest.json` is there and was written last
    store/checkpoint/.building-pretrain-a81d0c44/    being made by a run; what a killed run left is found again
    store/checkpoint/.lock-pretrain-a81d0c44     held by the process that makes it

A fingerprint is a digest of everything that can change the result (settings, inputs' fingerprints, the stage's
version), so equal fingerprints mean equal artifacts and a finished one is never made twice.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from workbench.errors import Damaged, NotFound
from workbench.files import (
    digest_bytes,
    digest_file,
    disk_errors_named,
    fsync_folder,
    is_locked,
    lock_file,
    make_folders,
    publish_folder,
    remove_folder,
    sweep,
    write_atomic,
)
from workbench.version import VERSION

KINDS = ("documents", "tokenizer", "tokens", "checkpoint", "scorecard", "package")
MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
# What a killed writer left behind is nobody's after an hour.
ABANDONED_SECONDS = 3600.0


def fingerprint_of(parts: Any) -> str:
    """A digest of plain data (numbers, strings, lists, dicts), 16 hex characters; key order does not matter."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return digest_bytes(text.encode())[:16]


@dataclasses.dataclass(frozen=True)
class ArtifactName:
    """Where an artifact lives in a store, whether or not it exists."""

    kind: str
    label: str
    fingerprint: str

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind

    @property
    def folder(self) -> str:
        """`LABEL-FINGERPRINT`, the last part of its path; eight characters of the fingerprint are shown."""
        return f"{self.label}-{self.fingerprint[:8]}"

    def __str__(self) -> str:
        return f"{self.kind}/{self.folder}"


class Store:
    """All artifacts of one home."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def folder(self, name: ArtifactName) -> Path:
        """Where the published artifact is, or will be."""
        return self.path / name.kind / name.folder

    def building(self, name: ArtifactName) -> Path:
        """Where a run makes it."""
        return self.path / name.kind / f".building-{name.folder}"

    def exists(self, name: ArtifactName) -> bool:
        """Whether it is published."""
        return (self.folder(name) / MANIFEST).is_file()

    def lock(self, name: ArtifactName) -> IO[str] | None:
        """The lock to make `name`, held while the returned file is open; None if another process makes it."""
        folder = self.path / name.kind
        make_folders(folder)
        with disk_errors_named(folder):
            return lock_file(folder / f".lock-{name.folder}")

    def is_being_made(self, name: ArtifactName) -> bool:
        """Whether a living process is making `name`."""
        return is_locked(self.path / name.kind / f".lock-{name.folder}")

    def start(self, name: ArtifactName) -> Path:
        """The folder to make `name` in, created if it is not there; needs the lock."""
        folder = self.building(name)
        make_folders(folder)
        return folder

    def rename_building(self, old: ArtifactName, new: ArtifactName) -> Path:
        """Let what is being made as `old` be made as `new`; needs both locks. Does nothing when it is done already."""
        if self.building(old).is_dir() and not self.building(new).exists():
            os.rename(self.building(old), self.building(new))
            fsync_folder(self.building(new).parent)
        return self.building(new)

    def publish(
        self,
        name: ArtifactName,
        *,
        stage: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        summary: Mapping[str, Any],
        family: str | None = None,
    ) -> Path:
        """Write the manifest of what lies in the building folder, last, and give the folder its name.

        family: the fingerprint but for how long it was trained, see extension.py.

        Raises NoSpace when the disk refuses; the artifact is then not there and what was made is kept.
        """
        building = self.building(name)
        manifest = {
            "version": MANIFEST_VERSION,
            "kind": name.kind,
            "fingerprint": name.fingerprint,
            **({} if family is None else {"family": family}),
            "stage": stage,
            "settings": dict(settings),
            "inputs": dict(inputs),
            "summary": dict(summary),
            "made_at": round(time.time(), 3),
            "versions": {"workbench": VERSION, "python": platform.python_version()},
            "files": describe_files(building),
        }
        write_atomic(building / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=True) + "\n")
        if not self.exists(name):  # a folder without its manifest is no artifact, whoever took it away
            remove_folder(self.folder(name))
        publish_folder(building, self.folder(name))
        return self.folder(name)

    def remove(self, name: ArtifactName) -> None:
        """Delete the artifact and whatever was left of making it; needs the lock."""
        remove_folder(self.folder(name))
        remove_folder(self.building(name))

    def sweep(self) -> None:
        """Clear away what killed processes were about to delete."""
        for kind in KINDS:
            sweep(self.path / kind, spare_seconds=ABANDONED_SECONDS)


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and digest of every file below `folder`, by relative path, its own top manifest left out."""
    files: dict[str, dict[str, Any]] = {}
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root) / name
            relative = path.relative_to(folder).as_posix()
            if relative != MANIFEST:
                files[relative] = {"bytes": path.stat().st_size, "digest": digest_file(path)}
    return files


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an artifact or checkpoint folder. Raises NotFound or Damaged."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        if not isinstance(manifest["files"], dict):
            raise ValueError("no file list")
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound("is not there", file=path, fix="run the recipe again to make it") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(
            f"is not a manifest ({error})", file=path, fix="run with --force STAGE to make it again"
        ) from None
    if manifest.get("version", 1) > MANIFEST_VERSION:
        raise Damaged("was written by a newer Workbench", file=path, fix="upgrade Workbench to read it")
    return dict(manifest)


def problems_of(folder: Path, *, at_a_glance: bool = False) -> list[str]:
    """What is wrong with the files of `folder` against its manifest, one line each; empty when all is well.

    at_a_glance: read only the files that were written after the manifest, which was written last. That finds what
    somebody did to a file, at once whatever its size, but not what a disk did to it.
    """
    problems = []
    made_at = (folder / MANIFEST).stat().st_mtime_ns if at_a_glance else 0
    for relative, facts in read_manifest(folder)["files"].items():
        path = folder / relative
        if ".." in Path(relative).parts or not path.is_file():
            problems.append(f"{path}: is missing")
        elif path.stat().st_size != facts["bytes"]:
            problems.append(f"{path}: has {path.stat().st_size} bytes, the manifest says {facts['bytes']}")
        elif path.stat().st_mtime_ns >= made_at and digest_file(path) != facts["digest"]:
            problems.append(f"{path}: its digest is not the one in the manifest")
    return problems


def verify(folder: Path, *, at_a_glance: bool = False) -> None:
    """Raise Damaged, naming the first file that is not what the manifest says."""
    problems = problems_of(folder, at_a_glance=at_a_glance)
    if problems:
        file, _, what = problems[0].partition(": ")
        stage = folder.name.rpartition("-")[0] or "STAGE"
        raise Damaged(
            what,
            file=file,
            fix=f"it was changed after it was made; run with --force {stage} to make it again",
        )
