"""The `documents` artifact: which files a corpus folder holds, and how to read its documents back.

    train-00000.jsonl.zst …   what is learned from, in the order of the sources
    heldout.jsonl.zst         what is measured on, in order of hash: its first N are a fair sample of it
    rejected.jsonl.zst        what was left out, with the reason and the figure that decided
    report.json               counts, reasons, samples

Knows nothing of how the documents were chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from workbench.data.documents import Document
from workbench.data.jsonl_zst import JsonlZstWriter, read_jsonl_zst

REPORT_FILE = "report.json"
SHARD_BYTES = 256_000_000  # one shard is one unit of parallel work later, and small enough to copy about
_TRAIN_FILES = "train-{}.jsonl.zst"
_HELDOUT_FILE = "heldout.jsonl.zst"
_REJECTED_FILE = "rejected.jsonl.zst"


def train_writer(folder: Path, *, shard_bytes: int = SHARD_BYTES) -> JsonlZstWriter:
    """A writer of `folder`'s training documents."""
    return JsonlZstWriter(folder / _TRAIN_FILES, shard_bytes=shard_bytes)


def heldout_writer(folder: Path) -> JsonlZstWriter:
    """A writer of `folder`'s held-out documents."""
    return JsonlZstWriter(folder / _HELDOUT_FILE)


def rejected_writer(folder: Path) -> JsonlZstWriter:
    """A writer of `folder`'s rejected documents."""
    return JsonlZstWriter(folder / _REJECTED_FILE)


def write_document(writer: JsonlZstWriter, document: Document) -> None:
    """Append `document`; which part it belongs to is said by the file."""
    writer.write({"id": document.id, "source": document.source, "text": document.text})


def read_artifact_documents(folder: Path, part: Literal["train", "heldout"] = "train") -> Iterator[Document]:
    """Yields the documents of one part of a `documents` artifact, in the order they were written.

    Raises Damaged when a file is cut or altered.
    """
    files = train_files(folder) if part == "train" else [folder / _HELDOUT_FILE]
    for file in files:
        for record in read_jsonl_zst(file):
            yield Document(record["id"], record["text"], record["source"], heldout=part == "heldout")


def train_files(folder: Path) -> list[Path]:
    """The shards of training documents, in order."""
    return sorted(folder.glob(_TRAIN_FILES.format("*")))
