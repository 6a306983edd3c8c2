"""One web page to its text, title and language, within limits.

lexbor (by resiliparse) parses as browsers do, so any bytes are a page. It takes linear time for all that nests, except
for one thing, which is refused beforehand: formatting tags that are never closed are opened again in every block that
follows, so 2,000 of them before 10,000 paragraphs are 20 million elements.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from resiliparse.parse.html import HTMLTree

from workbench.corpus.extract.encodings import decode_page
from workbench.corpus.extract.main_content import all_text, main_text
from workbench.corpus.extract.page_blocks import blocks_of
from workbench.corpus.extract.settings import HtmlLimits, HtmlText
from workbench.data.strict_json import RecordError

MAX_TITLE_CHARACTERS = 500

MAX_COPIED_TAGS = 1_000_000
"""Formatting elements that may be opened again: each takes about 700 bytes."""
_FORMATTING = re.compile(
    r"<(/?)((?:b|big|code|em|font|i|s|small|strike|strong|tt|u)(?:\s[^>]{0,200})?)>", re.IGNORECASE
)
_ANY_TAG = re.compile(f"{_FORMATTING.pattern}|<[a-z]", re.IGNORECASE)
_OPEN_AT_ONCE = 3
"""Of equal ones, a parser opens so many again ("Noah's Ark" in the HTML standard)."""
_LANGUAGE = re.compile(r"[a-zA-Z]{2,3}(?=$|[-_,; ])")


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says of itself, and its text."""

    text: str
    title: str
    language: str
    url: str
    encoding: str
    foreign_bytes: int


def read_page(
    data: bytes, *, charset: str | None = None, text: HtmlText = "main", limits: HtmlLimits
) -> Page:
    """The page in `data`; `charset` is what the HTTP header said.

    Raises RecordError: `page_too_large`, `nested_too_deep`, or `no_text` when nothing is left.
    """
    if len(data) > limits.max_page_bytes:
        raise RecordError("page_too_large", f"{len(data):,} bytes, more than {limits.max_page_bytes:,}")
    decoded = decode_page(data, charset=charset)
    html = decoded.text.replace("\0", "")
    if (copied := copied_tags(html)) > MAX_COPIED_TAGS:
        raise RecordError("nested_too_deep", f"unclosed formatting tags, opened again {copied:,} times")
    tree = HTMLTree.parse(html)
    blocks = blocks_of(tree.body.inner_html if tree.body else "")
    if blocks.nesting > limits.max_nesting:
        raise RecordError("nested_too_deep", f"{blocks.nesting:,} tags within each other")
    found = main_text(blocks) if text == "main" else all_text(blocks)
    if not found:
        raise RecordError("no_text", "a page without text")
    return Page(
        text=found,
        title=_title(tree),
        language=_language(tree),
        url=_url(tree),
        encoding=decoded.encoding,
        foreign_bytes=decoded.foreign_bytes,
    )


def copied_tags(html: str) -> int:
    """How many formatting elements a parser would open again at most, if blocks begin while they are open."""
    tags = html.count("<")
    found = _FORMATTING.findall(html)
    different = Counter(tag for slash, tag in found if not slash)
    if sum(min(count, _OPEN_AT_ONCE) for count in different.values()) * tags <= MAX_COPIED_TAGS:
        return 0
    open_by_name: dict[str, Counter[str]] = {}
    is_open = copied = 0
    for match in _ANY_TAG.finditer(html):
        slash, tag = match.groups()
        if not slash:
            copied += is_open
        if tag is None:
            continue
        same_name = open_by_name.setdefault(tag.split(None, 1)[0].lower(), Counter())
        if not slash:
            same_name[tag] += 1
            is_open += same_name[tag] <= _OPEN_AT_ONCE
        elif same_name:
            last = next(reversed(same_name))
            same_name[last] -= 1
            is_open -= same_name[last] < _OPEN_AT_ONCE
            if not same_name[last]:
                del same_name[last]
    return copied


def _title(tree: HTMLTree) -> str:
    """The page's own name: of the article where it says so, else of the window."""
    title = _meta(tree, "property", "og:title") or tree.title or ""
    return " ".join(title.split())[:MAX_TITLE_CHARACTERS]


def _language(tree: HTMLTree) -> str:
    """The language the page declares, two or three letters; empty where it declares none."""
    root = tree.document.query_selector("html") if tree.document else None
    declared = [
        root.getattr("lang") or root.getattr("xml:lang") if root else "",
        _meta(tree, "http-equiv", "content-language"),
        _meta(tree, "property", "og:locale"),
    ]
    for each in declared:
        if each and (match := _LANGUAGE.match(each.strip())):
            return match[0].lower()
    return ""


def _url(tree: HTMLTree) -> str:
    """The address the page gives itself."""
    link = tree.head.query_selector("link[rel=canonical]") if tree.head else None
    url = (link.getattr("href") or "" if link else "") or _meta(tree, "property", "og:url")
    return url[:2000] if url.startswith(("http://", "https://")) else ""


def _meta(tree: HTMLTree, key: str, value: str) -> str:
    found = tree.head.query_selector(f'meta[{key}="{value}"]') if tree.head else None
    return (found.getattr("content") or "").strip() if found else ""
