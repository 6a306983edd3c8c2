"""One text column out of a Parquet file, a few rows at a time. Only imported where there is such a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.data.byte_stream import MAX_RATIO, RATIO_FREE_BYTES
from workbench.data.strict_json import RecordError
from workbench.errors import BadInput

ROWS_AT_ONCE = 64  # 64 novels are 100 MB; 64 web pages are nothing, and still 100,000 rows a second


def read_column(stream: BinaryIO, column: str, file: str) -> Iterator[str | RecordError]:
    """Yields the texts of `column` in order; a RecordError (a reason and a detail) for a row without one.

    Raises BadInput naming `file` when it is not Parquet, has no such column of text, or is a bomb.
    """
    try:
        with pq.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False) as table:
            _check_column(table, column, file)
            _check_ratio(table, column, file)
            batches = table.iter_batches(batch_size=ROWS_AT_ONCE, columns=[column], use_threads=False)
            for batch in batches:
                # As bytes, because a bad string would raise for the batch and not for its row.
                for value in batch.column(0).cast(pa.large_binary()).to_pylist():
                    yield _text(value)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(f"is not a Parquet file that can be read ({reason})", file=file) from error


def _text(value: bytes | None) -> str | RecordError:
    if value is None:
        return RecordError("no_text", "the row's text is null")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        return RecordError("invalid_utf8", f"byte {error.start + 1} of the text is not UTF-8")


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


def _check_ratio(table: pq.ParquetFile, column: str, file: str) -> None:
    """The file states both sizes of each chunk before one byte is unpacked."""
    for group in range(table.metadata.num_row_groups):
        for index in range(table.metadata.num_columns):
            chunk = table.metadata.row_group(group).column(index)
            if chunk.path_in_schema != column:
                continue
            unpacked, packed = chunk.total_uncompressed_size, chunk.total_compressed_size
            if unpacked > RATIO_FREE_BYTES and unpacked > MAX_RATIO * max(packed, 1):
                raise BadInput(
                    f"unpacks to more than {MAX_RATIO} times its size, which no text does", file=file
                )
