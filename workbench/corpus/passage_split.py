"""Passages held out instead of documents, for a corpus of too few documents to spare one (data/passages.py)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from workbench.data import corpus_folder
from workbench.data.documents import Document
from workbench.data.heldout import HeldOut
from workbench.data.passages import heldout_below, hold_out_passages
from workbench.data.split import position

Watched = Callable[[Iterable[Document]], Iterator[Document]]


def hold_out_parts(
    folder: Path, *, characters: int, fraction: float, max_bytes: int, watched: Watched
) -> list[Document]:
    """Cuts the training documents of a corpus folder, writes them again without the passages that are held out, and
    gives those back, lowest position first; none when there are not two passages. Reads the corpus twice.

    characters: of the longest passage. watched: passes documents on, looking for requests to stop.
    """
    whole = folder / "whole"
    whole.mkdir()
    for file in corpus_folder.train_files(folder):
        file.rename(whole / file.name)
    below = heldout_below(
        watched(corpus_folder.read_artifact_documents(whole)), characters=characters, fraction=fraction
    )
    heldout: HeldOut[Document] = HeldOut(max_bytes=max_bytes)
    with corpus_folder.train_writer(folder) as writer:
        for document in watched(corpus_folder.read_artifact_documents(whole)):
            for part in hold_out_passages(document, characters=characters, below=below):
                size = len(part.text.encode())
                kept = heldout.add(part, position(part.text), size) if part.heldout else [part]
                for each in kept:
                    corpus_folder.write_document(writer, each)
    shutil.rmtree(whole)
    return heldout.documents()
