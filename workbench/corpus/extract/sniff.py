"""Which format a file of documents has: told by its first bytes, and by its name where bytes cannot tell.

A gzip named .jsonl, a web page named .txt or JSON lines named .csv are read as what they are. Plain text, Markdown,
CSV and TSV look alike, so among these the name decides. Packing (gzip, zstandard) is byte_stream.py's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

import orjson

from workbench.data.byte_stream import (
    HEAD_BYTES,
    Packing,
    Unreadable,
    open_plain_file,
    packing_of,
    take_head,
    unpacked_blocks,
)

Format = Literal["text", "jsonl", "json", "csv", "tsv", "html", "warc", "parquet"]

FORMAT_OF_SUFFIX: dict[str, Format] = {
    ".txt": "text",
    ".md": "text",
    ".jsonl": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".html": "html",
    ".htm": "html",
    ".warc": "warc",
    ".wet": "warc",
    ".parquet": "parquet",
}
_PACKING_OF_SUFFIX: dict[str, Packing] = {".gz": "gzip", ".zst": "zstandard"}
_IN_WORDS: dict[Format, str] = {
    "text": "plain text",
    "jsonl": "JSON lines",
    "json": "JSON",
    "csv": "CSV",
    "tsv": "TSV",
    "html": "a web page",
    "warc": "a web archive",
    "parquet": "Parquet",
}

# The start of a page: an optional XML declaration and comments, then what Markdown and prose never begin with.
_PAGE = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--(?:(?!-->).){0,2000}-->\s*){0,4}<(?:!doctype\s+html\b|html[\s>]|head[\s>])",
    re.IGNORECASE | re.DOTALL,
)
# The start of a list of objects, which no prose and no table has.
_LIST = re.compile(rb'\s*\[\s*\{\s*"[^"\n]{0,200}"\s*:')
_ARCHIVE = re.compile(rb"\s{0,8}WARC/[01]\.\d+\r?\n")


@dataclass(frozen=True, slots=True)
class Detected:
    """What a file is: its format, how it is packed, and what its name said of both."""

    format: Format
    packing: Packing
    named_format: Format | None
    named_packing: Packing

    @property
    def surprise(self) -> str:
        """What a person should know because the name says otherwise; empty where it does not."""
        said = []
        if self.named_format not in (None, self.format) and (self.named_format, self.format) != (
            "json",
            "jsonl",
        ):
            said.append(f"read as {_IN_WORDS[self.format]}, which it is")
        if self.named_packing != self.packing:
            said.append(f"packed with {self.packing}" if self.packing else "not packed")
        return ", ".join(said)


def detect(path: Path) -> Detected:
    """What the file at `path` is, by a look at its first bytes. Raises Unreadable when it cannot be looked at.

    A file that is damaged within these bytes is what its name says; who reads it will find the damage.
    """
    with open_plain_file(path) as file:
        raw_head = file.read(HEAD_BYTES)
    try:
        head = take_head(unpacked_blocks(path)) if packing_of(raw_head) else raw_head
    except Unreadable:
        head = b""
    return sniff(path, raw_head, head)


def sniff(name: PurePath, raw_head: bytes, head: bytes) -> Detected:
    """What the file called `name` is, by its first bytes as they lie on disk and as they are unpacked."""
    named_format, named_packing = _by_name(name)
    return Detected(
        format_of(head, named=named_format),
        packing_of(raw_head),
        named_format,
        named_packing,
    )


def format_of(head: bytes, *, named: Format | None) -> Format:
    """The format of unpacked content that begins with `head`, in a file whose name says `named`."""
    if not head and named is not None:
        return named
    if head.startswith(b"PAR1"):
        return "parquet"
    if _ARCHIVE.match(head):
        return "warc"
    text = head.removeprefix(b"\xef\xbb\xbf")
    if _PAGE.match(text):
        return "html"
    if named != "jsonl" and _begins_with_objects(text):
        return "jsonl"
    if _LIST.match(text) and not _begins_with_values(text):
        return "json"
    if named in ("parquet", "warc"):  # it is not, so whatever it is, lines of text are the best guess
        return "text"
    return named or "text"


def _by_name(name: PurePath) -> tuple[Format | None, Packing]:
    suffix = name.suffix.lower()
    packing = _PACKING_OF_SUFFIX.get(suffix, "")
    return FORMAT_OF_SUFFIX.get(PurePath(name.stem).suffix.lower() if packing else suffix), packing


def _begins_with_objects(head: bytes) -> bool:
    """Whether the first line, and the second if it is whole, is a JSON object with keys."""
    lines = _first_lines(head)
    return bool(lines) and all(map(_is_object, lines))


def _begins_with_values(head: bytes) -> bool:
    """Whether the first two lines are whole JSON, each for itself: JSON lines, though no objects."""
    lines = _first_lines(head)
    return len(lines) == 2 and all(map(_is_json, lines))


def _first_lines(head: bytes) -> list[bytes]:
    return [line for line in head.split(b"\n")[:-1] if line.strip()][:2]


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _is_object(line: bytes) -> bool:
    if not line.lstrip().startswith(b"{"):
        return False
    try:
        return bool(orjson.loads(line))
    except orjson.JSONDecodeError:
        return False
