"""Documents, and where they come from: one stream over any mix of sources.

A source is `python-docs`, `hf:NAME[:CONFIG]`, or a file, folder or glob. Reading is lazy and in a fixed
order (sources as written, files sorted, records as they stand), so memory does not grow with the corpus.
Knows nothing of cleaning, splitting or recipes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

TextSplit = Literal["file", "blank-lines", "lines"]


@dataclass(frozen=True, slots=True)
class Document:
    """One text to learn from or to measure on."""

    id: str
    """Where it stands: `FILE`, `FILE:LINE` (or row), or a symbol's name. Unique within its source."""
    text: str
    source: str
    """The entry of `sources` it came from."""
    heldout: bool | None = None
    """True or False where the source itself decides the split (`python-docs`, by symbol); None: by hash."""
    foreign_bytes: int = 0
    """Bytes of a text file that were not UTF-8 and were read as Windows-1252."""
    url: str = ""
    """Where a web page was found; empty for other sources."""
    title: str = ""
    language: str = ""
    """What the source itself says, such as `en`; not what the text was found to be."""


@dataclass(frozen=True, slots=True)
class BadRecord:
    """One record that is not a document: counted, reported with its place, never trained on."""

    source: str
    line: int
    """Line of the file (row of a table), from 1."""
    reason: str
    """One word to count by, such as `not_json` or `invalid_utf8`."""
    file: str = ""
    """The file it stands in, as it may be shown to a person."""
    detail: str = ""
    """What was seen, for a person."""
    at_fault: bool = True
    """Whether it speaks against its file. A picture in a crawl does not, nor a page without an article."""

    @property
    def place(self) -> str:
        """`FILE:LINE`."""
        return f"{self.file or self.source}:{self.line}"


def read_documents(
    sources: Sequence[str],
    *,
    base: Path,
    text_key: str = "text",
    packages: Sequence[str] = (),
    hf_split: str = "train",
    max_documents: int | None = None,
    text_split: TextSplit = "file",
) -> Iterator[Document | BadRecord]:
    """Yields every document of `sources`, and a BadRecord for every record that is not one.

    Paths are relative to `base`. `max_documents` counts good documents per source. `text_split` says how a
    plain text file becomes documents (text_files.py). All names are looked up before anything is read.
    Raises BadInput naming the source: missing, empty, unreadable, not text, or damaged.
    """
    # The readers make Documents, so they import this module and cannot be imported above.
    from workbench.data.file_source import FileSource
    from workbench.data.hub_source import HubSource
    from workbench.data.python_source import PythonDocsSource

    opened: list[FileSource | HubSource | PythonDocsSource] = []
    for name in sources:
        if name == "python-docs":
            opened.append(PythonDocsSource(packages))
        elif name.startswith("hf:"):
            opened.append(HubSource(name, base=base, split=hf_split, text_key=text_key))
        else:
            opened.append(FileSource(name, base=base, text_key=text_key, text_split=text_split))
    return chain.from_iterable(_first(source, max_documents) for source in opened)


def _first(records: Iterable[Document | BadRecord], limit: int | None) -> Iterator[Document | BadRecord]:
    """`records` up to and including the `limit`-th document."""
    count = 0
    for record in records:
        yield record
        count += isinstance(record, Document)
        if count == limit:
            return
