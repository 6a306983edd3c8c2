"""A block to the documents that are in it: the work that one process does alone, however large the corpus.

jsonl        a JSON object a line                csv, tsv      a row a document, under a line of names
json         every piece is a JSON object
page         every piece is a web page          archived      every piece is a record of a web archive
lines        a document a line                 blank-lines   documents between two or more blank lines
text         every piece is a document         rows          the same, and its bytes must be UTF-8
corpus       JSON lines that we wrote ourselves
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from workbench.corpus.blocks import Block, Piece
from workbench.corpus.extract.readers import (
    archived_document,
    bad_record,
    page_document,
    table_documents,
)
from workbench.corpus.extract.settings import Extraction, Place
from workbench.corpus.sources import Reading
from workbench.data.columns import text_of_record
from workbench.data.documents import BadRecord, Document, TextSplit
from workbench.data.lines import MAX_LINE_BYTES, split_lines
from workbench.data.strict_json import RecordError, parse_object
from workbench.data.text_files import MAX_DOCUMENT_BYTES, BadText, texts_of
from workbench.text_columns import text_columns

VERSION = 3
"""Raised when the same bytes give other documents than before: cached ones are then not used."""


def extracted(block: Block, piece: Piece, reading: Reading) -> Iterator[Document | BadRecord]:
    """Yields what is in a piece of `block`, in order; a record that is no document with its reason and place."""
    place = Place(block.source, piece.name, piece.file, piece.line)
    if piece.bad is not None:
        yield bad_record(place, piece.line, *piece.bad)
    elif block.format == "jsonl":
        yield from _json_lines(piece, place, reading.extraction)
    elif block.format == "json":
        yield _json_object(piece, place, reading.extraction)
    elif block.format in ("csv", "tsv"):
        yield from table_documents(piece.content, place, reading.extraction, tabs=block.format == "tsv")
    elif block.format == "page":
        yield page_document(piece.content, place, reading.extraction)
    elif block.format == "archived":
        yield archived_document(piece.content, place, reading.extraction)
    elif block.format == "corpus":
        yield from _corpus_lines(block, piece)
    elif block.format == "rows":
        yield _row(piece, place)
    else:
        yield from _texts(block.format, piece, place)


def _json_lines(piece: Piece, place: Place, extraction: Extraction) -> Iterator[Document | BadRecord]:
    columns = text_columns(extraction.key_of(place.source))
    for line in split_lines([piece.content], first=piece.line):
        if line.content is None:
            yield bad_record(place, line.number, "line_too_long", f"more than {MAX_LINE_BYTES:,} bytes")
        elif line.content.strip():
            try:
                text = text_of_record(columns, parse_object(line.content))
            except RecordError as bad:
                yield bad_record(place, line.number, bad.reason, bad.detail)
            else:
                yield Document(f"{piece.name}:{line.number}", text, place.source)


def _json_object(piece: Piece, place: Place, extraction: Extraction) -> Document | BadRecord:
    try:
        text = text_of_record(text_columns(extraction.key_of(place.source)), parse_object(piece.content))
    except RecordError as bad:
        return bad_record(place, piece.line, bad.reason, bad.detail)
    return Document(piece.name, text, place.source)


def _corpus_lines(block: Block, piece: Piece) -> Iterator[Document]:
    for line in piece.content.splitlines():
        record = orjson.loads(line)
        yield Document(f"{piece.name}/{record['id']}", record["text"], block.source)


def _row(piece: Piece, place: Place) -> Document | BadRecord:
    try:
        text = piece.content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        at = f"byte {error.start + 1} of the text is not UTF-8"
        return bad_record(place, piece.line, "invalid_utf8", at)
    return Document(piece.name, text, place.source, heldout=piece.heldout)


def _texts(format_: str, piece: Piece, place: Place) -> Iterator[Document | BadRecord]:
    split: TextSplit = (
        "lines" if format_ == "lines" else "blank-lines" if format_ == "blank-lines" else "file"
    )
    longest = max(len(piece.content), 1) if split == "file" else MAX_DOCUMENT_BYTES
    for text in texts_of([piece.content], split=split, max_bytes=longest):
        number = piece.line + text.line - 1
        if isinstance(text, BadText):
            yield bad_record(place, number, text.reason, text.detail)
        else:
            name = piece.name if split == "file" else f"{piece.name}:{number}"
            yield Document(name, text.text, place.source, foreign_bytes=text.foreign_bytes)
