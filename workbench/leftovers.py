"""What in a home can go: artifacts that no run refers to, what killed processes left behind, caches.

A run refers to every artifact that its plan or recipe names, and those to what they were made of. It does not matter
in which state the run is: a finished one is its results, a stopped or crashed one goes on from them. Names are looked
for as the hexadecimal digits of their fingerprints, anywhere in the text, so that a plan of another version, or one
that is damaged, keeps what it names too. Knows nothing of other homes.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.artifacts import ABANDONED_SECONDS, KINDS, MANIFEST, ArtifactName, Store, read_manifest
from workbench.errors import WorkbenchError
from workbench.files import TEMPORARY_PREFIX, TRASH_PREFIX, disk_errors_named, remove_folder
from workbench.runs import Run, list_runs

Kind = Literal["artifact", "build", "remains", "cache"]
CACHES = {
    "corpus": "clean text and figures of blocks; a corpus takes longer without",
    "compiled": "what torch compiled; a training starts later without",
}
"""The folders of cache/ that can go, and what each is."""
BUILDING_PREFIX = ".building-"
_SHOWN_DIGITS = 8  # of a fingerprint, in the name of an artifact's folder
_DIGITS = re.compile(rb"[0-9a-f]{8,}")
_ARTIFACT = re.compile(r"^(?P<label>.+)-(?P<digits>[0-9a-f]{8})$")


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that can go, and what it is. `name`: of an artifact or of what is being made."""

    kind: Kind
    path: Path
    num_bytes: int
    why: str
    name: ArtifactName | None = None


def leftovers(home: Path, *, caches: bool = True) -> list[Leftover]:
    """All that can go, the largest first of each kind. Caches only where no run is at work."""
    found = [*_of_store(home), *_remains(home), *(_caches(home) if caches else ())]
    order = ("artifact", "build", "remains", "cache")
    return sorted(found, key=lambda each: (order.index(each.kind), -each.num_bytes, each.path))


def remove(home: Path, leftover: Leftover) -> bool:
    """Delete it unless somebody has come to need it since it was listed; whether it is gone."""
    if leftover.name is None:
        if leftover.kind == "cache" and working(home):
            return False
        _delete(leftover.path)
        return not os.path.lexists(leftover.path)
    store = Store(home / "store")
    lock = store.lock(leftover.name)
    if lock is None:
        return False
    with lock:
        if leftover.name.fingerprint in _referred(home):
            return False
        with disk_errors_named(leftover.path):
            remove_folder(leftover.path)
    return not os.path.lexists(leftover.path)


def working(home: Path) -> list[Run]:
    """The runs that a process works on now."""
    return [run for run in list_runs(home) if run.is_alive() or run.state() == "pending"]


def _of_store(home: Path) -> Iterator[Leftover]:
    """Artifacts, and folders in which one was being made, that no run refers to."""
    store, referred = Store(home / "store"), _referred(home)
    for kind in KINDS:
        for entry in _entries(store.path / kind):
            is_building = entry.name.startswith(BUILDING_PREFIX)
            parts = _ARTIFACT.match(entry.name.removeprefix(BUILDING_PREFIX))
            if parts is None or not entry.is_dir() or parts["digits"] in referred:
                continue
            if not is_building and not (entry / MANIFEST).is_file():
                continue  # nothing of ours
            name = ArtifactName(kind, parts["label"], parts["digits"])
            if store.is_being_made(name):
                continue
            if is_building:
                yield Leftover("build", entry, size_of(entry), "begun, and no run goes on with it", name)
            else:
                yield Leftover("artifact", entry, size_of(entry), "no run refers to it", name)


def _referred(home: Path) -> set[str]:
    """The first digits of the fingerprints that runs name, and of what those artifacts were made of."""
    referred: set[str] = set()
    runs = home / "runs"
    for entry in _entries(runs):  # also one whose plan is gone or is just being written
        for file in ("plan.json", "recipe.toml", "status.json"):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                referred |= _digits_in((entry / file).read_bytes())
    made_of = {
        entry.name.rpartition("-")[2]: _inputs(entry)
        for kind in KINDS
        for entry in _entries(home / "store" / kind)
        if _ARTIFACT.match(entry.name)
    }
    waiting = list(referred)
    while waiting:
        new = made_of.get(waiting.pop(), set()) - referred
        referred |= new
        waiting += new
    return referred


def _inputs(folder: Path) -> set[str]:
    """What an artifact says it was made of; nothing where its manifest cannot be read."""
    with contextlib.suppress(WorkbenchError, OSError):
        return _digits_in(str(read_manifest(folder).get("inputs")).encode())
    return set()


def _digits_in(text: bytes) -> set[str]:
    return {found[:_SHOWN_DIGITS].decode() for found in _DIGITS.findall(text)}


def _remains(home: Path) -> Iterator[Leftover]:
    """What killed processes were writing or deleting, in the places where they do."""
    newest = time.time() - ABANDONED_SECONDS
    for folder in (home / "runs", *(home / "store" / kind for kind in KINDS)):
        for entry in _entries(folder):
            is_trash = entry.name.startswith(TRASH_PREFIX)
            if is_trash or entry.name.startswith(TEMPORARY_PREFIX):
                with contextlib.suppress(FileNotFoundError):
                    if is_trash or entry.lstat().st_mtime <= newest:
                        yield Leftover("remains", entry, size_of(entry), "left by a process that was killed")


def _caches(home: Path) -> Iterator[Leftover]:
    if working(home):
        return
    for name, what in CACHES.items():
        folder = home / "cache" / name
        if folder.is_dir() and not folder.is_symlink() and any(folder.iterdir()):
            yield Leftover("cache", folder, size_of(folder), what)


def _entries(folder: Path) -> list[Path]:
    """What lies in `folder`, in order; no links, which somebody put there."""
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.is_symlink())
    except (FileNotFoundError, NotADirectoryError):
        return []


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files below a folder; links are not followed, and what vanishes is nothing."""
    total = 0
    for root, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_size
    if not path.is_dir():
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total


def _delete(path: Path) -> None:
    with disk_errors_named(path):
        if path.is_dir():
            remove_folder(path)
        else:
            path.unlink(missing_ok=True)
