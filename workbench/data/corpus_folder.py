"""The `documents` artifact: which files a corpus folder holds, and how to read its documents back.

    train-00000.jsonl.zst …   what is learned from, in the order of the sources
    heldout.jsonl.zst         what is measured on, in order of hash: its first N are a fair sample of it
    rejected.jsonl.zst        what was left out, with the reason and the figure that decided
    clusters.jsonl.zst        the largest clusters of copies, if there are copies
    contamination.json        where test items were looked for: which of them stand in which documents; and by
    contaminated.jsonl.zst    document which it holds
    report.json               counts, reasons, samples

Knows nothing of how the documents were chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from workbench.data.documents import Document
from workbench.data.jsonl_zst import JsonlZstWriter, read_jsonl_zst

REPORT_FILE = "report.json"
SHARD_BYTES = 256_000_000  # one shard is one unit of parallel work later, and small enough to copy about
KEPT_CHARACTERS = 2_000  # of a rejected text: enough to see what it is
_TRAIN_FILES = "train-{}.jsonl.zst"
_HELDOUT_FILE = "heldout.jsonl.zst"
CLUSTERS_FILE = "clusters.jsonl.zst"
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


def train_file(folder: Path, shard: int) -> Path:
    """Where shard number `shard` of `folder`'s training documents lies."""
    return folder / _TRAIN_FILES.format(f"{shard:05d}")


def heldout_file(folder: Path) -> Path:
    """Where `folder`'s held-out documents lie."""
    return folder / _HELDOUT_FILE


def rejected_file(folder: Path) -> Path:
    """Where `folder`'s rejected documents lie."""
    return folder / _REJECTED_FILE


def rejected_record(
    document: Document, reason: str, figure: float | str, *, copy_of: str | None = None
) -> dict[str, Any]:
    """What is written of a rejected document: `figure` is what decided, `copy_of` the id of what is kept instead."""
    text = document.text[:KEPT_CHARACTERS].encode("utf-8", "replace").decode()
    return {
        "id": document.id,
        "source": document.source,
        "reason": reason,
        "figure": figure,
        **({} if copy_of is None else {"copy_of": copy_of}),
        "characters": len(document.text),
        "text": text,
    }


def write_document(writer: JsonlZstWriter, document: Document) -> None:
    """Append `document`; which part it belongs to is said by the file."""
    writer.write(document_record(document))


def document_record(document: Document) -> dict[str, Any]:
    """What is written of a document."""
    record = {"id": document.id, "source": document.source, "text": document.text}
    for name in ("url", "title", "language"):
        if said := getattr(document, name):
            record[name] = said.encode("utf-8", "replace").decode()
    return record


def read_artifact_documents(folder: Path, part: Literal["train", "heldout"] = "train") -> Iterator[Document]:
    """Yields the documents of one part of a `documents` artifact, in the order they were written.

    Raises Damaged when a file is cut or altered.
    """
    files = train_files(folder) if part == "train" else [folder / _HELDOUT_FILE]
    for file in files:
        for record in read_jsonl_zst(file):
            yield Document(
                record["id"],
                record["text"],
                record["source"],
                heldout=part == "heldout",
                url=record.get("url", ""),
                title=record.get("title", ""),
                language=record.get("language", ""),
            )


def train_files(folder: Path) -> list[Path]:
    """The shards of training documents, in order."""
    return sorted(folder.glob(_TRAIN_FILES.format("*")))
