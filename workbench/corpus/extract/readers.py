"""Pages, archived records and table rows to documents: bytes in, documents and bad records out, in order.

Pure functions of what they are given, so that a part of a file can be read by any process. What is no document comes
out as a BadRecord with its place; nothing here raises for whatever bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.corpus.extract.settings import Extraction, Place
from workbench.corpus.extract.tables import BadTableRow, Header, header_of, table_rows
from workbench.corpus.extract.warc import WarcDamage, WarcRecord, http_body, media_type_of, parse_record
from workbench.data.columns import text_of_record
from workbench.data.documents import BadRecord, Document
from workbench.data.lines import MAX_LINE_BYTES, split_lines
from workbench.data.strict_json import RecordError
from workbench.data.text_files import BadText, decoded
from workbench.text_columns import text_columns

_PAGE_TYPES = ("text/html", "application/xhtml+xml")
_TEXT_TYPES = ("text/plain",)
_NOT_AT_FAULT = frozenset(
    (
        "no_text",
        "page_too_large",
        "nested_too_deep",
        "not_a_page",
        "not_found",
        "content_encoding",
        "vanished",
    )
)
"""What crawls are full of, and what somebody took away: it says nothing against the file it is in."""


def page_document(
    data: bytes,
    place: Place,
    extraction: Extraction,
    *,
    charset: str | None = None,
    url: str = "",
    id: str = "",  # noqa: A002
) -> Document | BadRecord:
    """The web page in `data`, found at `url`. `charset` is what the HTTP header said of it."""
    from workbench.corpus.extract.html_page import read_page  # a parser that only pages need

    try:
        page = read_page(data, charset=charset, text=extraction.html_text, limits=extraction.html_limits)
    except RecordError as bad:
        return bad_record(place, place.line, bad.reason, bad.detail)
    return Document(
        id or place.label,
        page.text,
        place.source,
        foreign_bytes=page.foreign_bytes,
        url=url or page.url,
        title=page.title,
        language=page.language,
    )


def archived_document(raw: bytes, place: Place, extraction: Extraction) -> Document | BadRecord:
    """The page or text in one record of a web archive. Its number in the file is the place's line."""
    try:
        return _archived(parse_record(raw), place, extraction)
    except WarcDamage as bad:
        return bad_record(place, place.line, bad.reason, bad.detail)


def _archived(record: WarcRecord, place: Place, extraction: Extraction) -> Document | BadRecord:
    content_type = record.headers.get("content-type", "")
    if record.type == "response":
        if not content_type.lower().startswith("application/http"):
            raise WarcDamage("not_a_page", f"a response of type {content_type[:40]!r}")
        http = http_body(record.content, max_bytes=extraction.html_limits.max_page_bytes)
        if http.status != 200:
            raise WarcDamage("not_found", f"HTTP status {http.status}")
        media_type, charset, data = http.media_type, http.charset, http.body
    else:
        (media_type, charset), data = media_type_of(content_type), record.content
    name = f"{place.label}:{place.line}"
    if record.type == "conversion" or media_type in _TEXT_TYPES:
        return _plain_document(data, name, record, place)
    if media_type in _PAGE_TYPES or (not media_type and data[:1000].lstrip()[:1] == b"<"):
        return page_document(data, place, extraction, charset=charset, url=record.url, id=name)
    raise WarcDamage("not_a_page", f"of type {media_type[:40]!r}")


def _plain_document(data: bytes, name: str, record: WarcRecord, place: Place) -> Document | BadRecord:
    text = decoded(place.line, data)
    if isinstance(text, BadText):
        return bad_record(place, place.line, text.reason, text.detail)
    if not text.text.strip():
        return bad_record(place, place.line, "no_text", "a record without text")
    language = record.headers.get("warc-identified-content-language", "").partition(",")[0].strip()
    return Document(
        name, text.text, place.source, foreign_bytes=text.foreign_bytes, url=record.url, language=language
    )


def table_documents(
    content: bytes, place: Place, extraction: Extraction, *, tabs: bool = False
) -> Iterator[Document | BadRecord]:
    """The rows of CSV or TSV as documents, the text in one column or in several.

    The first line of `content` names the columns; the rows after it begin with the file's line `place.line`.
    """
    columns = text_columns(extraction.key_of(place.source))
    lines = split_lines([content], first=place.line - 1)
    named = next(lines, None)
    if named is None:
        return
    header = header_of((named.content or b"").decode("utf-8", "replace"), columns.names, tabs=tabs)
    if missing := [name for name in columns.names if name not in header.names]:
        have = ", ".join(repr(name[:40]) for name in header.names[:12])
        yield bad_record(place, 1, "no_column", f"no column {missing[0]!r}, but {have}; set text_key")
        return
    for row in table_rows(lines, delimiter=header.delimiter, max_bytes=MAX_LINE_BYTES):
        if isinstance(row, BadTableRow):
            yield bad_record(place, row.line, row.reason, row.detail)
            continue
        try:
            text = text_of_record(columns, _record(header, row.fields))
        except RecordError as bad:
            yield bad_record(place, row.line, bad.reason, bad.detail)
            continue
        read = decoded(row.line, text.encode("utf-8", "surrogateescape"))
        if isinstance(read, BadText):
            yield bad_record(place, row.line, read.reason, read.detail)
        elif not read.text.strip():
            yield bad_record(place, row.line, "no_text", "the field is empty")
        else:
            name = f"{place.label}:{row.line}"
            yield Document(name, read.text, place.source, foreign_bytes=read.foreign_bytes)


def _record(header: Header, fields: list[str]) -> dict[str, str]:
    if len(fields) != len(header.names):
        raise RecordError(
            "wrong_columns", f"{len(fields)} fields where the first line names {len(header.names)}"
        )
    return dict(zip(header.names, fields, strict=True))


def bad_record(place: Place, line: int, reason: str, detail: str) -> BadRecord:
    """A BadRecord of the file at `place`."""
    return BadRecord(place.source, line, reason, place.shown, detail, at_fault=reason not in _NOT_AT_FAULT)
