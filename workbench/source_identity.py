"""What a stage reads from outside the store, in numbers: names, sizes and times of change, not the content.

Part of a stage's fingerprint, and looked at again when the stage runs: an artifact never claims to be made of
something else than it was.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.errors import BadInput
from workbench.recipe import Table
from workbench.source_files import BUILT_IN, DOCUMENT_SUFFIXES, EXAMPLE_SUFFIXES, HUB_PREFIX, files_of


def identity_of(stage: str, table: Table, *, folder: Path, packages: Sequence[Any]) -> list[Any]:
    """What `stage` will read, as it is now; plain data, an entry a file. Paths are relative to `folder`.

    `packages` is what `identity_of_packages` gave. Raises BadInput when a source is not there.
    """
    sources: Sequence[str] = getattr(table, "sources", ())
    if stage == "eval":
        sources = [task for task in getattr(table, "tasks", ()) if task.endswith((".jsonl", ".jsonl.gz"))]
    suffixes = DOCUMENT_SUFFIXES if stage == "corpus" else EXAMPLE_SUFFIXES
    identity: list[Any] = []
    for source in sources:
        if source == BUILT_IN:
            identity.append([source, sys.version, list(packages)])
        elif source.startswith(HUB_PREFIX):
            identity.append(source)
        else:
            files = files_of(source, base=folder, suffixes=suffixes)
            identity += [_identity_of_file(source, file) for file in files]
    if stage == "eval" and BUILT_IN not in sources:
        identity.append(sys.version)
    return identity


def identity_of_packages(packages: Sequence[str]) -> list[Any]:
    """The installed packages as they are now. Raises BadInput when one is not there."""
    return [_identity_of_package(package) for package in packages]


def first_change(before: Sequence[Any], now: Sequence[Any]) -> str | None:
    """What is the first entry that differs between two identities, in words; None when they are equal."""
    for old, new in zip(before, now, strict=False):
        if old != new:
            return _in_words(new)
    if len(before) != len(now):
        longer = max(before, now, key=len)
        return _in_words(longer[min(len(before), len(now))])
    return None


def _in_words(entry: Any) -> str:
    match entry:
        case [str(source), str(name), int(), int()]:
            file = os.fsdecode(bytes.fromhex(name))
            return source if Path(source).name == file else f"{file} in {source}"
        case _:
            return "this Python, or a package it reads"


def _identity_of_file(source: str, file: Path) -> list[Any]:
    facts = file.stat()
    return [source, os.fsencode(file.name).hex(), facts.st_size, facts.st_mtime_ns]


def _identity_of_package(package: str) -> list[Any]:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise BadInput(
            f"[corpus] packages: no installed package {package!r}",
            fix="install it in this Python or take it out",
        )
    facts = Path(spec.origin).stat()
    return [package, facts.st_size, facts.st_mtime_ns]
