"""What the entries of `sources` are cut into: every kind of source as blocks, in order, read as they are asked for.

A file that is damaged, or vanishes, in the middle keeps what was read before; the rest is one bad record with its
place. Names are looked up before anything is read.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from workbench.corpus.blocks import BLOCK_BYTES, Block, Piece, gathered
from workbench.corpus.cutting import cut_at_lines
from workbench.corpus.extract.settings import Extraction
from workbench.corpus.extract.sniff import detect
from workbench.corpus.extract.tables import cut_tables
from workbench.corpus.extract.warc import BadWarcRecord, warc_records
from workbench.data.byte_stream import (
    Unreadable,
    open_plain_file,
    shown_path,
    text_blocks,
    unpacked_blocks,
)
from workbench.data.corpus_folder import heldout_file, train_files
from workbench.data.documents import BadRecord, Document, TextSplit
from workbench.data.json_items import json_items
from workbench.data.jsonl_zst import artifact_bytes
from workbench.data.lines import MAX_LINE_BYTES
from workbench.data.strict_json import RecordError
from workbench.data.text_files import MAX_DOCUMENT_BYTES, cut_file, line_feeds
from workbench.errors import BadInput
from workbench.source_files import BUILT_IN, DOCUMENT_SUFFIXES, HUB_PREFIX, readable_files_of
from workbench.source_watch import SourceWatch
from workbench.text_columns import text_columns

WHOLE_FILES = ("text", "page")
"""Formats of which a file is a piece, or a few."""
ARCHIVED_TYPES = ("response", "resource", "conversion")
"""Records of web archives that hold a page or a text."""
HTTP_HEADER_BYTES = 100_000
"""Room for what stands before a page in its record."""
MOST_ROWS = 50_000
"""Rows of a table in one block: short ones would make many objects of few bytes."""
PACKED = (".gz", ".zst", ".parquet")
PACKED_RATIO = 3.5
"""Bytes of text per packed byte, about: only progress is reckoned with it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How sources are read: the keys of [corpus] of the same names, and [corpus.extraction]."""

    extraction: Extraction = field(default_factory=Extraction)
    text_split: TextSplit = "file"
    packages: tuple[str, ...] = ()
    hf_split: str = "train"


@dataclass(frozen=True, slots=True)
class OpenedSources:
    """Sources whose names were looked up: their blocks, and how many bytes their files have on disk."""

    blocks: Iterator[Block]
    file_bytes: int | None
    """None where a source is no file, so that the whole is not known."""
    surprises: dict[str, str]
    """Files that are something else than their names say, as they are come upon: file -> what it was read as."""
    watch: SourceWatch
    """Files that could not be read as they were, as they are come upon."""


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of a source, and who is told of those that cannot be read."""

    source: str
    files: Sequence[Path]
    base: Path
    watch: SourceWatch


def open_sources(
    names: Sequence[str],
    *,
    base: Path,
    reading: Reading,
    block_bytes: int = BLOCK_BYTES,
    is_finished: Callable[[str], bool] = lambda name: False,
    corpora: Mapping[str, Path] | None = None,
) -> OpenedSources:
    """The blocks of `names`, whose paths are relative to `base`, numbered from 0.

    is_finished: whether enough was read of a source, asked before every block. corpora: those that are there already
    and only compared with, their folders by name; their blocks come first.

    Raises BadInput naming the source: now for one that is missing, later for one that is empty or no text.
    """
    found = {
        name: readable_files_of(name, base=base, suffixes=DOCUMENT_SUFFIXES)
        for name in names
        if name != BUILT_IN and not name.startswith(HUB_PREFIX)
    }
    files = {name: readable for name, (readable, _) in found.items()}
    watch = SourceWatch()
    for name, (readable, refused) in found.items():
        watch.looked_up(name, readable, [Path(error.file or "") for error in refused])
    surprises: dict[str, str] = {}
    total = sum(_size(file) for each in files.values() for file in each)

    def blocks() -> Iterator[Block]:
        before = 0
        for name in names:
            if name in files:
                cut = _file_blocks(_Files(name, files[name], base, watch), reading, block_bytes, surprises)
            else:
                cut = _record_blocks(name, base, reading, block_bytes)
            if name in found and (refused := found[name][1]):
                yield Block(name, "text", tuple(_refusal(error) for error in refused))
            is_empty = True
            for block in cut:
                is_empty = False
                yield replace(block, done_bytes=before + block.done_bytes)
                if is_finished(name):
                    break
            if is_empty:
                raise BadInput("holds no text", file=shown_path(name), fix="give a source with text in it")
            before += sum(map(_size, files.get(name, ())))

    whole = itertools.chain(reference_blocks(corpora or {}, block_bytes=block_bytes), blocks())
    numbered = (replace(block, number=number) for number, block in enumerate(whole))
    return OpenedSources(numbered, total if len(files) == len(set(names)) else None, surprises, watch)


def reference_blocks(corpora: Mapping[str, Path], *, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """The documents of corpora that are there already, by name, to be compared with. Raises Damaged."""
    for name, folder in corpora.items():
        for file in [*train_files(folder), heldout_file(folder)]:
            whole_lines = cut_at_lines(
                artifact_bytes(file), block_bytes=block_bytes, max_line_bytes=sys.maxsize
            )
            for line, content in whole_lines:
                assert content is not None
                yield Block(
                    name, "corpus", (Piece(name, line, content, shown_path(file)),), is_reference=True
                )


def _file_blocks(
    of: _Files, reading: Reading, block_bytes: int, surprises: dict[str, str]
) -> Iterator[Block]:
    """The blocks of files in order; small files in a row share blocks."""
    before, name = 0, of.source
    numbers = range(len(of.files))
    for format_, group in itertools.groupby(numbers, key=lambda n: _format(of.files[n], reading, surprises)):
        cut = _cutter(format_, name, reading, block_bytes)
        if format_ in WHOLE_FILES:
            members = list(group)
            pieces: Iterator[Piece] = (piece for number in members for piece in _safely(of, number, cut))
            for block in gathered(name, format_, pieces, block_bytes=block_bytes):
                yield replace(block, done_bytes=before)
            before += sum(_size(of.files[number]) for number in members)
            continue
        for number in group:
            file = of.files[number]
            size, cut_bytes = _size(file), 0
            pieces = _safely(of, number, cut)
            ratio = PACKED_RATIO if file.suffix.lower() in PACKED else 1
            for block in _blocks_of_file(name, format_, pieces, block_bytes):
                cut_bytes += block.num_bytes
                yield replace(block, done_bytes=before + min(size, round(cut_bytes / ratio)))
            before += size


def _size(file: Path) -> int:
    """Bytes on disk; 0 of a file that has vanished, of which who reads it will tell."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _format(file: Path, reading: Reading, surprises: dict[str, str]) -> str:
    """How the pieces of a file become documents, as extracting.py names it: told by its first bytes, then its name."""
    try:
        detected = detect(file)
        found = detected.format
        if detected.surprise:
            surprises[shown_path(file)] = detected.surprise
    except BadInput:
        found = "text"  # who reads it finds what is wrong with it, and says so
    if found == "text":
        return {"file": "text", "lines": "lines", "blank-lines": "blank-lines"}[reading.text_split]
    return {"parquet": "rows", "html": "page", "warc": "archived"}.get(found, found)


def _blocks_of_file(name: str, format_: str, pieces: Iterator[Piece], block_bytes: int) -> Iterator[Block]:
    if format_ in ("rows", "archived", "json"):
        yield from gathered(name, format_, pieces, block_bytes=block_bytes, most_pieces=MOST_ROWS)
    else:
        for piece in pieces:
            yield Block(name, format_, (piece,))


Cut = Callable[[Path, str, list[BadInput]], Iterator[Piece]]
"""A file, its label in ids, and a list for why it breaks off, to pieces."""


def _cutter(format_: str, source: str, reading: Reading, block_bytes: int) -> Cut:
    """How a file of this format is cut."""
    extraction = reading.extraction
    if format_ == "rows":
        return lambda file, label, _: _rows(file, label, extraction.key_of(source))

    def texts_in(file: Path, broken: list[BadInput]) -> Iterator[bytes]:
        return _whole_lines(text_blocks(file, max_ratio=extraction.max_unpack_ratio), broken)

    def bytes_in(file: Path, broken: list[BadInput]) -> Iterator[bytes]:
        return _to_the_break(unpacked_blocks(file, max_ratio=extraction.max_unpack_ratio), broken)

    def texts(file: Path, label: str, broken: list[BadInput]) -> Iterator[Piece]:
        for number, (line, content) in enumerate(cut_file(texts_in(file, broken))):
            yield Piece(f"{label}[{number}]" if number else label, line, content, shown_path(file))

    def pages(file: Path, label: str, broken: list[BadInput]) -> Iterator[Piece]:
        page = bytearray()
        # Not as text: its bytes, and a mark before them, say what they are written in.
        for chunk in bytes_in(file, broken):
            page += chunk
            if len(page) > extraction.html_limits.max_page_bytes:
                break  # one byte too many is enough for whoever reads it
        yield Piece(label, 1, bytes(page), shown_path(file))

    def tables(file: Path, label: str, broken: list[BadInput]) -> Iterator[Piece]:
        for line, content in cut_tables(texts_in(file, broken), block_bytes=block_bytes):
            yield Piece(label, line, content, shown_path(file))

    def records(file: Path, label: str, broken: list[BadInput]) -> Iterator[Piece]:
        longest = extraction.html_limits.max_page_bytes + HTTP_HEADER_BYTES
        for record in warc_records(bytes_in(file, broken), max_record_bytes=longest):
            if isinstance(record, BadWarcRecord):
                bad = (record.reason, record.detail)
                yield Piece(label, record.number, b"", shown_path(file), bad=bad)
            elif record.type in ARCHIVED_TYPES:
                yield Piece(label, record.number, record.raw, shown_path(file))

    def items(file: Path, label: str, broken: list[BadInput]) -> Iterator[Piece]:
        chunks = _to_the_break(text_blocks(file, max_ratio=extraction.max_unpack_ratio), broken)
        for number, item in enumerate(json_items(chunks, max_item_bytes=MAX_LINE_BYTES), 1):
            if item.bad is None:
                yield Piece(f"{label}:{number}", item.line, item.content, shown_path(file))
            elif not (broken and item.bad[0] == "cut_off"):  # why the file breaks off is said already
                yield Piece(label, item.line, b"", shown_path(file), bad=item.bad)

    def lines(file: Path, label: str, broken: list[BadInput]) -> Iterator[Piece]:
        chunks = texts_in(file, broken)
        longest = MAX_LINE_BYTES if format_ == "jsonl" else MAX_DOCUMENT_BYTES
        whole_lines = cut_at_lines(
            chunks if format_ == "jsonl" else line_feeds(chunks),
            block_bytes=block_bytes,
            max_line_bytes=longest,
            at_blank_lines=format_ == "blank-lines",
        )
        for line, content in whole_lines:
            if content is None:
                bad = ("line_too_long", f"more than {longest:,} bytes")
                yield Piece(label, line, b"", shown_path(file), bad=bad)
            else:
                yield Piece(label, line, content, shown_path(file))

    others = {"text": texts, "page": pages, "csv": tables, "tsv": tables, "archived": records, "json": items}
    return others.get(format_, lines)


def _to_the_break(chunks: Iterator[bytes], broken: list[BadInput]) -> Iterator[bytes]:
    """`chunks` up to where they break off, as if that was the end; why they do goes into `broken`.

    Raises BadInput when not even the first one can be read.
    """
    first = next(chunks, None)
    if first is None:
        return
    yield first
    try:
        yield from chunks
    except BadInput as error:
        broken.append(error)


def _whole_lines(chunks: Iterator[bytes], broken: list[BadInput]) -> Iterator[bytes]:
    """The same without the part of a line that is left where they break off: half a record would pass for one."""
    held = b""
    for chunk in _to_the_break(chunks, broken):
        end = chunk.rfind(b"\n") + 1
        if end or len(held) > MAX_DOCUMENT_BYTES:
            yield held + chunk[:end]
            held = chunk[end:]
        else:
            held += chunk
    if held and not broken:
        yield held


def _safely(of: _Files, number: int, cut: Cut) -> Iterator[Piece]:
    """The pieces of the file of that number; when it cannot be read to its end, what was read and one bad record.

    Raises BadInput when nothing can be read of a file that is alone its source: then that is not what the recipe
    thinks.
    """
    file = of.files[number]
    of.watch.begins(of.source, number, file)
    label = label_of(file, of.base)
    line, size = 1, 0
    broken: list[BadInput] = []
    try:
        for piece in cut(file, label, broken):
            line = piece.line + piece.content.count(b"\n")
            size += len(piece.content)
            yield piece
    except BadInput as error:
        if len(of.files) == 1 and not size:
            raise
        broken.append(error)
    for why in broken:
        reason = why.reason if isinstance(why, Unreadable) else "damaged_file"
        if reason == "cannot_be_read" and not file.exists():
            reason = "vanished"
        of.watch.failed(of.source, file, reason, size)
        yield Piece(label, line, b"", shown_path(file), bad=(reason, why.message))


def _rows(file: Path, label: str, text_key: str) -> Iterator[Piece]:
    from workbench.data.parquet import read_texts  # pyarrow: 0.1 s and 100 MB not everybody needs

    with open_plain_file(file) as stream:
        for row, text in read_texts(stream, text_columns(text_key), shown_path(file)):
            if isinstance(text, RecordError):
                yield Piece(f"{label}:{row}", row, b"", shown_path(file), bad=(text.reason, text.detail))
            else:
                yield Piece(f"{label}:{row}", row, text.encode(), shown_path(file))


def _record_blocks(name: str, base: Path, reading: Reading, block_bytes: int) -> Iterator[Block]:
    """Blocks of a source that gives documents, not files."""
    from workbench.data.hub_source import HubSource
    from workbench.data.python_source import PythonDocsSource

    records: Iterator[Document | BadRecord]
    if name == BUILT_IN:
        records = iter(PythonDocsSource(reading.packages))
    else:
        records = iter(
            HubSource(name, base=base, split=reading.hf_split, text_key=reading.extraction.key_of(name))
        )

    def pieces() -> Iterator[Piece]:
        for line, record in enumerate(records, 1):
            if isinstance(record, BadRecord):
                yield Piece(name, record.line, b"", record.file, bad=(record.reason, record.detail))
            else:
                content = record.text.encode("utf-8", "surrogatepass")
                yield Piece(record.id, line, content, heldout=record.heldout)

    yield from gathered(name, "rows", pieces(), block_bytes=block_bytes, most_pieces=MOST_ROWS)


def _refusal(error: BadInput) -> Piece:
    """A file that is not even opened, as a bad record."""
    shown = shown_path(error.file or "")
    return Piece(shown, 1, b"", shown, bad=("cannot_be_read", error.message))


def label_of(file: Path, base: Path) -> str:
    """`file` as part of an id: relative to the recipe, so that a moved project keeps its ids."""
    return shown_path(file.relative_to(base) if file.is_relative_to(base) else file)
