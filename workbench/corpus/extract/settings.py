"""How pages and tables become documents, and where the patience with them ends. Plain values, to send to workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

HtmlText = Literal["main", "all"]


@dataclass(frozen=True, slots=True)
class HtmlLimits:
    """What a page may cost. A page beyond it is a bad record, and its neighbours are read as if it were not there."""

    max_page_bytes: int = 10_000_000
    """A page of 10 MB takes about half a second; the longest articles with all their markup are 3 MB."""
    max_nesting: int = 2_000
    """Open elements within each other. Browsers stop at 512; parsing takes the product of nesting and length."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """The keys of [corpus.extraction], and what of [corpus] says which column is the text."""

    text_key: str = "text"
    """The key or column of the text, or a template such as `{title}\\n\\n{body}`."""
    text_keys: Mapping[str, str] = field(default_factory=dict)
    """The same for single sources, by their name in `sources`."""
    html_text: HtmlText = "main"
    html_limits: HtmlLimits = HtmlLimits()
    max_unpack_ratio: float = 200.0

    def key_of(self, source: str) -> str:
        """The key or template of the text in `source`."""
        return self.text_keys.get(source, self.text_key)


@dataclass(frozen=True, slots=True)
class Place:
    """Where bytes come from: names for ids and for reports."""

    source: str
    """The entry of `sources`."""
    label: str
    """The file in an id: relative to the recipe."""
    shown: str
    """The file as it may be shown to a person."""
    line: int = 1
    """The line, row or record of the file that the bytes begin with."""
