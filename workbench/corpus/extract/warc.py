"""The records of a web archive (WARC 1.0 and 1.1, ISO 28500), and the pages and texts in them.

A parser of our own, because an archive comes in blocks that are already unpacked, because each bad record needs its
number, and because what follows a wrong length has to be found again: after it the next line that begins with
`WARC/` is where reading goes on. Memory: one record of at most `max_record_bytes`.

    response, resource   a web page, if HTTP says 200 and the type is HTML or plain text
    conversion           text that somebody extracted before (WET)
    others               requests, metadata, revisits: no documents, and not counted

One process finds the records (`warc_records`), which is quick; what is in one is worked out by any (readers.py).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import zstandard

HAVE_DOCUMENTS = frozenset(("response", "resource", "conversion"))
"""Types of records that may hold a document."""
MAX_HEADER_BYTES = 64_000
_NEXT = re.compile(rb"(?:^|\n)(?=WARC/[01]\.\d)")
_NEXT_BYTES = 16
_VERSION = re.compile(rb"WARC/[01]\.\d+\s*\Z")
_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?\s+(\d{3})")
_CHARSET = re.compile(r"charset\s{0,8}=\s{0,8}[\"']?([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE)


class WarcDamage(Exception):
    """A stretch of the archive that is no whole record. `reason` is a word to count by."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class WarcRecord:
    """One record: its number in the file from 1, its headers by lower-case name, its content."""

    number: int
    headers: Mapping[str, str]
    content: bytes
    head: bytes = b""
    """The header as it stands in the file, with the empty line after it."""

    @property
    def raw(self) -> bytes:
        """The record as it stands in the file, for `parse_record`."""
        return self.head + self.content

    @property
    def type(self) -> str:
        """Such as `response` or `conversion`."""
        return self.headers.get("warc-type", "").lower()

    @property
    def url(self) -> str:
        """The address the content came from."""
        return self.headers.get("warc-target-uri", "").strip("<>")


@dataclass(frozen=True, slots=True)
class BadWarcRecord:
    """Bytes that are no record, and why."""

    number: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class HttpBody:
    """What a server sent: status, media type and charset as it said them, and the body, unpacked."""

    status: int
    media_type: str
    charset: str | None
    body: bytes


def warc_records(
    blocks: Iterable[bytes], *, max_record_bytes: int, first_number: int = 1
) -> Iterator[WarcRecord | BadWarcRecord]:
    """Yields the records of an archive that comes in unpacked `blocks`, and a BadWarcRecord for what is none."""
    stream = _Stream(blocks)
    number = first_number - 1
    while stream.skip_newlines():
        number += 1
        try:
            yield _next_record(stream, number, max_record_bytes)
        except WarcDamage as damage:
            yield BadWarcRecord(number, damage.reason, damage.detail)
            stream.skip_to_next_record()


def parse_record(raw: bytes, number: int = 1) -> WarcRecord:
    """The one record in `raw`, which `WarcRecord.raw` gave."""
    ends = [
        place + len(mark)
        for mark in (b"\r\n\r\n", b"\n\n")
        if (place := raw.find(mark, 0, MAX_HEADER_BYTES)) >= 0
    ]
    end = min(ends, default=len(raw))
    return WarcRecord(number, _headers(raw[:end].splitlines()[1:]), raw[end:], raw[:end])


def _next_record(stream: _Stream, number: int, max_record_bytes: int) -> WarcRecord:
    """The record that `stream` stands at, behind which it then stands. Raises WarcDamage, standing inside of it."""
    head = stream.peek_header()
    lines = head.splitlines()
    if not lines or not _VERSION.match(lines[0]):
        raise WarcDamage("not_a_record", "no line WARC/1.0 where a record should begin")
    headers = _headers(lines[1:])
    length_text = headers.get("content-length", "")
    if not (length_text.isascii() and length_text.isdigit() and len(length_text) < 16):
        raise WarcDamage("wrong_content_length", f"Content-Length is {length_text[:40]!r}")
    length = int(length_text)
    stream.drop(len(head))
    if length > max_record_bytes:
        if stream.has_record_within(max_record_bytes):
            raise WarcDamage(
                "wrong_content_length", f"Content-Length is {length:,}, but another record begins before"
            )
        stream.drop(length)
        raise WarcDamage("page_too_large", f"{length:,} bytes, more than {max_record_bytes:,}")
    content = stream.peek(length)
    if len(content) < length and not stream.has_record_before_end():
        raise WarcDamage("cut_off", f"{len(content):,} of {length:,} bytes are there")
    if len(content) < length or not stream.record_ends_at(length):
        raise WarcDamage("wrong_content_length", f"Content-Length is {length:,}, but no record ends there")
    stream.drop(length)
    return WarcRecord(number, headers, content, head)


def _headers(lines: list[bytes]) -> dict[str, str]:
    """Header lines by lower-case name; a line that begins with white space goes on the one before."""
    headers: dict[str, str] = {}
    name = ""
    for line in lines:
        text = line.decode("utf-8", "replace")
        if text[:1] in (" ", "\t") and name:
            headers[name] += " " + text.strip()
        elif ":" in text:
            name, _, value = text.partition(":")
            name = name.strip().lower()
            headers.setdefault(name, value.strip())
    return headers


class _Stream:
    """Blocks as one stream that can be looked at before it is read."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._held = bytearray()
        self._at_end = False

    def peek(self, length: int) -> bytes:
        """The next `length` bytes, fewer at the end."""
        self._fill(length)
        return bytes(self._held[:length])

    def drop(self, length: int) -> None:
        """Go `length` bytes on."""
        while length > len(self._held) and not self._at_end:
            length -= len(self._held)
            self._held.clear()
            self._fill(1)
        del self._held[:length]

    def skip_newlines(self) -> bool:
        """Go past line ends; whether there is something left."""
        while self._fill(1):
            rest = len(self._held.lstrip(b"\r\n"))
            del self._held[: len(self._held) - rest]
            if rest:
                return True
        return False

    def peek_header(self) -> bytes:
        """The header with its empty line. Raises WarcDamage when it has no end."""
        while True:
            ends = [
                place + len(mark)
                for mark in (b"\r\n\r\n", b"\n\n")
                if (place := self._held.find(mark, 0, MAX_HEADER_BYTES)) >= 0
            ]
            if ends:
                return bytes(self._held[: min(ends)])
            held = len(self._held)
            if held > MAX_HEADER_BYTES:
                raise WarcDamage("not_a_record", f"a header of more than {MAX_HEADER_BYTES:,} bytes")
            if not self._fill(held + 1):
                raise WarcDamage("cut_off", "the header has no end")

    def record_ends_at(self, length: int) -> bool:
        """Whether after `length` bytes there is a line end and then another record or nothing."""
        self._fill(length + _NEXT_BYTES)
        rest = bytes(self._held[length : length + _NEXT_BYTES])
        after = rest.lstrip(b"\r\n")
        return not after or (after != rest and b"WARC/".startswith(after[:5]))

    def has_record_within(self, length: int) -> bool:
        """Whether another record begins in the next `length` bytes."""
        self._fill(length)
        return _NEXT.search(self._held, 0, length) is not None

    def has_record_before_end(self) -> bool:
        """Whether what is held has the beginning of another record."""
        return _NEXT.search(self._held) is not None

    def skip_to_next_record(self) -> None:
        """Go to the next line that begins a record, not the one that the stream stands at, or to the end."""
        start = 1 if _NEXT.match(self._held) else 0
        while True:
            if found := _NEXT.search(self._held, start):
                del self._held[: found.end()]
                return
            del self._held[: max(0, len(self._held) - _NEXT_BYTES)]
            start = 0
            if not self._fill(len(self._held) + 1):
                self._held.clear()
                return

    def _fill(self, length: int) -> bool:
        """Hold `length` bytes if there are so many."""
        while len(self._held) < length and not self._at_end:
            block = next(self._blocks, None)
            if block is None:
                self._at_end = True
            else:
                self._held += block
        return len(self._held) >= length


def http_body(content: bytes, *, max_bytes: int) -> HttpBody:
    """What the HTTP response in `content` says, its body cut at `max_bytes` + 1. Raises WarcDamage if it is none."""
    head, mark, body = content.partition(b"\r\n\r\n")
    if not mark or (b"\n\n" in head):
        head, mark, body = content.partition(b"\n\n")
    status = _STATUS.match(head)
    if status is None:
        raise WarcDamage("not_http", "no HTTP status line")
    headers = _headers(head.splitlines()[1:])
    media_type, charset = media_type_of(headers.get("content-type", ""))
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _joined_chunks(body)
    body = _unpacked(body, headers.get("content-encoding", "").lower(), max_bytes)
    return HttpBody(int(status[1]), media_type, charset, body)


def media_type_of(content_type: str) -> tuple[str, str | None]:
    """(`text/html`, charset or None) of a Content-Type."""
    charset = _CHARSET.search(content_type)
    return content_type.partition(";")[0].strip().lower(), charset[1] if charset else None


def _joined_chunks(body: bytes) -> bytes:
    """The chunks of RFC 9112 joined; archives often hold them joined already, which is seen and left alone."""
    parts: list[bytes] = []
    at = 0
    while True:
        end = body.find(b"\n", at, at + 200)
        size_text = body[at:end].partition(b";")[0].strip() if end >= 0 else b""
        try:
            size = int(size_text, 16)
        except ValueError:
            return b"".join(parts) if parts else body
        if size == 0:
            return b"".join(parts)
        parts.append(body[end + 1 : end + 1 + size])
        at = end + 1 + size
        at += 2 if body[at : at + 2] == b"\r\n" else 1 if body[at : at + 1] == b"\n" else 0


def _unpacked(body: bytes, encoding: str, max_bytes: int) -> bytes:
    if not body or encoding in ("", "identity", "none", "utf-8"):
        return body
    try:
        if encoding in ("gzip", "x-gzip", "deflate"):
            return _inflated(body, max_bytes) if encoding == "deflate" or body[:2] == b"\x1f\x8b" else body
        if encoding == "zstd":
            return zstandard.ZstdDecompressor().stream_reader(body).read(max_bytes + 1)
    except (zlib.error, zstandard.ZstdError) as error:
        raise WarcDamage("damaged", f"its body does not unpack ({error})") from None
    if b"<" in body[:1000] and b"\0" not in body[:1000]:
        return body  # crawlers unpack and leave the header
    raise WarcDamage("content_encoding", f"its body is packed as {encoding[:40]!r}, which is not read")


def _inflated(body: bytes, max_bytes: int) -> bytes:
    wbits = (
        47 if body[:2] == b"\x1f\x8b" or (body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0) else -15
    )
    return zlib.decompressobj(wbits).decompress(body, max_bytes + 1)
