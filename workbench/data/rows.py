"""Rows of example files: JSON objects, each with the line it stands on.

Reads .json (a list of objects, or one object per line under that name), .jsonl and .parquet; the first two
also as .gz and .zst. Knows nothing of what the keys mean: that is formats.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.data.byte_stream import open_plain_file, shown_path, text_blocks
from workbench.data.json_items import json_items
from workbench.data.lines import MAX_LINE_BYTES, split_lines
from workbench.data.strict_json import RecordError, parse_object
from workbench.errors import BadInput

SUFFIXES = (".json", ".jsonl", ".parquet")
ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Row:
    """One record: its keys, and where it starts (line of a text file, row of a parquet file, from 1)."""

    line: int
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A record that is rejected, and why. Too many that are `at_fault` mean that the whole file is wrong."""

    line: int
    reason: str
    at_fault: bool = True


def read_rows(path: Path) -> Iterator[Row | BadRow]:
    """Yield the records of `path` in order; one that is not a JSON object comes as a BadRow.

    Raises BadInput when the file is missing, unreadable, damaged or cut off, or of a kind that is not read.
    """
    suffix = _suffix(path)
    if suffix is None:
        raise BadInput(
            "examples are not read from this kind of file",
            file=shown_path(path),
            fix="give .json or .jsonl, also .gz or .zst, or .parquet",
        )
    readers = {".json": _json_rows, ".jsonl": _line_rows, ".parquet": _parquet_rows}
    return readers[suffix](path)


def _suffix(path: Path) -> str | None:
    """`.json`, `.jsonl` or `.parquet`, by the name under any .gz or .zst; None for another kind."""
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def _line_rows(path: Path) -> Iterator[Row | BadRow]:
    for line in split_lines(text_blocks(path)):
        if line.content is None:
            yield BadRow(line.number, f"longer than {MAX_LINE_BYTES:,} bytes")
        elif line.content.strip():
            yield _row(line.number, line.content)


def _row(line: int, content: bytes) -> Row | BadRow:
    try:
        return Row(line, parse_object(content))
    except RecordError as error:
        return BadRow(line, error.detail)


def _json_rows(path: Path) -> Iterator[Row | BadRow]:
    """A `.json` file: a list of objects, one object, or, as people also name it, one object per line."""
    for item in json_items(text_blocks(path), max_item_bytes=MAX_LINE_BYTES):
        if item.bad is None:
            yield _row(item.line, item.content)
            continue
        reason, detail = item.bad
        if reason == "cut_off":
            raise BadInput(f"is not whole JSON: {detail}", file=shown_path(path), line=item.line)
        yield BadRow(item.line, f"an item of {detail}")


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow  # 0.1 s and 100 MB not everybody needs
    import pyarrow.parquet

    with open_plain_file(path) as stream:
        try:
            with pyarrow.parquet.ParquetFile(stream, pre_buffer=False) as table:
                row = 0
                for batch in table.iter_batches(batch_size=ROWS_AT_ONCE, use_threads=False):
                    for fields in batch.to_pylist():
                        row += 1
                        yield Row(row, fields)
        except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
            reason = str(error).partition("\n")[0]
            raise BadInput(f"is not Parquet that can be read ({reason})", file=shown_path(path)) from None
