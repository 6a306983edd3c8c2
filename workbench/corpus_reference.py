"""Corpora that are there already, by name: what a recipe means by an entry of `against`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.artifacts import ArtifactName, Store, read_manifest
from workbench.errors import BadInput, NotFound
from workbench.runs import open_run
from workbench.safe_text import one_line

KIND = "documents"


def corpus_folder(name: str, *, base: Path, home: Path) -> Path:
    """The `documents` artifact that `name` means: its folder, relative to `base`, or a run of `home` that made one.

    Raises BadInput when it is neither.
    """
    shown = one_line(name)
    folder = base / name
    if not folder.is_dir():
        folder = _made_by(name, home)
    try:
        kind = read_manifest(folder).get("kind")
    except NotFound:
        raise BadInput(
            f"{shown!r} is no finished corpus", fix="give a RUN that has one, or the folder of its artifact"
        ) from None
    if kind != KIND:
        raise BadInput(f"{shown!r} holds no documents, but a {kind}", fix="give the folder of a corpus")
    return folder


def identity_of_corpus(name: str, *, base: Path, home: Path) -> list[Any]:
    """What a corpus is, for fingerprints: the fingerprint of its artifact. Raises BadInput as `corpus_folder`."""
    return ["corpus", str(read_manifest(corpus_folder(name, base=base, home=home))["fingerprint"])]


def _made_by(name: str, home: Path) -> Path:
    try:
        run = open_run(home, name)
    except NotFound:
        raise BadInput(
            f"{one_line(name)!r} is no folder and no run", fix="give a RUN, or the folder of a corpus"
        ) from None
    for stage in run.plan().get("stages", []):
        if stage.get("makes", {}).get("kind") == KIND:
            return Store(home / "store").folder(ArtifactName(**stage["makes"]))
    raise BadInput(f"run {run.name} makes no corpus", fix="name one that has a [corpus] table")
