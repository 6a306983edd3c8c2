"""Texts out of the columns of a Parquet file, a few rows at a time. Only imported where there is such a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.data.byte_stream import MAX_RATIO, RATIO_FREE_BYTES
from workbench.data.columns import text_of_record
from workbench.data.strict_json import RecordError
from workbench.errors import BadInput
from workbench.text_columns import TextColumns

ROWS_AT_ONCE = 64  # 64 novels are 100 MB; 64 web pages are nothing, and still 100,000 rows a second


def read_texts(stream: BinaryIO, columns: TextColumns, file: str) -> Iterator[tuple[int, str | RecordError]]:
    """Yields the number of each row, from 1, and its text; a RecordError (a reason and a detail) where it has none.

    A part of the file that is damaged gives one such for all its rows. Raises BadInput naming `file` when it is not
    Parquet, has no such column of text, or is a bomb.
    """
    try:
        with pq.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False) as table:
            for column in columns.names:
                _check_column(table, column, file)
            _check_ratio(table, columns.names, file)
            first = 1
            for group in range(table.metadata.num_row_groups):
                yield from _group(table, group, first, columns)
                first += table.metadata.row_group(group).num_rows
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(f"is not a Parquet file that can be read ({reason})", file=file) from error


def _group(
    table: pq.ParquetFile, group: int, first: int, columns: TextColumns
) -> Iterator[tuple[int, str | RecordError]]:
    row = first
    names = list(columns.names)
    try:
        for batch in table.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=names, use_threads=False):
            # As bytes, because a bad string would raise for the batch and not for its row.
            values = [batch.column(name).cast(pa.large_binary()).to_pylist() for name in names]
            for record in zip(*values, strict=True):
                yield row, _text(columns, dict(zip(names, record, strict=True)))
                row += 1
    except (pa.ArrowException, OSError) as error:
        rows = first + table.metadata.row_group(group).num_rows - row
        reason = str(error).partition("\n")[0]
        yield row, RecordError("damaged", f"{rows:,} rows from here cannot be read ({reason})")


def _text(columns: TextColumns, record: dict[str, bytes | None]) -> str | RecordError:
    if columns.is_one and record[columns.names[0]] is None:
        return RecordError("no_text", "the row's text is null")
    try:
        decoded = {name: None if value is None else value.decode() for name, value in record.items()}
    except UnicodeDecodeError as error:
        return RecordError("invalid_utf8", f"byte {error.start + 1} of the text is not UTF-8")
    try:
        return text_of_record(columns, decoded)
    except RecordError as bad:
        return bad


def _check_column(table: pq.ParquetFile, column: str, file: str) -> None:
    schema = table.schema_arrow
    if schema.names.count(column) != 1:
        names = ", ".join(repr(name[:40]) for name in schema.names[:12])
        raise BadInput(f"has no column {column!r}, but {names}", file=file, fix="set text_key to one of them")
    kind: Any = schema.field(column).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise BadInput(
            f"column {column!r} holds {kind}, not text", file=file, fix="set text_key to a column of text"
        )


def _check_ratio(table: pq.ParquetFile, columns: Sequence[str], file: str) -> None:
    """The file states both sizes of each chunk before one byte is unpacked."""
    for group in range(table.metadata.num_row_groups):
        for index in range(table.metadata.num_columns):
            chunk = table.metadata.row_group(group).column(index)
            if chunk.path_in_schema not in columns:
                continue
            unpacked, packed = chunk.total_uncompressed_size, chunk.total_compressed_size
            if unpacked > RATIO_FREE_BYTES and unpacked > MAX_RATIO * max(packed, 1):
                raise BadInput(
                    f"unpacks to more than {MAX_RATIO} times its size, which no text does", file=file
                )
