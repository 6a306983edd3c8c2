"""The text of a record that is a mapping of columns: JSON objects, CSV rows, rows of data sets."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.data.strict_json import RecordError
from workbench.text_columns import TextColumns


def text_of_record(columns: TextColumns, record: Mapping[str, object]) -> str:
    """The text that `columns` mean in `record`.

    In a template a null is no text, so that a title may be missing. Raises RecordError when a column is not
    there or not text, or when nothing is left.
    """
    if columns.is_one:
        return _string(record, columns.names[0])
    parts, any_text = [], False
    for before, name in columns.pieces:
        parts.append(before)
        if name is not None and (name not in record or record[name] is not None):
            value = _string(record, name)
            any_text = any_text or bool(value.strip())
            parts.append(value)
    if not any_text:
        raise RecordError("no_text", f"nothing in {', '.join(columns.names)}")
    return "".join(parts)


def _string(record: Mapping[str, object], name: str) -> str:
    if name not in record:
        keys = ", ".join(repr(str(key)[:40]) for key in list(record)[:8])
        raise RecordError("no_text", f"no key {name!r}, but {keys or 'none at all'}")
    value = record[name]
    if not isinstance(value, str):
        raise RecordError("text_not_a_string", f"{name!r} holds {str(value)[:40]!r}, not a string")
    return value
