"""What a stage reads from outside the store, in numbers: names, sizes and digests of files.

Part of a stage's fingerprint, and looked at again when the stage runs: an artifact never claims to be made of
something else than it was, and a file that was only copied or touched is the same as before.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.corpus_reference import identity_of_corpus
from workbench.errors import BadInput, NoSpace
from workbench.files import digest_file, write_atomic
from workbench.recipe_fields import Table
from workbench.source_files import (
    BUILT_IN,
    DOCUMENT_SUFFIXES,
    EXAMPLE_SUFFIXES,
    HUB_PREFIX,
    files_of,
    readable_files_of,
)


class SourceDigests:
    """Digests of files, remembered in `home` by place, size and time of change, so that each is read once.

    A memory that cannot be read or written costs time and nothing else.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._file = home / "cache" / "source-digests.json"
        self._known: dict[str, str] | None = None
        self._learned: dict[str, str] = {}

    def of(self, file: Path) -> str:
        """The digest of the content of `file`."""
        facts = file.stat()
        key = f"{os.fsencode(file.absolute()).hex()} {facts.st_size} {facts.st_mtime_ns} {facts.st_ino}"
        if self._known is None:
            self._known = self._remembered()
        if key not in self._known:
            self._known[key] = self._learned[key] = digest_file(file)
        return self._known[key]

    def of_paths(self, files: Collection[Path]) -> dict[Path, set[tuple[int, str]]]:
        """Size and digest of every version of `files` that is remembered: they may be there no more."""
        paths = {os.fsencode(file.absolute()).hex(): file for file in files}
        versions: dict[Path, set[tuple[int, str]]] = {file: set() for file in files}
        for key, digest in (self._remembered() if self._known is None else self._known).items():
            path, size, *_ = key.split()
            if path in paths:
                versions[paths[path]].add((int(size), digest))
        return versions

    def keep(self) -> None:
        """Write down what was learned since the last time."""
        if self._learned and self.home.is_dir():
            with contextlib.suppress(OSError, NoSpace):
                self._file.parent.mkdir(exist_ok=True)
                everything = self._remembered() | self._learned  # another plan may have written meanwhile
                write_atomic(self._file, json.dumps(everything), durable=False)
                self._learned = {}

    def _remembered(self) -> dict[str, str]:
        try:
            known = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return {str(key): str(value) for key, value in known.items()} if isinstance(known, dict) else {}


def identity_of(
    stage: str, table: Table, *, folder: Path, packages: Sequence[Any], digests: SourceDigests
) -> list[Any]:
    """What `stage` will read, as it is now; plain data, an entry a file. Paths are relative to `folder`.

    `packages` is what `identity_of_packages` gave. Raises BadInput when a source is not there or cannot be read.
    """
    return [
        *_identity_of_sources(stage, table, folder, packages, digests),
        *identity_beside_sources(stage, table, folder=folder, packages=packages, digests=digests),
    ]


def _sources_of(stage: str, table: Table) -> Sequence[str]:
    if stage == "eval":
        return [task for task in getattr(table, "tasks", ()) if task.endswith((".jsonl", ".jsonl.gz"))]
    return getattr(table, "sources", ())


def _identity_of_sources(
    stage: str, table: Table, folder: Path, packages: Sequence[Any], digests: SourceDigests
) -> list[Any]:
    sources = _sources_of(stage, table)
    identity: list[Any] = []
    for source in sources:
        if source == BUILT_IN:
            identity.append([source, sys.version, list(packages)])
        elif source.startswith(HUB_PREFIX):
            identity.append(source)
        else:
            files = _files_of(stage, source, folder)
            identity += [_identity_of_file(source, file, digests) for file in files]
    return identity


def identity_beside_sources(
    stage: str, table: Table, *, folder: Path, packages: Sequence[Any], digests: SourceDigests
) -> list[Any]:
    """The end of `identity_of`: what a stage reads besides its sources."""
    identity: list[Any] = []
    for file in _files_beside_sources(table):
        identity.append(_identity_of_file(file, folder / file, digests))
    classifier = getattr(table, "classifier", None)
    for source in () if classifier is None else (*classifier.good, *classifier.bad):
        if source != BUILT_IN and not source.startswith(HUB_PREFIX):
            files = _files_of(stage, source, folder)
            identity += [_identity_of_file(source, file, digests) for file in files]
    decontamination = getattr(table, "decontamination", None)
    for name in () if decontamination is None else decontamination.against:
        # A set without a file is one of ours, made of the Python at hand.
        path = folder / name
        identity.append(
            _identity_of_file(name, path, digests) if path.is_file() else [name, sys.version, list(packages)]
        )
    for name in corpora_of(table):
        identity.append(identity_of_corpus(name, base=folder, home=digests.home))
    if stage == "eval" and BUILT_IN not in _sources_of(stage, table):
        identity.append(sys.version)
    return identity


def _files_of(stage: str, source: str, folder: Path) -> list[Path]:
    if stage == "corpus":
        return readable_files_of(source, base=folder, suffixes=DOCUMENT_SUFFIXES)[0]
    return files_of(source, base=folder, suffixes=EXAMPLE_SUFFIXES)


def _files_beside_sources(table: Table) -> list[str]:
    """Files that a [corpus] reads besides its sources: lists of words and ready models."""
    c4 = getattr(table, "c4", None)
    models = (getattr(getattr(table, name, None), "model", None) for name in ("language", "classifier"))
    return [*(() if c4 is None else c4.bad_words), *filter(None, models)]


def corpora_of(table: Table) -> Sequence[str]:
    """The corpora that are there already and that `table` has its documents compared with."""
    near = getattr(table, "near_duplicates", None)
    return () if near is None else tuple(near.against)


def identity_of_packages(packages: Sequence[str]) -> list[Any]:
    """The installed packages as they are now. Raises BadInput when one is not there."""
    return [_identity_of_package(package) for package in packages]


def without_unread(
    identity: Sequence[Any], unread: Mapping[tuple[str, Path], int], digests: SourceDigests
) -> list[Any]:
    """What was read, where of the files of `identity` those in `unread` were not: (source, file) -> bytes before.

    `digests` are those that `identity` was made with: they know what a file held that is there no more.
    """
    versions = digests.of_paths([file for _, file in unread])
    read = list(identity)
    for (source, file), num_bytes in unread.items():
        name = os.fsencode(file.name).hex()
        entries = [[source, name, *version] for version in versions[file]]
        entry = next((entry for entry in entries if entry in read), None)
        if entry is None:
            continue  # it could not be read at planning either
        place = read.index(entry)
        read[place : place + 1] = [[*entry, num_bytes]] if num_bytes else []
    return read


def taken_away(before: Sequence[Any], now: Sequence[Any]) -> list[str]:
    """What is in one identity and not in another, in words."""
    left = {json.dumps(entry) for entry in now}
    return [_in_words(entry) for entry in before if json.dumps(entry) not in left]


def first_change(before: Sequence[Any], now: Sequence[Any]) -> str | None:
    """What became of the first entry that differs between two identities, in words; None when they are equal."""
    gone, come = taken_away(before, now), taken_away(now, before)
    if gone:
        return f"{gone[0]} {'changed' if gone[0] in come else 'was taken away'}"
    if come:
        return f"{come[0]} was added"
    return None if list(before) == list(now) else "the order of the files changed"


def _in_words(entry: Any) -> str:
    match entry:
        case [str(source), str(name), int(), str()]:
            file = os.fsdecode(bytes.fromhex(name))
            return source if Path(source).name == file else f"{file} in {source}"
        case _:
            return "this Python, or a package it reads"


def _identity_of_file(source: str, file: Path, digests: SourceDigests) -> list[Any]:
    try:
        return [source, os.fsencode(file.name).hex(), file.stat().st_size, digests.of(file)]
    except OSError as error:
        raise BadInput(
            f"cannot be read ({error.strerror})", file=file, fix="see to its permissions or its disk"
        ) from None


def _identity_of_package(package: str) -> list[Any]:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise BadInput(
            f"packages names {package!r}, which is not installed",
            fix="install it in this Python, or take it out",
        )
    facts = Path(spec.origin).stat()
    return [package, facts.st_size, facts.st_mtime_ns]
